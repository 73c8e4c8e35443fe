#include "tests/support/sandbox/places.h"

namespace tally::sandbox {
namespace {

using nlohmann::json;

// The versions that moved something.
constexpr std::string_view kNewPlaces = "2025-03-31";
constexpr std::string_view kDecimalQuantities = "2026-03-25";

bool is_before(std::string_view api_version, std::string_view date) {
  return api_version.substr(0, date.size()) < date;
}

std::string_view object_of(const json& value) {
  const auto found = value.is_object() ? value.find("object") : value.end();
  return found != value.end() && found->is_string()
             ? std::string_view(found->get_ref<const std::string&>())
             : std::string_view();
}

// Also of what *.updated says was other, when its items were.
void show_subscription(json& subscription, std::string_view version) {
  const auto items = subscription.find("items");
  if (items == subscription.end()) return;
  for (json& item : (*items)["data"]) {
    item.erase("sandbox");
    if (!is_before(version, kNewPlaces)) continue;
    for (const char* name : {"current_period_start", "current_period_end"}) {
      subscription[name] = item[name];
      item.erase(name);
    }
  }
}

// What a line and an invoice item had for `pricing`.
void move_pricing(json& value) {
  const json& pricing = value["pricing"];
  value["price"] = value["sandbox"]["price"];
  const bool has_unit = pricing.is_object() && pricing.contains("unit_amount_decimal");
  value["unit_amount_excluding_tax"] = has_unit ? pricing["unit_amount_decimal"] : json(nullptr);
  value.erase("pricing");
}

void show_line(json& line, std::string_view version) {
  if (is_before(version, kDecimalQuantities)) line.erase("quantity_decimal");
  if (is_before(version, kNewPlaces)) {
    const json parent = line["parent"];
    const bool is_item = parent["type"] == "invoice_item_details";
    const json& details = parent[parent["type"].get_ref<const std::string&>()];
    line["type"] = is_item ? "invoiceitem" : "subscription";
    line["subscription"] = details["subscription"];
    line["proration"] = false;
    if (is_item) line["invoice_item"] = details["invoice_item"];
    if (!is_item) line["subscription_item"] = details["subscription_item"];
    move_pricing(line);
    line.erase("parent");
  }
  line.erase("sandbox");
}

void show_item(json& item, std::string_view version) {
  if (is_before(version, kDecimalQuantities)) item.erase("quantity_decimal");
  if (!is_before(version, kNewPlaces)) return;
  item["subscription"] = item["sandbox"]["subscription"];
  move_pricing(item);
  item["unit_amount_decimal"] = item["unit_amount_excluding_tax"];
  item.erase("unit_amount_excluding_tax");
  item.erase("parent");
}

void show_invoice(json& invoice, std::string_view version) {
  json& lines = invoice["lines"];
  if (lines["data"].size() > kShownLines) {
    lines["data"].erase(lines["data"].begin() + kShownLines, lines["data"].end());
    lines["has_more"] = true;
  }
  for (json& line : lines["data"]) show_line(line, version);
  if (!is_before(version, kNewPlaces)) return;
  const json parent = invoice["parent"];
  invoice["paid"] = invoice["status"] == "paid";
  invoice["subscription"] = nullptr;
  if (!parent.is_null()) {
    invoice["subscription"] = parent["subscription_details"]["subscription"];
    invoice["subscription_details"] = {{"metadata", parent["subscription_details"]["metadata"]}};
  }
  invoice.erase("parent");
}

// By what it says it is; a client's own members, in metadata, are never looked at.
void show(json& value, std::string_view version) {
  const std::string_view object = object_of(value);
  if (object == "list") {
    for (json& one : value["data"]) show(one, version);
    return;
  }
  if (object == "event") {
    json& data = value["data"];
    if (data.is_string()) data = json::parse(data.get<std::string>());
    const std::string of_event = value["api_version"];
    const bool is_subscription = object_of(data["object"]) == "subscription";
    if (is_subscription && data.contains("previous_attributes")) {
      show_subscription(data["previous_attributes"], of_event);
    }
    show(data["object"], of_event);
  }
  if (object == "subscription") show_subscription(value, version);
  if (object == "invoice") show_invoice(value, version);
  if (object == "line_item") show_line(value, version);
  if (object == "invoiceitem") show_item(value, version);
  if (value.is_object()) value.erase("sandbox");
}

}  // namespace

json shown(json document, std::string_view api_version) {
  show(document, api_version);
  return document;
}

}  // namespace tally::sandbox
