// Prices, and what all lists of billing have in common.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::sandbox {
namespace {

using nlohmann::json;

constexpr std::string_view kPrices = "/v1/prices";

// Cents, as text.
Refused read_unit_amount(const Form& form, std::string& out) {
  const auto whole = form.find("unit_amount");
  const auto exact = form.find("unit_amount_decimal");
  if (whole.has_value() == exact.has_value()) {
    return invalid_request("Give either unit_amount or unit_amount_decimal.", "parameter_missing",
                           "unit_amount");
  }
  std::optional<std::int64_t> ignored;
  if (auto refused = form.integer("unit_amount", ignored)) return refused;
  const ParsedValue parsed = parse_value(whole ? *whole : *exact);
  if (parsed.error != ValueError::kNone || parsed.units < 0 ||
      parsed.units > units_of(kMostOfAPrice)) {
    return invalid_request(
        fmt::format("Invalid amount: a decimal of cents from 0 to {}.", kMostOfAPrice), "",
        whole ? "unit_amount" : "unit_amount_decimal");
  }
  out = text_of(parsed.units);
  return std::nullopt;
}

}  // namespace

// The documents whose members `equal` are as the call's parameters of those names say, created when
// it says, and that `takes` takes, which reads `others` of the parameters; newest first.
Reply Sandbox::listed(const Call& call, std::string_view object,
                      const std::vector<std::string>& equal, const std::vector<Parameter>& others,
                      const std::function<bool(const json&)>& takes) {
  std::vector<Parameter> known = {{"limit"},       {"starting_after"}, {"ending_before"},
                                  {"expand[]"},    {"created[gt]"},    {"created[gte]"},
                                  {"created[lt]"}, {"created[lte]"}};
  for (const std::string& name : equal) known.push_back({name});
  for (const Parameter& other : others) known.push_back(other);
  if (auto refused = call.form.check(known)) return *refused;
  PageRequest page;
  if (auto refused = read_page(call.form, page)) return *refused;
  std::optional<std::int64_t> after, from, before, until;
  if (auto refused = call.form.integer("created[gt]", after)) return *refused;
  if (auto refused = call.form.integer("created[gte]", from)) return *refused;
  if (auto refused = call.form.integer("created[lt]", before)) return *refused;
  if (auto refused = call.form.integer("created[lte]", until)) return *refused;
  std::vector<const json*> rows;
  const Documents::Kind& all = documents_.all(object);
  for (auto entry = all.rbegin(); entry != all.rend(); ++entry) {
    const json& document = entry->second;
    const std::int64_t created = document.value("created", std::int64_t{0});
    const bool in_time = (!after || created > *after) && (!from || created >= *from) &&
                         (!before || created < *before) && (!until || created <= *until);
    const bool is_asked_for = std::all_of(equal.begin(), equal.end(), [&](const auto& name) {
      const auto wanted = call.form.find(name);
      return !wanted || !document.contains(name) || document[name] == *wanted;
    });
    if (in_time && is_asked_for && takes(document)) rows.push_back(&document);
  }
  return page_of(rows, page, call.path);
}

Refused Sandbox::read_recurring(const Call& call, json& out) const {
  const Form& form = call.form;
  std::optional<std::int64_t> count;
  if (auto refused = form.integer("recurring[interval_count]", count)) return refused;
  if (count.value_or(1) < 1 || count.value_or(1) > 36) {
    return invalid_request("Invalid interval_count", "", "recurring[interval_count]");
  }
  const auto interval = form.find("recurring[interval]");
  if (!interval) return std::nullopt;
  const std::string usage = form.get("recurring[usage_type]", "licensed");
  const auto meter = form.find("recurring[meter]");
  if (auto refused = choice("recurring[interval]", "day, week, month, or year",
                            interval_of(*interval).has_value())) {
    return refused;
  }
  if (auto refused = choice("recurring[usage_type]", "licensed or metered",
                            usage == "licensed" || usage == "metered")) {
    return refused;
  }
  if ((usage == "metered") != meter.has_value()) {
    return invalid_request("A metered price has a meter, and no other price has one.",
                           "parameter_missing", "recurring[meter]");
  }
  const Meter* of = meter ? books_.meter(*meter) : nullptr;
  if (meter && of == nullptr)
    return declined("No such meter: '" + *meter + "'", "resource_missing");
  if (of != nullptr && !of->active()) return declined("The meter of a new price is active.");
  out = {{"interval", *interval},
         {"interval_count", count.value_or(1)},
         {"usage_type", usage},
         {"meter", meter ? json(*meter) : json(nullptr)}};
  return std::nullopt;
}

// A lookup key names one price; it is taken from another only when the call says so.
Refused Sandbox::take_lookup_key(const Call& call) {
  const auto key = call.form.find("lookup_key");
  if (!key) return std::nullopt;
  for (const auto& [id, price] : documents_.all("price")) {
    if (price["lookup_key"] != *key) continue;
    if (call.form.get("transfer_lookup_key") != "true") {
      return declined(fmt::format("A price (`{}`) already uses that lookup key.", id));
    }
    json other = price;
    other["lookup_key"] = nullptr;
    documents_.put(std::move(other));
    break;
  }
  return std::nullopt;
}

Reply Sandbox::create_price(const Call& call) {
  const Form& form = call.form;
  if (auto refused = form.check({{"currency", true},
                                 {"unit_amount"},
                                 {"unit_amount_decimal"},
                                 {"product"},
                                 {"product_data[*]", false, 250},
                                 {"recurring[interval]"},
                                 {"recurring[interval_count]"},
                                 {"recurring[usage_type]"},
                                 {"recurring[meter]"},
                                 {"lookup_key", false, 200},
                                 {"transfer_lookup_key"},
                                 {"nickname"},
                                 {"billing_scheme"},
                                 {"tax_behavior"},
                                 {"active"},
                                 {"metadata[*]", false, 500},
                                 {"expand[]"}})) {
    return *refused;
  }
  const bool flat = form.get("billing_scheme", "per_unit") == "per_unit";
  if (auto refused = choice("billing_scheme", "per_unit", flat)) return *refused;
  std::string amount;
  if (auto refused = read_unit_amount(form, amount)) return *refused;
  if (form.find("product").has_value() == form.find("product_data[name]").has_value()) {
    return invalid_request("Give either product or product_data[name].", "parameter_missing",
                           "product");
  }
  json recurring = nullptr;
  if (auto refused = read_recurring(call, recurring)) return *refused;
  if (auto refused = take_lookup_key(call)) return *refused;
  const auto key = form.find("lookup_key");
  const std::string id = documents_.next_id("price", "price");
  json price = {{"id", id},
                {"object", "price"},
                {"active", form.get("active", "true") == "true"},
                {"billing_scheme", "per_unit"},
                {"created", now()},
                {"currency", form.get("currency")},
                {"livemode", false},
                {"lookup_key", key ? json(*key) : json(nullptr)},
                {"metadata", form.map_of("metadata")},
                {"nickname", nullptr},
                {"product", form.get("product", "prod_of_" + id)},
                {"recurring", recurring},
                {"type", recurring.is_null() ? "one_time" : "recurring"},
                {"unit_amount", nullptr},
                {"unit_amount_decimal", amount}};
  if (const auto name = form.find("nickname")) price["nickname"] = *name;
  if (amount.find('.') == std::string::npos) price["unit_amount"] = std::stoll(amount);
  documents_.put(price);
  return {200, price};
}

Reply Sandbox::list_prices(const Call& call) {
  const std::vector<std::string> keys = call.form.list_of("lookup_keys");
  std::optional<bool> active;
  if (auto refused = call.form.boolean("active", active)) return *refused;
  return listed(call, "price", {"product", "currency", "type"}, {{"active"}, {"lookup_keys[]"}},
                [&](const json& price) {
                  const bool is_named =
                      keys.empty() ||
                      std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
                        return price["lookup_key"] == key;
                      });
                  return is_named && (!active || price["active"] == *active);
                });
}

// nullopt: another's.
std::optional<Reply> Sandbox::route_billing(const Call& call) {
  std::string_view rest;
  const auto is_kept = [&](const json& event) {
    return now() - event["created"].get<std::int64_t>() <= kReportKeptSeconds;
  };
  if (call.is("POST", kPrices)) return create_price(call);
  if (call.is("GET", kPrices)) return list_prices(call);
  if (call.is_below("/v1/prices/", rest) && call.method == "GET") {
    const json* price = documents_.find("price", rest);
    return price == nullptr ? no_such("price", rest) : Reply{200, *price};
  }
  if (call.is("POST", "/v1/subscriptions")) return create_subscription(call);
  if (call.is("GET", "/v1/subscriptions")) return list_subscriptions(call);
  if (call.is_below("/v1/subscriptions/", rest)) return route_subscription(call, rest);
  if (call.is("GET", "/v1/events")) {
    return listed(call, "event", {"type"}, {}, is_kept);
  }
  if (call.is_below("/v1/events/", rest) && call.method == "GET") {
    const json* event = documents_.find("event", rest);
    return event != nullptr && is_kept(*event) ? Reply{200, *event} : no_such("event", rest);
  }
  return std::nullopt;
}

}  // namespace tally::sandbox
