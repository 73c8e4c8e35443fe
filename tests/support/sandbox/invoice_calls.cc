// Invoices and invoice items.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::string_view kInvoices = "/v1/invoices";
constexpr std::string_view kItems = "/v1/invoiceitems";

}  // namespace

// nullopt: another's.
std::optional<Reply> Sandbox::route_invoicing(const Call& call) {
  std::string_view rest;
  if (call.is("GET", kInvoices)) return list_invoices(call);
  if (call.is_below("/v1/invoices/", rest)) return route_invoice(call, rest);
  if (call.is("POST", kItems)) return create_invoice_item(call);
  if (call.is("GET", kItems)) {
    const std::string pending = call.form.get("pending");
    return listed(call, "invoiceitem", {"customer", "invoice"}, {{"pending"}},
                  [&](const json& item) {
                    return pending.empty() || (pending == "true") == item["invoice"].is_null();
                  });
  }
  if (call.is_below("/v1/invoiceitems/", rest) && call.method == "GET") {
    const json* item = documents_.find("invoiceitem", rest);
    return item == nullptr ? no_such("invoiceitem", rest) : Reply{200, *item};
  }
  return std::nullopt;
}

Reply Sandbox::list_invoices(const Call& call) {
  const auto subscription = call.form.find("subscription");
  return listed(call, "invoice", {"customer", "status", "collection_method"}, {{"subscription"}},
                [&](const json& invoice) {
                  return !subscription ||
                         invoice["parent"]["subscription_details"]["subscription"] == *subscription;
                });
}

Reply Sandbox::route_invoice(const Call& call, std::string_view rest) {
  const auto slash = std::min(rest.find('/'), rest.size());
  const std::string id(rest.substr(0, slash));
  const std::string_view verb = rest.substr(std::min(rest.size(), slash + 1));
  const json* invoice = documents_.find("invoice", id);
  if (invoice == nullptr) return no_such("invoice", id);
  if (call.method == "GET" && verb == "lines") {
    if (auto refused =
            call.form.check({{"limit"}, {"starting_after"}, {"ending_before"}, {"expand[]"}})) {
      return *refused;
    }
    PageRequest page;
    if (auto refused = read_page(call.form, page)) return *refused;
    return page_of((*invoice)["lines"]["data"], page, call.path);
  }
  if (auto refused = call.form.check({{"expand[]"}, {"auto_advance"}})) return *refused;
  const std::string status = (*invoice)["status"];
  if (call.method == "GET" && verb.empty()) return {200, *invoice};
  if (call.method == "POST" && verb == "finalize") {
    if (status != "draft") return declined("This invoice is already finalized.");
    billing_.finalize(id, now());
    return {200, *documents_.find("invoice", id)};
  }
  if (call.method == "POST" && verb == "pay") {
    if (status == "draft") billing_.finalize(id, now());
    if (status == "paid") return declined("Invoice is already paid");
    if ((*documents_.find("invoice", id))["status"] == "open") billing_.pay(id, now());
    return {200, *documents_.find("invoice", id)};
  }
  return unknown_url(call.method, call.path);
}

Reply Sandbox::create_invoice_item(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check({{"customer", true},
                                 {"amount"},
                                 {"currency"},
                                 {"description"},
                                 {"discountable"},
                                 {"invoice"},
                                 {"subscription"},
                                 {"period[start]"},
                                 {"period[end]"},
                                 {"price"},
                                 {"pricing[price]"},
                                 {"quantity"},
                                 {"quantity_decimal"},
                                 {"unit_amount_decimal"},
                                 {"metadata[*]", false, 500},
                                 {"expand[]"}})) {
    return *refused;
  }
  const std::string customer = form.get("customer");
  if (!customers_.exists(customer)) {
    return declined("No such customer: '" + customer + "'", "resource_missing");
  }
  std::optional<std::int64_t> start;
  std::optional<std::int64_t> end;
  if (auto refused = form.integer("period[start]", start)) return *refused;
  if (auto refused = form.integer("period[end]", end)) return *refused;
  if (start.has_value() != end.has_value() || start > end) {
    return invalid_request("A period has a start and an end that is not before it.", "", "period");
  }
  json item = {{"id", documents_.next_id("invoiceitem", "ii")},
               {"object", "invoiceitem"},
               {"currency", form.get("currency", "usd")},
               {"customer", customer},
               {"created", now()},
               {"date", now()},
               {"description", nullptr},
               {"livemode", false},
               {"metadata", form.map_of("metadata")},
               {"period", {{"start", start.value_or(now())}, {"end", end.value_or(now())}}},
               {"proration", false},
               {"sandbox", json::object()}};
  if (const auto text = form.find("description")) item["description"] = *text;
  if (auto refused = read_item_price(call, item)) return *refused;
  if (auto refused = read_item_place(call, item)) return *refused;
  const std::string id = item["id"];
  billing_.add_invoice_item(std::move(item));
  return {200, *documents_.find("invoiceitem", id)};
}

// What it costs: an amount, or a quantity of a one-time price or of a unit amount.
Refused Sandbox::read_item_price(const Call& call, json& item) {
  const Form& form = call.form;
  const auto id = form.find("pricing[price]") ? form.find("pricing[price]") : form.find("price");
  const auto unit = form.find("unit_amount_decimal");
  std::optional<std::int64_t> amount;
  if (auto refused = form.integer("amount", amount)) return refused;
  if (id.has_value() + unit.has_value() + amount.has_value() != 1) {
    return invalid_request("Give one of amount, pricing[price] and unit_amount_decimal.",
                           "parameter_missing", "amount");
  }
  if (form.find("quantity") && form.find("quantity_decimal")) {
    return invalid_request("Give one of quantity and quantity_decimal.", "", "quantity");
  }
  const std::string text = form.get("quantity", form.get("quantity_decimal", "1"));
  const ParsedValue quantity = parse_value(text);
  const ParsedValue price = parse_value(unit.value_or("0"));
  if (quantity.error != ValueError::kNone || quantity.units < 0 ||
      price.error != ValueError::kNone) {
    return invalid_request("Invalid decimal", "", "quantity_decimal");
  }
  item["pricing"] = nullptr;
  item["sandbox"]["price"] = nullptr;
  Units unit_amount = price.units;
  if (unit) item["pricing"] = {{"type", "price_details"}, {"unit_amount_decimal", *unit}};
  if (id) {
    const json* of = documents_.find("price", *id);
    if (of == nullptr) return declined("No such price: '" + *id + "'", "resource_missing");
    if ((*of)["type"] != "one_time") {
      return declined(
          "The price specified is set to `type=recurring` but this field only accepts "
          "prices with `type=one_time`.");
    }
    item["pricing"] = {{"type", "price_details"},
                       {"price_details", {{"price", *id}, {"product", (*of)["product"]}}},
                       {"unit_amount_decimal", (*of)["unit_amount_decimal"]}};
    if ((*of)["currency"] != item["currency"]) {
      return declined("The price is of another currency.");
    }
    item["sandbox"]["price"] = *of;
    unit_amount = read_units((*of)["unit_amount_decimal"].get<std::string>());
  }
  const std::int64_t cents = amount ? *amount : cents_of(quantity.units, unit_amount);
  if (cents > kMostOfAPrice || cents < -kMostOfAPrice) {
    return invalid_request(fmt::format("An amount is at most {} cents.", kMostOfAPrice),
                           "amount_too_large", "amount");
  }
  item["quantity"] = truncated(quantity.units);
  item["quantity_decimal"] = text_of(quantity.units);
  item["amount"] = cents;
  return std::nullopt;
}

// Which invoice it goes to: a draft that it names, or the next of its customer or subscription.
Refused Sandbox::read_item_place(const Call& call, json& item) {
  const auto subscription = call.form.find("subscription");
  const auto invoice = call.form.find("invoice");
  item["invoice"] = nullptr;
  item["parent"] = nullptr;
  item["sandbox"]["subscription"] = nullptr;
  if (subscription) {
    const json* of = documents_.find("subscription", *subscription);
    if (of == nullptr || (*of)["customer"] != item["customer"]) {
      return declined("No such subscription: '" + *subscription + "'", "resource_missing");
    }
    item["sandbox"]["subscription"] = *subscription;
    item["parent"] = {{"type", "subscription_details"},
                      {"subscription_details", {{"subscription", *subscription}}}};
  }
  if (invoice) {
    const json* of = documents_.find("invoice", *invoice);
    if (of == nullptr || (*of)["customer"] != item["customer"]) {
      return declined("No such invoice: '" + *invoice + "'", "resource_missing");
    }
    if ((*of)["currency"] != item["currency"]) {
      return declined("The invoice is of another currency.");
    }
    if ((*of)["status"] != "draft") {
      return declined("The invoice is no longer a draft.", "invoice_not_editable");
    }
    item["invoice"] = *invoice;
  }
  return std::nullopt;
}

}  // namespace tally::sandbox
