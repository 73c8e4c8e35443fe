// What the sandbox knows of meters and events, and how it adds up: no HTTP, no clock, no faults.
// Times are unix seconds, given by the caller. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"
#include "tests/support/sandbox/customers.h"
#include "tests/support/sandbox/units.h"

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::sandbox {

constexpr std::int64_t kOldestEventSeconds = 35 * kDaySeconds;
constexpr std::int64_t kFutureEventSeconds = 300;

enum class Formula { kSum, kCount, kLast };
// How Stripe merges events of one meter before adding: not at all, or the newest of an hour or day.
enum class TimeWindow { kNone, kHour, kDay };

struct Meter {
  std::string id;
  std::string event_name;
  std::string display_name;
  Formula formula = Formula::kSum;
  TimeWindow window = TimeWindow::kNone;
  std::string customer_key = "stripe_customer_id";
  std::string value_key = "value";
  std::int64_t created = 0;
  std::int64_t updated = 0;
  std::optional<std::int64_t> deactivated_at = {};
  [[nodiscard]] bool active() const { return !deactivated_at; }
};

// What a caller sends as an event.
struct Draft {
  std::string event_name;
  std::map<std::string, std::string> payload;
  std::string identifier;
  std::string idempotency_key;
  std::int64_t timestamp = 0;
};

// An event after its 200 waits until it is due, then it is counted or rejected.
enum class EventState { kPending, kCounted, kRejected };

// One accepted meter event, in the order of acceptance.
struct Event {
  std::string meter_id;  // "": none was found (yet)
  Draft sent;
  std::string customer;
  Units value = 0;
  std::int64_t received = 0;
  std::int64_t due = 0;
  EventState state = EventState::kPending;
  std::string code;     // of the rejection
  std::string message;  // of the rejection
  bool cancelled = false;
  std::string reject_later = {};     // rejected with this code though nothing is wrong; "": not
  std::uint64_t counted_turn = 0;    // of Books::turn(); not in a state file, which repeats them
  std::uint64_t cancelled_turn = 0;  // the same
};

struct SummaryQuery {
  std::string customer;
  std::int64_t start = 0;  // inclusive
  std::int64_t end = 0;    // exclusive
  TimeWindow grouping = TimeWindow::kNone;
};

// Event times from `start` (inclusive) to `end` (exclusive); all of them unless told otherwise.
struct Span {
  std::int64_t start = std::numeric_limits<std::int64_t>::min();
  std::optional<std::int64_t> end = {};
  [[nodiscard]] bool holds(std::int64_t timestamp) const {
    return timestamp >= start && (!end || timestamp < *end);
  }
};

// The code of one whose identifier is known: it holds no identifier itself and is not reported.
constexpr std::string_view kDuplicate = "duplicate_meter_event";

// Why an event is not counted; `code` is that of a report.
struct Problem {
  std::string code;
  std::string message;
};

class Books {
 public:
  // Both outlive this object; what they say may change.
  Books(const Behaviour& behaviour, const Customers& customers)
      : behaviour_(behaviour), customers_(customers) {}

  // Meters.
  [[nodiscard]] const Meter* meter(std::string_view id) const;
  [[nodiscard]] const Meter* active_meter(std::string_view event_name) const;
  [[nodiscard]] const std::vector<Meter>& meters() const { return meters_; }
  // Adds a meter, or replaces the one with its id.
  void put(Meter meter);
  [[nodiscard]] std::string next_meter_id() const;

  // The event as it would be stored, or why not: the checks made at once in the order of Check,
  // then the identifier. Stores nothing.
  struct Judged {
    Refused refused;
    Event event;
  };
  [[nodiscard]] Judged judge(Draft draft, std::int64_t now) const;
  // One of the stream, as it would be stored: it is judged when it is due, but for an identifier
  // that is known, which rejects it at once and without a report.
  [[nodiscard]] Event streamed(Draft draft, std::int64_t now) const;
  // Also one from a state file, in whatever state. Returns its position.
  std::size_t accept(Event event);
  // Counts or rejects what is due, in its order; the positions of those.
  [[nodiscard]] std::vector<std::size_t> settle(std::int64_t now);
  // What settle() once decided of a waiting event. Throws std::runtime_error when it does not wait.
  void restore(std::size_t position, Event event);
  [[nodiscard]] const Event& event(std::size_t position) const { return events_[position]; }

  // Cancels by identifier; a waiting event will not be counted. `position` is of the event.
  struct Cancelled {
    Refused refused;
    std::size_t position = 0;
  };
  [[nodiscard]] Cancelled cancel(std::string_view event_name, const std::string& identifier,
                                 std::int64_t now);
  void cancel(std::size_t position);

  // Rows of the summary endpoint, newest first; empty buckets are absent.
  [[nodiscard]] nlohmann::json summaries(const Meter& meter, const SummaryQuery& query) const;
  // Of the events whose time is in `span`, exactly.
  [[nodiscard]] nlohmann::json oracle_totals(const Span& span = {}) const;
  // At most `limit` from position `from` on.
  [[nodiscard]] nlohmann::json oracle_events(std::size_t from, std::size_t limit) const;
  // What was counted of events whose time is in `span`.
  struct Quantity {
    Units exact = 0;
    Units in_doubles = 0;  // added as doubles in the order of reception, to 12 decimals
  };
  [[nodiscard]] Quantity quantity(const Meter& meter, const std::string& customer,
                                  const Span& span) const;
  // Exactly, of events whose time is in none of `spans`.
  [[nodiscard]] Units outside(const Meter& meter, const std::string& customer,
                              const std::vector<Span>& spans) const;
  // How often something was counted or cancelled so far: an order that a restart repeats.
  [[nodiscard]] std::uint64_t turn() const { return turn_; }
  // By what that grew (0 or above) and shrank (0 or below) after turn `since`, event by event; of a
  // meter that overwrites nothing.
  struct Changes {
    Units added = 0;
    Units removed = 0;
  };
  [[nodiscard]] Changes changes(const Meter& meter, const std::string& customer, const Span& span,
                                std::uint64_t since) const;
  // The meters and customers of whom something was counted.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> series() const;
  // When the next waiting event is due.
  [[nodiscard]] std::optional<std::int64_t> next_due() const;
  [[nodiscard]] std::size_t event_count() const { return events_.size(); }

 private:
  using Positions = std::vector<std::size_t>;
  [[nodiscard]] std::optional<Problem> problem(Check check, Event& event) const;
  // With its meter, customer and when it is due.
  [[nodiscard]] Event begun(Draft draft, std::int64_t now) const;
  [[nodiscard]] Refused refuse_now(Event& event) const;
  [[nodiscard]] bool is_duplicate(const Draft& draft, std::int64_t now) const;
  // How many events were accepted under this identifier.
  [[nodiscard]] std::uint64_t times(const std::string& identifier) const;
  void decide(Event& event) const;
  void count(std::size_t position);
  [[nodiscard]] Positions effective(const Meter& meter, const Positions& candidates) const;
  // Of a customer, with times that `takes` takes.
  template <typename Takes>
  [[nodiscard]] Positions effective_if(const Meter& meter, const std::string& customer,
                                       const Takes& takes) const;
  [[nodiscard]] Units aggregate(const Meter& meter, const Positions& positions) const;
  [[nodiscard]] double double_aggregate(const Meter& meter, const Positions& positions) const;
  [[nodiscard]] nlohmann::json summary_value(const Meter& meter, const Positions& positions) const;

  const Behaviour& behaviour_;
  const Customers& customers_;
  std::vector<Meter> meters_;
  std::vector<Event> events_;
  std::uint64_t turn_ = 0;
  std::set<std::pair<std::int64_t, std::size_t>> waiting_;              // due, position
  std::map<std::pair<std::string, std::string>, Positions> by_series_;  // counted: meter, customer
  // The newest under each identifier and event name, and how many there were.
  struct Known {
    std::size_t position = 0;
    std::uint64_t times = 0;
  };
  std::map<std::pair<std::string, std::string>, Known> by_identifier_;
};

[[nodiscard]] std::string_view name_of(Formula formula);
[[nodiscard]] std::optional<Formula> formula_of(std::string_view name);
[[nodiscard]] std::optional<TimeWindow> window_of(std::string_view name);
[[nodiscard]] std::int64_t seconds_of(TimeWindow window);  // 0 for kNone
[[nodiscard]] nlohmann::json json_of(const Meter& meter);  // as Stripe shows it
[[nodiscard]] Meter meter_of(const nlohmann::json& shown);
[[nodiscard]] nlohmann::json json_of(const Event& event);
[[nodiscard]] Event event_of(const nlohmann::json& shown);

}  // namespace tally::sandbox
