// Subscriptions.
#include "tests/support/sandbox/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace tally::sandbox {
namespace {

using nlohmann::json;

// What Stripe takes and the sandbox has no use for.
const std::vector<Parameter> kUnused = {
    {"proration_behavior"}, {"payment_behavior"}, {"off_session"}, {"currency"},
    {"description"},        {"days_until_due"},   {"expand[]"},    {"default_payment_method"}};

// The time under `key` must be in [from, …); absent is fine.
Refused read_time(const Form& form, std::string_view key, std::int64_t from, std::int64_t to,
                  std::optional<std::int64_t>& out) {
  if (auto refused = form.integer(key, out)) return refused;
  if (!out || (*out >= from && *out <= to)) return std::nullopt;
  return invalid_request(fmt::format("Invalid timestamp: {} is from {} to {}.", key, from, to), "",
                         key);
}

constexpr std::int64_t kFarAhead = 5 * 366 * kDaySeconds;
constexpr std::int64_t kMostOfAnItem = 999'999'999;  // licensed

}  // namespace

// `subscription`: the one that is changed, nullptr for a new one.
Refused Sandbox::read_items(const Call& call, const json* subscription,
                            std::vector<ItemChange>& out) {
  std::map<std::string, std::string> prices;  // item -> price
  if (subscription != nullptr) {
    for (const json& item : (*subscription)["items"]["data"])
      prices[item["id"]] = item["price"]["id"];
  }
  for (const auto& [index, form] : call.form.forms_of("items")) {
    ItemChange item;
    item.id = form.get("id");
    item.price = form.get("price");
    item.metadata = form.map_of("metadata");
    item.deleted = form.get("deleted") == "true";
    if (auto refused = form.integer("quantity", item.quantity)) return refused;
    if (item.quantity.value_or(1) < 0 || item.quantity.value_or(1) > kMostOfAnItem) {
      return invalid_request(fmt::format("A quantity is from 0 to {}.", kMostOfAnItem), "",
                             "quantity");
    }
    const json* price = documents_.find("price", item.price);
    if (!item.id.empty() && !prices.contains(item.id)) {
      return declined("No such subscription item: '" + item.id + "'", "resource_missing");
    }
    if (item.price.empty() ? item.id.empty() : price == nullptr) {
      return declined("No such price: '" + item.price + "'", "resource_missing");
    }
    if (price != nullptr && (*price)["type"] != "recurring") {
      return declined(
          "The price specified is set to `type=one_time` but this field only accepts "
          "prices with `type=recurring`.");
    }
    if (price != nullptr && !(*price)["active"].get<bool>()) {
      return declined("The price specified is inactive. This field only accepts active prices.");
    }
    const json* after = price != nullptr ? price : documents_.find("price", prices[item.id]);
    if (item.quantity && is_metered(*after)) {
      return declined("A metered item has no quantity of its own.");
    }
    const std::string name = item.id.empty() ? fmt::format("new {}", index) : item.id;
    item.deleted ? static_cast<void>(prices.erase(name))
                 : static_cast<void>(prices[name] = (*after)["id"]);
    out.push_back(std::move(item));
  }
  if (prices.empty()) return declined("A subscription has at least one item.");
  const std::string& first = prices.begin()->second;
  return check_together(subscription == nullptr ? *documents_.find("price", first)
                                                : (*subscription)["items"]["data"].at(0)["price"],
                        prices);
}

// Whether the prices of items go together, and with one that the subscription has.
Refused Sandbox::check_together(const json& one,
                                const std::map<std::string, std::string>& prices) const {
  std::set<std::string> seen;
  for (const auto& [item, id] : prices) {
    const json& price = *documents_.find("price", id);
    if (!seen.insert(id).second) {
      return declined("A price is in a subscription once: " + id);
    }
    if (!(rhythm_of(price) == rhythm_of(one))) {
      return declined("The items of a subscription here have one interval, which stays.");
    }
    if (price["currency"] != one["currency"]) {
      return declined("The items of a subscription have one currency.");
    }
  }
  return std::nullopt;
}

Reply Sandbox::create_subscription(const Call& call) {
  const Form& form = call.form;
  std::vector<Parameter> known = kUnused;
  for (const Parameter& one : std::vector<Parameter>{{"customer", true},
                                                     {"items[#][price]", true},
                                                     {"items[#][quantity]"},
                                                     {"items[#][metadata][*]", false, 500},
                                                     {"billing_cycle_anchor"},
                                                     {"backdate_start_date"},
                                                     {"trial_end"},
                                                     {"trial_period_days"},
                                                     {"cancel_at"},
                                                     {"cancel_at_period_end"},
                                                     {"billing_mode[type]"},
                                                     {"collection_method"},
                                                     {"metadata[*]", false, 500}}) {
    known.push_back(one);
  }
  if (auto refused = form.check(known)) return *refused;
  NewSubscription wanted;
  wanted.customer = form.get("customer");
  wanted.metadata = form.map_of("metadata");
  wanted.billing_mode = form.get("billing_mode[type]", wanted.billing_mode);
  wanted.collection_method = form.get("collection_method", wanted.collection_method);
  const bool known_mode = wanted.billing_mode == "classic" || wanted.billing_mode == "flexible";
  if (auto refused = choice("billing_mode[type]", "classic or flexible", known_mode))
    return *refused;
  const bool known_method = wanted.collection_method == "charge_automatically" ||
                            wanted.collection_method == "send_invoice";
  if (auto refused =
          choice("collection_method", "charge_automatically or send_invoice", known_method)) {
    return *refused;
  }
  if (!customers_.exists(wanted.customer)) {
    return declined("No such customer: '" + wanted.customer + "'", "resource_missing");
  }
  if (auto refused = read_items(call, nullptr, wanted.items)) return *refused;
  const std::int64_t at = now();
  const std::int64_t far = at + kFarAhead;
  if (auto refused = read_time(form, "billing_cycle_anchor", at, far, wanted.anchor))
    return *refused;
  if (auto refused = read_time(form, "backdate_start_date", 0, at, wanted.backdate))
    return *refused;
  if (auto refused = read_time(form, "trial_end", at + 1, far, wanted.trial_end)) return *refused;
  if (auto refused = read_time(form, "cancel_at", at + 1, far, wanted.cancel_at)) return *refused;
  std::optional<std::int64_t> days;
  if (auto refused = form.integer("trial_period_days", days)) return *refused;
  if (days && (*days < 1 || *days > 730)) {
    return invalid_request("Invalid trial_period_days", "", "trial_period_days");
  }
  if (days && !wanted.trial_end) wanted.trial_end = at + *days * kDaySeconds;
  std::optional<bool> cancels;
  if (auto refused = form.boolean("cancel_at_period_end", cancels)) return *refused;
  wanted.cancel_at_period_end = cancels.value_or(false);
  const std::string id = billing_.subscribe(wanted, at);
  return {200, *documents_.find("subscription", id)};
}

Reply Sandbox::list_subscriptions(const Call& call) {
  const std::string status = call.form.get("status");
  return listed(call, "subscription", {"customer", "collection_method"}, {{"status"}, {"price"}},
                [&](const json& subscription) {
                  const bool is_canceled = subscription["status"] == "canceled";
                  const bool fits = status.empty()      ? !is_canceled
                                    : status == "all"   ? true
                                    : status == "ended" ? is_canceled
                                                        : subscription["status"] == status;
                  const auto price = call.form.find("price");
                  const json& items = subscription["items"]["data"];
                  return fits &&
                         (!price || std::any_of(items.begin(), items.end(), [&](auto& item) {
                           return item["price"]["id"] == *price;
                         }));
                });
}

Reply Sandbox::route_subscription(const Call& call, std::string_view id) {
  const json* subscription = documents_.find("subscription", id);
  if (subscription == nullptr) return no_such("subscription", id);
  if (call.method == "GET") {
    if (auto refused = call.form.check({{"expand[]"}})) return *refused;
    return {200, *subscription};
  }
  if ((*subscription)["status"] == "canceled") {
    return declined("A canceled subscription cannot be changed.");
  }
  if (call.method == "POST") return update_subscription(call, *subscription);
  if (call.method == "DELETE") return cancel_subscription(call, *subscription);
  return unknown_url(call.method, call.path);
}

Reply Sandbox::cancel_subscription(const Call& call, const json& subscription) {
  if (auto refused = call.form.check({{"invoice_now"}, {"prorate"}, {"expand[]"}})) return *refused;
  std::optional<bool> invoices;
  if (auto refused = call.form.boolean("invoice_now", invoices)) return *refused;
  const std::string id = subscription["id"];
  billing_.cancel(id, invoices.value_or(false), now());
  return {200, *documents_.find("subscription", id)};
}

Reply Sandbox::update_subscription(const Call& call, const json& subscription) {
  const Form& form = call.form;
  std::vector<Parameter> known = kUnused;
  for (const Parameter& one : std::vector<Parameter>{{"items[#][id]"},
                                                     {"items[#][price]"},
                                                     {"items[#][quantity]"},
                                                     {"items[#][deleted]"},
                                                     {"items[#][clear_usage]"},
                                                     {"items[#][metadata][*]", false, 500},
                                                     {"trial_end"},
                                                     {"cancel_at"},
                                                     {"cancel_at_period_end"},
                                                     {"metadata[*]", false, 500}}) {
    known.push_back(one);
  }
  if (auto refused = form.check(known)) return *refused;
  const std::string id = subscription["id"];
  std::vector<ItemChange> items;
  if (auto refused = read_items(call, &subscription, items)) return *refused;
  const bool ends_trial_now = form.get("trial_end") == "now";
  std::optional<std::int64_t> trial_end;
  if (!ends_trial_now) {
    if (auto refused = read_time(form, "trial_end", now() + 1, now() + kFarAhead, trial_end)) {
      return *refused;
    }
  }
  const bool is_trial = subscription["status"] == "trialing";
  if ((ends_trial_now || trial_end) && !is_trial) {
    return declined("Only a trial that goes on can be given another end here.");
  }
  if (auto refused = change_cancelling(call, subscription)) return *refused;
  json metadata = subscription["metadata"];
  for (const auto& [key, value] : form.map_of("metadata")) {
    value.empty() ? static_cast<void>(metadata.erase(key))
                  : static_cast<void>(metadata[key] = value);
  }
  billing_.change(id, {{"metadata", metadata}}, now());
  if (!items.empty()) billing_.change_items(id, items, now());
  if (ends_trial_now || trial_end) billing_.end_trial(id, trial_end.value_or(now()), now());
  return {200, *documents_.find("subscription", id)};
}

// Cancelling at the period's end shows as cancel_at too; `false` takes it back.
Refused Sandbox::change_cancelling(const Call& call, const json& subscription) {
  std::optional<bool> at_end;
  std::optional<std::int64_t> at;
  if (auto refused = call.form.boolean("cancel_at_period_end", at_end)) return refused;
  if (auto refused = read_time(call.form, "cancel_at", now() + 1, now() + kFarAhead, at)) {
    return refused;
  }
  if (!at_end && !at) return std::nullopt;
  json members = {{"cancel_at_period_end", at_end.value_or(false)},
                  {"cancel_at", nullptr},
                  {"canceled_at", nullptr}};
  if (at_end.value_or(false)) members["cancel_at"] = subscription["sandbox"]["period_end"];
  if (at) members["cancel_at"] = *at;
  if (!members["cancel_at"].is_null()) members["canceled_at"] = now();
  billing_.change(subscription["id"], members, now());
  return std::nullopt;
}

}  // namespace tally::sandbox
