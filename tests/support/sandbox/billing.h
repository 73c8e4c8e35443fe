// Subscriptions and invoices: when periods end, what is drafted, frozen, paid or lost. No HTTP, no
// clock: each moment is given by the caller, in order. What it knows are Documents; besides
// Stripe's own it keeps one "usage_period" for each span of time whose usage of one meter one
// subscription item bills (or drops), which is what the oracle reads. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"
#include "tests/support/sandbox/books.h"
#include "tests/support/sandbox/calendar.h"
#include "tests/support/sandbox/documents.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::sandbox {

// What a caller says of one item of a subscription, new or there already.
struct ItemChange {
  std::string id;  // "": a new one
  std::string price;
  std::optional<std::int64_t> quantity;  // of a price that is not metered
  std::map<std::string, std::string> metadata;
  bool deleted = false;
};

struct NewSubscription {
  std::string customer;
  std::vector<ItemChange> items;  // each with a price that is there, all of one rhythm
  std::optional<std::int64_t> anchor;
  std::optional<std::int64_t> backdate;
  std::optional<std::int64_t> trial_end;
  std::optional<std::int64_t> cancel_at;
  bool cancel_at_period_end = false;
  std::string billing_mode = "flexible";
  std::string collection_method = "charge_automatically";
  std::map<std::string, std::string> metadata;
};

class Billing {
 public:
  using Json = nlohmann::json;

  // All outlive this object.
  Billing(const Behaviour& behaviour, const Books& books, Documents& documents)
      : behaviour_(behaviour), books_(books), documents_(documents) {}

  // Whose request makes the events from now on; null: the clock.
  void set_cause(Json request) { cause_ = std::move(request); }
  // An event of that type with the object as it stands; `before` is what *.updated says was other.
  void emit(const std::string& type, const Json& object, std::int64_t now,
            const Json& before = nullptr);

  // The subscription's id.
  [[nodiscard]] std::string subscribe(const NewSubscription& wanted, std::int64_t now);
  // Deletes, adds and re-prices items: usage so far of one that is deleted is dropped; of one that
  // gets another price it is invoiced now (flexible) or dropped (classic).
  void change_items(const std::string& id, const std::vector<ItemChange>& changes,
                    std::int64_t now);
  // Takes over members of Stripe's object, and tells who listens.
  void change(const std::string& id, const Json& members, std::int64_t now);
  // Ends the trial now, or at another time ahead.
  void end_trial(const std::string& id, std::int64_t at, std::int64_t now);
  // Ends it now; usage so far is invoiced when `invoice_now`, else dropped.
  void cancel(const std::string& id, bool invoice_now, std::int64_t now);
  // Every subscription of a customer who is deleted.
  void cancel_all(const std::string& customer, std::int64_t now);

  // Freezes a draft's quantities and has it paid, as the setting `payments` says.
  void finalize(const std::string& invoice, std::int64_t now);
  // Of an open invoice: it is paid, or the payment fails and its subscription is past due.
  void pay(const std::string& invoice, std::int64_t now);
  void fail_payment(const std::string& invoice, std::int64_t now);
  // An item waits for its customer's next draft, or goes into the one that it names.
  void add_invoice_item(Json item);

  // Any status; tells who listens.
  void set_status(const std::string& subscription, const std::string& status, std::int64_t now);
  // A document that Documents::take_changes() gave once.
  void restore(const Json& document);

  // Does what is due at exactly this moment.
  void run(const Documents::Due& due);

 private:
  // Usage periods.
  void open_period(const Json& subscription, Json& item, std::int64_t start, std::int64_t end);
  // The open one of an item, ended now at the latest; null when the item has none.
  [[nodiscard]] Json ended_period(const Json& item, std::int64_t now) const;
  void drop(Json period, const std::string& why);
  // Subscriptions.
  void add_item(Json& subscription, const ItemChange& wanted, std::int64_t start, std::int64_t now);
  void change_item(Json& subscription, Json& item, const ItemChange& wanted, Json& invoice,
                   std::int64_t now);
  void put_subscription(Json subscription);
  void end_period(Json subscription, std::int64_t now);
  void close(Json& subscription, std::int64_t now);
  // Invoices.
  [[nodiscard]] Json new_invoice(const Json& subscription, const std::string& reason,
                                 std::int64_t now) const;
  void add_line(Json& invoice, Json line) const;
  void add_usage(Json& invoice, Json period);
  void add_nothing(Json& invoice, const Json& item) const;
  void add_fees(Json& invoice, const Json& subscription, bool free) const;
  void add_waiting_items(Json& invoice);
  void add_item_line(Json& invoice, Json item);
  // Unless it has no line. `subscription` is put before it.
  void draft(Json subscription, Json invoice, std::int64_t grace_s, std::int64_t now);
  [[nodiscard]] Units quantity_for_line(const Books::Quantity& counted) const;
  void note_item(const Json& item);

  const Behaviour& behaviour_;
  const Books& books_;
  Documents& documents_;
  Json cause_ = nullptr;
  std::set<std::pair<std::string, std::string>> waiting_items_;  // customer, id
};

// What was counted by now of a usage period.
[[nodiscard]] Books::Quantity quantity_of(const nlohmann::json& period, const Books& books);
[[nodiscard]] Span span_of(const nlohmann::json& period);
// Of a recurring price.
[[nodiscard]] Rhythm rhythm_of(const nlohmann::json& price);
[[nodiscard]] bool is_metered(const nlohmann::json& price);

}  // namespace tally::sandbox
