// What the sandbox knows of meters and events, and how it adds up: no HTTP, no clock, no faults.
// Times are unix seconds, given by the caller. One thread at a time.
#pragma once

#include "tests/support/sandbox/reply.h"
#include "tests/support/sandbox/units.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::sandbox {

constexpr std::int64_t kDaySeconds = 86'400;
// Stripe promises "at least 24 hours"; here it is exactly that, so that a blind later resend really
// bills twice.
constexpr std::int64_t kIdentifierSeconds = kDaySeconds;
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

// One accepted meter event, in the order of acceptance.
struct Event {
  std::string meter_id;
  std::string identifier;
  std::string customer;
  std::map<std::string, std::string> payload;
  Units value = 0;
  std::int64_t timestamp = 0;
  std::int64_t received = 0;
  bool cancelled = false;
};

struct SummaryQuery {
  std::string customer;
  std::int64_t start = 0;  // inclusive
  std::int64_t end = 0;    // exclusive
  TimeWindow grouping = TimeWindow::kNone;
};

class Books {
 public:
  // Meters.
  [[nodiscard]] const Meter* meter(std::string_view id) const;
  [[nodiscard]] const Meter* active_meter(std::string_view event_name) const;
  [[nodiscard]] const std::vector<Meter>& meters() const { return meters_; }
  // Adds a meter, or replaces the one with its id.
  void put(Meter meter);
  [[nodiscard]] std::string next_meter_id() const;

  // The event as it would be stored, or why not (§1.2-1.5 of the facts; judged in this order:
  // meter, customer, value, timestamp, identifier). Stores nothing.
  struct Judged {
    Refused refused;
    Event event;
  };
  [[nodiscard]] Judged judge(std::string_view event_name,
                             const std::map<std::string, std::string>& payload,
                             std::string_view identifier, std::int64_t timestamp,
                             std::int64_t now) const;
  void accept(Event event);
  // Cancels by identifier; nullopt when done, else why not.
  [[nodiscard]] Refused cancel(std::string_view event_name, std::string_view identifier,
                               std::int64_t now);

  // Rows of the summary endpoint, newest first; empty buckets are absent.
  [[nodiscard]] nlohmann::json summaries(const Meter& meter, const SummaryQuery& query) const;
  [[nodiscard]] nlohmann::json oracle_totals() const;
  [[nodiscard]] nlohmann::json oracle_events() const;
  [[nodiscard]] std::size_t event_count() const { return events_.size(); }

 private:
  using Positions = std::vector<std::size_t>;
  [[nodiscard]] Positions effective(const Meter& meter, const Positions& candidates) const;
  [[nodiscard]] Units aggregate(const Meter& meter, const Positions& positions) const;

  std::vector<Meter> meters_;
  std::vector<Event> events_;
  std::map<std::pair<std::string, std::string>, Positions> by_series_;  // meter id, customer
  std::map<std::string, std::size_t, std::less<>> by_identifier_;       // the newest under it
};

[[nodiscard]] std::string_view name_of(Formula formula);
[[nodiscard]] std::optional<Formula> formula_of(std::string_view name);
[[nodiscard]] std::optional<TimeWindow> window_of(std::string_view name);
[[nodiscard]] std::int64_t seconds_of(TimeWindow window);  // 0 for kNone
[[nodiscard]] nlohmann::json json_of(const Meter& meter);  // as Stripe shows it
[[nodiscard]] Meter meter_of(const nlohmann::json& shown);
[[nodiscard]] nlohmann::json json_of(const Event& event, const Meter& meter);
[[nodiscard]] Event event_of(const nlohmann::json& shown);

}  // namespace tally::sandbox
