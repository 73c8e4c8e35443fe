// Invoices: drafted, frozen, paid or not.
#include "tests/support/sandbox/billing.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::int64_t kUntilNextAttempt = 3 * kDaySeconds;

void set_quantity(json& line, Units quantity, Units unit_amount) {
  line["quantity"] = truncated(quantity);
  line["quantity_decimal"] = text_of(quantity);
  line["amount"] = cents_of(quantity, unit_amount);
  line["subtotal"] = line["amount"];
}

Units unit_amount_of(const json& price) {
  return read_units(price["unit_amount_decimal"].get_ref<const std::string&>());
}

json pricing_of(const json& price) {
  return {{"type", "price_details"},
          {"price_details", {{"price", price["id"]}, {"product", price["product"]}}},
          {"unit_amount_decimal", price["unit_amount_decimal"]}};
}

// A line of a subscription's item; its quantity is still to be set.
json line_of(const json& subscription, const json& item, const json& price, std::int64_t start,
             std::int64_t end) {
  return {{"period", {{"start", start}, {"end", end}}},
          {"description", price["nickname"]},
          {"pricing", pricing_of(price)},
          {"parent",
           {{"type", "subscription_item_details"},
            {"invoice_item_details", nullptr},
            {"subscription_item_details",
             {{"invoice_item", nullptr},
              {"proration", false},
              {"subscription", subscription},
              {"subscription_item", item}}}}},
          {"sandbox", {{"price", price}}}};
}

void add_up(json& invoice) {
  std::int64_t total = 0;
  for (const json& line : invoice["lines"]["data"]) total += line["amount"].get<std::int64_t>();
  invoice["subtotal"] = invoice["total"] = total;
  invoice["amount_due"] = invoice["amount_remaining"] = std::max<std::int64_t>(total, 0);
}

std::string subscription_of(const json& invoice) {
  const json& parent = invoice["parent"];
  return parent.is_null() ? "" : parent["subscription_details"]["subscription"].get<std::string>();
}

}  // namespace

json Billing::new_invoice(const json& subscription, const std::string& reason,
                          std::int64_t now) const {
  const std::string id = documents_.next_id("invoice", "in");
  const bool cycle = reason == "subscription_cycle";
  return {{"id", id},
          {"object", "invoice"},
          {"amount_paid", 0},
          {"attempt_count", 0},
          {"attempted", false},
          {"auto_advance", true},
          {"automatically_finalizes_at", nullptr},
          {"billing_reason", reason},
          {"collection_method", subscription["collection_method"]},
          {"created", now},
          {"currency", subscription["currency"]},
          {"customer", subscription["customer"]},
          {"lines",
           {{"object", "list"},
            {"data", json::array()},
            {"has_more", false},
            {"url", "/v1/invoices/" + id + "/lines"}}},
          {"livemode", false},
          {"metadata", json::object()},
          {"next_payment_attempt", nullptr},
          {"number", nullptr},
          {"parent",
           {{"type", "subscription_details"},
            {"quote_details", nullptr},
            {"subscription_details",
             {{"subscription", subscription["id"]}, {"metadata", subscription["metadata"]}}}}},
          {"period_start", cycle ? subscription["sandbox"]["period_start"] : json(now)},
          {"period_end", now},
          {"status", "draft"},
          {"status_transitions", {{"finalized_at", nullptr}, {"paid_at", nullptr}}}};
}

void Billing::add_line(json& invoice, json line) const {
  json& lines = invoice["lines"]["data"];
  line["id"] =
      fmt::format("il_{}_{:04}", invoice["id"].get<std::string>().substr(3), lines.size() + 1);
  line["object"] = "line_item";
  line["currency"] = invoice["currency"];
  line["invoice"] = invoice["id"];
  line["livemode"] = false;
  if (!line.contains("metadata")) {
    line["metadata"] = invoice["parent"]["subscription_details"]["metadata"];
  }
  lines.push_back(std::move(line));
}

Units Billing::quantity_for_line(const Books::Quantity& counted) const {
  const bool exact = behaviour_.invoice_arithmetic == Arithmetic::kExact;
  return std::max<Units>(exact ? counted.exact : counted.in_doubles, 0);
}

// The usage of a period that is over, as far as it is known now.
void Billing::add_usage(json& invoice, json period) {
  json line = line_of(period["subscription"], period["subscription_item"], period["price"],
                      period["start"], period["end"]);
  line["sandbox"]["period"] = period["id"];
  set_quantity(line, quantity_for_line(quantity_of(period, books_)),
               unit_amount_of(period["price"]));
  add_line(invoice, std::move(line));
  period["state"] = "drafted";
  period["invoice"] = invoice["id"];
  documents_.put(std::move(period));
}

// What an invoice says of a metered price before its usage is billed, or when it never will.
void Billing::add_nothing(json& invoice, const json& item) const {
  if (!is_metered(item["price"]) || !behaviour_.zero_lines) return;
  json line = line_of(item["subscription"], item["id"], item["price"], item["current_period_start"],
                      item["current_period_end"]);
  set_quantity(line, 0, 0);
  add_line(invoice, std::move(line));
}

// Prices that are not metered, for the period that begins.
void Billing::add_fees(json& invoice, const json& subscription, bool free) const {
  for (const json& item : subscription["items"]["data"]) {
    const json& price = item["price"];
    if (is_metered(price)) continue;
    json line = line_of(item["subscription"], item["id"], price, item["current_period_start"],
                        item["current_period_end"]);
    set_quantity(line, units_of(item["quantity"]), free ? Units(0) : unit_amount_of(price));
    add_line(invoice, std::move(line));
  }
}

void Billing::note_item(const json& item) {
  const std::pair<std::string, std::string> place = {item["customer"], item["id"]};
  if (item["invoice"].is_null() && !item.contains("deleted")) {
    waiting_items_.insert(place);
  } else {
    waiting_items_.erase(place);
  }
}

void Billing::restore(const json& document) {
  documents_.restore(document);
  if (document["object"] == "invoiceitem") note_item(document);
}

void Billing::add_item_line(json& invoice, json item) {
  json line = {{"period", item["period"]},
               {"description", item["description"]},
               {"metadata", item["metadata"]},
               {"pricing", item["pricing"]},
               {"amount", item["amount"]},
               {"subtotal", item["amount"]},
               {"quantity", item["quantity"]},
               {"quantity_decimal", item["quantity_decimal"]},
               {"parent",
                {{"type", "invoice_item_details"},
                 {"subscription_item_details", nullptr},
                 {"invoice_item_details",
                  {{"invoice_item", item["id"]},
                   {"proration", false},
                   {"subscription", item["sandbox"]["subscription"]}}}}},
               {"sandbox", {{"price", item["sandbox"]["price"]}}}};
  add_line(invoice, std::move(line));
  item["invoice"] = invoice["id"];
  note_item(item);
  documents_.put(std::move(item));
}

void Billing::add_waiting_items(json& invoice) {
  const std::string customer = invoice["customer"];
  std::vector<std::string> ids;
  for (auto at = waiting_items_.lower_bound({customer, ""});
       at != waiting_items_.end() && at->first == customer; ++at) {
    ids.push_back(at->second);
  }
  for (const std::string& id : ids) {
    const json& item = *documents_.find("invoiceitem", id);
    const json& wanted = item["sandbox"]["subscription"];
    const bool fits = wanted.is_null() || wanted == subscription_of(invoice);
    if (fits && item["currency"] == invoice["currency"]) add_item_line(invoice, item);
  }
}

void Billing::add_invoice_item(json item) {
  if (item["invoice"].is_null()) {
    note_item(item);
    documents_.put(std::move(item));
    return;
  }
  json invoice = *documents_.find("invoice", item["invoice"].get_ref<const std::string&>());
  add_item_line(invoice, std::move(item));
  add_up(invoice);
  documents_.put(std::move(invoice));
}

void Billing::draft(json subscription, json invoice, std::int64_t grace_s, std::int64_t now) {
  const bool is_empty = invoice["lines"]["data"].empty();
  if (!is_empty) subscription["latest_invoice"] = invoice["id"];
  put_subscription(std::move(subscription));
  if (is_empty) return;
  add_up(invoice);
  invoice["automatically_finalizes_at"] = now + grace_s;
  invoice["sandbox"] = {{"due", now + grace_s}};
  const std::string id = invoice["id"];
  documents_.put(invoice);
  emit("invoice.created", invoice, now);
  if (grace_s == 0) finalize(id, now);
}

void Billing::finalize(const std::string& id, std::int64_t now) {
  json invoice = *documents_.find("invoice", id);
  for (json& line : invoice["lines"]["data"]) {
    if (!line["sandbox"].contains("period")) continue;
    json period =
        *documents_.find("usage_period", line["sandbox"]["period"].get_ref<const std::string&>());
    const Books::Quantity counted = quantity_of(period, books_);
    const Units billed = quantity_for_line(counted);
    set_quantity(line, billed, unit_amount_of(period["price"]));
    period["state"] = "billed";
    period["frozen"] = {
        {"counted", text_of(counted.exact)}, {"line", text_of(billed)}, {"turn", books_.turn()}};
    documents_.put(std::move(period));
  }
  add_up(invoice);
  invoice["status"] = "open";
  invoice["automatically_finalizes_at"] = nullptr;
  invoice["number"] = "TEST-" + id.substr(id.size() - 8);
  invoice["status_transitions"]["finalized_at"] = now;
  invoice["sandbox"].erase("due");
  const bool charges = invoice["collection_method"] == "charge_automatically";
  const bool is_free = invoice["amount_due"] == 0;
  documents_.put(invoice);
  emit("invoice.finalized", invoice, now);
  if (is_free || (charges && behaviour_.payments == Payments::kSucceed)) {
    pay(id, now);
  } else if (charges && behaviour_.payments == Payments::kFail) {
    fail_payment(id, now);
  }
}

void Billing::pay(const std::string& id, std::int64_t now) {
  json invoice = *documents_.find("invoice", id);
  const bool is_free = invoice["amount_due"] == 0;
  invoice["status"] = "paid";
  invoice["amount_paid"] = invoice["amount_due"];
  invoice["amount_remaining"] = 0;
  invoice["attempted"] = true;
  invoice["next_payment_attempt"] = nullptr;
  if (!is_free) invoice["attempt_count"] = invoice["attempt_count"].get<std::int64_t>() + 1;
  invoice["status_transitions"]["paid_at"] = now;
  documents_.put(invoice);
  emit("invoice.paid", invoice, now);
  if (!is_free) emit("invoice.payment_succeeded", invoice, now);
  const std::string subscription = subscription_of(invoice);
  const std::string status = (*documents_.find("subscription", subscription))["status"];
  const bool owed = status == "past_due" || status == "unpaid" || status == "incomplete";
  if (!is_free && owed) set_status(subscription, "active", now);
}

void Billing::fail_payment(const std::string& id, std::int64_t now) {
  json invoice = *documents_.find("invoice", id);
  invoice["attempted"] = true;
  invoice["attempt_count"] = invoice["attempt_count"].get<std::int64_t>() + 1;
  invoice["next_payment_attempt"] = now + kUntilNextAttempt;
  documents_.put(invoice);
  emit("invoice.payment_failed", invoice, now);
  const std::string subscription = subscription_of(invoice);
  const std::string status = (*documents_.find("subscription", subscription))["status"];
  const bool is_first = invoice["billing_reason"] == "subscription_create";
  if (status != "canceled") set_status(subscription, is_first ? "incomplete" : "past_due", now);
}

}  // namespace tally::sandbox
