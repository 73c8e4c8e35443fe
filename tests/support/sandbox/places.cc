#include "tests/support/sandbox/places.h"

namespace tally::sandbox {
namespace {

using nlohmann::json;

void move_subscription(json& subscription) {
  for (json& item : subscription["items"]["data"]) {
    for (const char* name : {"current_period_start", "current_period_end"}) {
      subscription[name] = item[name];
      item.erase(name);
    }
  }
}

void move_line(json& line) {
  const json& parent = line["parent"];
  const bool is_item = parent["type"] == "invoice_item_details";
  const json& details = parent[parent["type"].get_ref<const std::string&>()];
  line["type"] = is_item ? "invoiceitem" : "subscription";
  line["subscription"] = details["subscription"];
  line["proration"] = false;
  if (is_item) line["invoice_item"] = details["invoice_item"];
  if (!is_item) line["subscription_item"] = details["subscription_item"];
  line["price"] = line["sandbox"]["price"];
  line["unit_amount_excluding_tax"] = line["pricing"]["unit_amount_decimal"];
  line.erase("parent");
  line.erase("pricing");
}

void move_invoice(json& invoice) {
  const json parent = invoice["parent"];
  invoice["paid"] = invoice["status"] == "paid";
  invoice["subscription"] = nullptr;
  if (!parent.is_null()) {
    invoice["subscription"] = parent["subscription_details"]["subscription"];
    invoice["subscription_details"] = {{"metadata", parent["subscription_details"]["metadata"]}};
  }
  invoice.erase("parent");
}

void show(json& value, bool old) {
  if (value.is_object()) {
    const std::string object = value.contains("object") && value["object"].is_string()
                                   ? value["object"].get<std::string>()
                                   : "";
    if (object == "event") {
      old = has_old_places(value["api_version"].get_ref<const std::string&>());
      json& data = value["data"];
      if (data.is_string()) data = json::parse(data.get<std::string>());
    }
    if (object == "invoice" && value["lines"]["data"].size() > kShownLines) {
      json& lines = value["lines"];
      lines["data"].erase(lines["data"].begin() + kShownLines, lines["data"].end());
      lines["has_more"] = true;
    }
    if (old && object == "subscription") move_subscription(value);
    if (old && object == "line_item") move_line(value);
    if (old && object == "invoice") move_invoice(value);
    value.erase("sandbox");
  }
  if (!value.is_structured()) return;
  for (json& member : value) show(member, old);
}

}  // namespace

bool has_old_places(std::string_view api_version) {
  return api_version.substr(0, 10) < std::string_view("2025-03-31");
}

json shown(json document, std::string_view api_version) {
  show(document, has_old_places(api_version));
  return document;
}

}  // namespace tally::sandbox
