// The life of a subscription; what becomes of its invoices is in invoices.cc.
#include "tests/support/sandbox/billing.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tally::sandbox {
namespace {

using nlohmann::json;

json or_null(const std::optional<std::int64_t>& time) { return time ? json(*time) : json(nullptr); }

bool has_ended(const json& subscription) { return !subscription["ended_at"].is_null(); }

std::int64_t current_end(const json& subscription) {
  return subscription["items"]["data"].at(0)["current_period_end"];
}

}  // namespace

Span span_of(const json& period) { return {period["start"], period["end"].get<std::int64_t>()}; }

Books::Quantity quantity_of(const json& period, const Books& books) {
  const Meter& meter = *books.meter(period["meter"].get_ref<const std::string&>());
  return books.quantity(meter, period["customer"], span_of(period));
}

Rhythm rhythm_of(const json& price) {
  const json& recurring = price["recurring"];
  return {*interval_of(recurring["interval"].get<std::string>()), recurring["interval_count"]};
}

bool is_metered(const json& price) {
  return !price["recurring"].is_null() && price["recurring"]["usage_type"] == "metered";
}

void Billing::emit(const std::string& type, const json& object, std::int64_t now,
                   const json& before) {
  json data = {{"object", object}};
  if (!before.is_null()) data["previous_attributes"] = before;
  documents_.put({{"id", documents_.next_id("event", "evt")},
                  {"object", "event"},
                  {"api_version", behaviour_.api_version},
                  {"created", now},
                  {"livemode", false},
                  {"pending_webhooks", 0},
                  {"request", cause_},
                  {"type", type},
                  // As text, which is a tenth of the tree that shown() makes of it.
                  {"data", data.dump(-1, ' ', false, json::error_handler_t::replace)}});
}

void Billing::open_period(const json& subscription, json& item, std::int64_t start,
                          std::int64_t end) {
  item["current_period_end"] = end;
  const json& price = item["price"];
  item.erase("sandbox");
  if (!is_metered(price)) return;
  const std::string id = documents_.next_id("usage_period", "up");
  item["sandbox"] = {{"period", id}};
  documents_.put({{"id", id},
                  {"object", "usage_period"},
                  {"subscription", subscription["id"]},
                  {"subscription_item", item["id"]},
                  {"price", price},
                  {"meter", price["recurring"]["meter"]},
                  {"customer", subscription["customer"]},
                  {"start", start},
                  {"end", end},
                  {"state", "open"},
                  {"why", ""},
                  {"invoice", ""}});
}

json Billing::ended_period(const json& item, std::int64_t now) const {
  if (!item.contains("sandbox")) return nullptr;
  json period =
      *documents_.find("usage_period", item["sandbox"]["period"].get_ref<const std::string&>());
  period["end"] = std::min(now, period["end"].get<std::int64_t>());
  return period;
}

void Billing::drop(json period, const std::string& why) {
  if (period.is_null()) return;
  period["state"] = "dropped";
  period["why"] = why;
  documents_.put(std::move(period));
}

void Billing::put_subscription(json subscription) {
  json& notes = subscription["sandbox"];
  notes.erase("due");
  if (!has_ended(subscription)) {
    std::int64_t due = current_end(subscription);
    const json& cancel_at = subscription["cancel_at"];
    if (!cancel_at.is_null()) due = std::min(due, cancel_at.get<std::int64_t>());
    notes["due"] = due;
  }
  documents_.put(std::move(subscription));
}

// Its usage is billed from `start` on.
void Billing::add_item(json& subscription, const ItemChange& wanted, std::int64_t start,
                       std::int64_t now) {
  const json& price = *documents_.find("price", wanted.price);
  json& notes = subscription["sandbox"];
  const std::int64_t number = notes["items"].get<std::int64_t>() + 1;
  notes["items"] = number;
  json item = {
      {"id", fmt::format("si_{}_{}", subscription["id"].get<std::string>().substr(4), number)},
      {"object", "subscription_item"},
      {"created", now},
      {"current_period_start", notes["period_start"]},
      {"current_period_end", notes["period_end"]},
      {"metadata", wanted.metadata},
      {"price", price},
      {"subscription", subscription["id"]}};
  if (!is_metered(price)) item["quantity"] = wanted.quantity.value_or(1);
  open_period(subscription, item, start, notes["period_end"]);
  subscription["items"]["data"].push_back(std::move(item));
}

std::string Billing::subscribe(const NewSubscription& wanted, std::int64_t now) {
  const std::string id = documents_.next_id("subscription", "sub");
  const Rhythm rhythm = rhythm_of(*documents_.find("price", wanted.items.at(0).price));
  const std::int64_t start = wanted.backdate.value_or(now);
  const std::int64_t anchor = wanted.anchor.value_or(wanted.trial_end.value_or(now));
  const std::int64_t end = wanted.trial_end.value_or(edge_after(anchor, rhythm, now));
  const auto cancel_at = wanted.cancel_at_period_end ? std::optional(end) : wanted.cancel_at;
  json subscription = {
      {"id", id},
      {"object", "subscription"},
      {"billing_cycle_anchor", anchor},
      {"billing_mode", {{"type", wanted.billing_mode}}},
      {"cancel_at", or_null(cancel_at)},
      {"cancel_at_period_end", wanted.cancel_at_period_end},
      {"canceled_at", cancel_at ? json(now) : json(nullptr)},
      {"collection_method", wanted.collection_method},
      {"created", now},
      {"currency", documents_.find("price", wanted.items.at(0).price)->at("currency")},
      {"customer", wanted.customer},
      {"ended_at", nullptr},
      {"items",
       {{"object", "list"},
        {"data", json::array()},
        {"has_more", false},
        {"url", "/v1/subscription_items?subscription=" + id}}},
      {"latest_invoice", nullptr},
      {"livemode", false},
      {"metadata", wanted.metadata},
      {"start_date", start},
      {"status", wanted.trial_end ? "trialing" : "active"},
      {"trial_end", or_null(wanted.trial_end)},
      {"trial_start", wanted.trial_end ? json(now) : json(nullptr)},
      {"sandbox", {{"items", 0}, {"period_start", start}, {"period_end", end}}}};
  for (const ItemChange& item : wanted.items) add_item(subscription, item, start, now);
  json invoice = new_invoice(subscription, "subscription_create", now);
  for (const json& item : subscription["items"]["data"]) add_nothing(invoice, item);
  add_fees(invoice, subscription, wanted.trial_end.has_value());
  emit("customer.subscription.created", subscription, now);
  draft(std::move(subscription), std::move(invoice), 0, now);
  return id;
}

void Billing::change_item(json& subscription, json& item, const ItemChange& wanted, json& invoice,
                          std::int64_t now) {
  for (const auto& [key, value] : wanted.metadata) item["metadata"][key] = value;
  if (wanted.quantity) item["quantity"] = *wanted.quantity;
  if (wanted.price.empty() || item["price"]["id"] == wanted.price) return;
  json period = ended_period(item, now);
  if (subscription["status"] == "trialing") {
    drop(std::move(period), "trial");
  } else if (subscription["billing_mode"]["type"] == "flexible") {
    if (!period.is_null()) add_usage(invoice, std::move(period));
  } else {
    drop(std::move(period), "price_switch");
  }
  item["price"] = *documents_.find("price", wanted.price);
  item.erase("quantity");
  if (!is_metered(item["price"])) item["quantity"] = wanted.quantity.value_or(1);
  open_period(subscription, item, now, subscription["sandbox"]["period_end"]);
}

void Billing::change_items(const std::string& id, const std::vector<ItemChange>& changes,
                           std::int64_t now) {
  json subscription = *documents_.find("subscription", id);
  const json before = {{"items", subscription["items"]}};
  json invoice = new_invoice(subscription, "subscription_update", now);
  json& items = subscription["items"]["data"];
  for (const ItemChange& wanted : changes) {
    const auto item = std::find_if(items.begin(), items.end(),
                                   [&](const json& one) { return one["id"] == wanted.id; });
    if (item == items.end()) {
      add_item(subscription, wanted, now, now);
    } else if (wanted.deleted) {
      drop(ended_period(*item, now), "item_deleted");
      items.erase(item);
    } else {
      change_item(subscription, *item, wanted, invoice, now);
    }
  }
  emit("customer.subscription.updated", subscription, now, before);
  draft(std::move(subscription), std::move(invoice), behaviour_.update_grace_s, now);
}

void Billing::change(const std::string& id, const json& members, std::int64_t now) {
  json subscription = *documents_.find("subscription", id);
  json before = json::object();
  for (const auto& [name, value] : members.items()) {
    if (subscription[name] == value) continue;
    before[name] = subscription[name];
    subscription[name] = value;
  }
  if (before.empty()) return;
  emit("customer.subscription.updated", subscription, now, before);
  put_subscription(std::move(subscription));
}

void Billing::set_status(const std::string& subscription, const std::string& status,
                         std::int64_t now) {
  change(subscription, {{"status", status}}, now);
}

void Billing::end_trial(const std::string& id, std::int64_t at, std::int64_t now) {
  json subscription = *documents_.find("subscription", id);
  const json before = {{"trial_end", subscription["trial_end"]}};
  subscription["trial_end"] = at;
  subscription["billing_cycle_anchor"] = at;
  subscription["sandbox"]["period_end"] = at;
  for (json& item : subscription["items"]["data"]) {
    item["current_period_end"] = at;
    json period = ended_period(item, at);
    if (period.is_null()) continue;
    period["end"] = at;
    documents_.put(std::move(period));
  }
  if (at > now) {
    emit("customer.subscription.updated", subscription, now, before);
    put_subscription(std::move(subscription));
  } else {
    end_period(std::move(subscription), now);
  }
}

// A period is over: what was used is drafted, and the next begins or the subscription ends.
void Billing::end_period(json subscription, std::int64_t now) {
  json& notes = subscription["sandbox"];
  const bool was_trial = subscription["status"] == "trialing";
  const json& cancel_at = subscription["cancel_at"];
  const bool ends = subscription["cancel_at_period_end"].get<bool>() ||
                    (!cancel_at.is_null() && cancel_at.get<std::int64_t>() <= now);
  json invoice = new_invoice(subscription, "subscription_cycle", now);
  json& items = subscription["items"]["data"];
  for (const json& item : items) {
    json period = ended_period(item, now);
    if (period.is_null()) continue;
    if (was_trial) {
      drop(std::move(period), "trial");
      add_nothing(invoice, item);
    } else {
      add_usage(invoice, std::move(period));
    }
  }
  if (ends) {
    close(subscription, now);
  } else {
    const Rhythm rhythm = rhythm_of(items.at(0)["price"]);
    notes["period_start"] = now;
    notes["period_end"] = edge_after(subscription["billing_cycle_anchor"], rhythm, now);
    json before = {{"items", subscription["items"]}};
    for (json& item : items) {
      item["current_period_start"] = now;
      open_period(subscription, item, now, notes["period_end"]);
    }
    if (was_trial) {
      before["status"] = subscription["status"];
      subscription["status"] = "active";
    }
    add_fees(invoice, subscription, false);
    emit("customer.subscription.updated", subscription, now, before);
  }
  add_waiting_items(invoice);
  // Shorter than the period.
  const std::int64_t next =
      edge_after(subscription["billing_cycle_anchor"], rhythm_of(items.at(0)["price"]), now);
  const std::int64_t grace_s = std::min(behaviour_.grace_s, next - now - 1);
  draft(std::move(subscription), std::move(invoice), grace_s, now);
}

void Billing::close(json& subscription, std::int64_t now) {
  subscription["status"] = "canceled";
  subscription["ended_at"] = now;
  if (subscription["canceled_at"].is_null()) subscription["canceled_at"] = now;
  emit("customer.subscription.deleted", subscription, now);
}

void Billing::cancel(const std::string& id, bool invoice_now, std::int64_t now) {
  json subscription = *documents_.find("subscription", id);
  json invoice = new_invoice(subscription, "subscription_update", now);
  const bool is_trial = subscription["status"] == "trialing";
  for (const json& item : subscription["items"]["data"]) {
    json period = ended_period(item, now);
    if (period.is_null()) continue;
    if (is_trial || !invoice_now) {
      drop(std::move(period), is_trial ? "trial" : "canceled");
    } else {
      add_usage(invoice, std::move(period));
    }
  }
  if (invoice_now) add_waiting_items(invoice);
  close(subscription, now);
  draft(std::move(subscription), std::move(invoice), behaviour_.update_grace_s, now);
}

void Billing::cancel_all(const std::string& customer, std::int64_t now) {
  std::vector<std::string> ids;
  for (const auto& [id, subscription] : documents_.all("subscription")) {
    if (subscription["customer"] == customer && !has_ended(subscription)) ids.push_back(id);
  }
  for (const std::string& id : ids) cancel(id, false, now);
}

void Billing::run(const Documents::Due& due) {
  if (due.object == "invoice") return finalize(due.id, due.at);
  end_period(*documents_.find("subscription", due.id), due.at);
}

}  // namespace tally::sandbox
