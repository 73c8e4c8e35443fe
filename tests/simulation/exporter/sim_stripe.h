// Stripe, simulated: what it promises about identifiers and Idempotency-Keys and nothing beyond,
// with the faults that its documentation and its users report. Both memories last exactly 24 h.
#pragma once

#include "exporter/meter_event_api.h"
#include "tests/simulation/exporter/books.h"
#include "tests/simulation/exporter/events.h"
#include "tests/simulation/scheduler.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation::exporting {

// Chances in 1000, per request, while faults are on.
struct StripeRules {
  std::int64_t not_connected = 0;
  std::int64_t request_lost = 0;
  std::int64_t answer_lost = 0;
  std::int64_t arrives_late = 0;  // up to 8 minutes after the client gave up
  std::int64_t conflict = 0;
  std::int64_t rate_limited = 0;
  std::int64_t lock_timeout = 0;
  std::int64_t stored_500 = 0;
  std::int64_t unstored_5xx = 0;
  std::int64_t key_refused = 0;
  std::int64_t meter_unknown = 0;  // as if it were inactive, for one request
  std::int64_t reading_failed = 0;
  std::int64_t most_lag_seconds = 0;  // from an event to the summary of its minute; < 1 h
};

// What an outage does to every request.
enum class Outage : std::uint8_t {
  kNone,
  kNotConnected,
  kAnswersLost,
  kRequestsLost,
  kUnstored5xx
};

// One meter event that Stripe took.
struct Taken {
  exporter::MeterEvent event;
  core::Timestamp at;
  core::Timestamp shown_at;  // in summaries
};

class SimStripe {
 public:
  SimStripe(Scheduler& scheduler, Coverage& coverage)
      : scheduler_(scheduler), coverage_(coverage) {}

  // From a lane's fiber: what became of the request, when it is known or the client gives up.
  exporter::ApiAnswer send(const exporter::MeterEvent& event);
  // What the minute shows of what was taken up to `lag` ago.
  exporter::MinuteReading read_minute(const exporter::MinuteQuery& query);

  [[nodiscard]] const std::vector<Taken>& taken() const { return taken_; }
  [[nodiscard]] bool has_taken(const std::string& identifier) const {
    return ever_.contains(identifier);
  }
  // Requests that may still arrive.
  [[nodiscard]] std::size_t under_way() const { return under_way_; }

  StripeRules rules;
  Outage outage = Outage::kNone;
  std::set<std::string> inactive;  // event names
  std::function<void(const exporter::MeterEvent&)> on_taken;

 private:
  struct Call;
  enum class Fate { kAnswered, kStored500, kUnstored5xx };
  exporter::ApiAnswer execute(const exporter::MeterEvent& event, Fate fate);
  exporter::ApiAnswer process(const exporter::MeterEvent& event, Fate fate);
  exporter::ApiAnswer take(const exporter::MeterEvent& event);
  [[nodiscard]] std::optional<exporter::ApiAnswer> refuse_unseen(const exporter::MeterEvent& event);
  [[nodiscard]] std::optional<std::string> invalid(const exporter::MeterEvent& event) const;
  void carry(const std::shared_ptr<Call>& call);  // a fiber of its own
  [[nodiscard]] bool strikes(std::int64_t per_mille, Event event);

  struct Stored {
    std::string parameters;
    exporter::ApiAnswer answer;
    core::Timestamp at;
  };
  Scheduler& scheduler_;
  Coverage& coverage_;
  std::shared_ptr<Process> nature_ = std::make_shared<Process>();
  std::map<std::string, core::Timestamp> identifiers_;  // since when
  std::map<std::string, Stored> keys_;
  std::set<std::string> keys_in_flight_;
  std::set<std::pair<std::string, std::string>> series_in_flight_;  // customer, event name
  std::set<std::string> ever_;
  std::vector<Taken> taken_;
  std::size_t under_way_ = 0;
};

// A lane's way there.
class SimMeterEvents final : public exporter::MeterEventApi {
 public:
  explicit SimMeterEvents(SimStripe& stripe) : stripe_(stripe) {}
  exporter::ApiAnswer send(const exporter::MeterEvent& event) override {
    return stripe_.send(event);
  }
  exporter::MinuteReading read_minute(const exporter::MinuteQuery& query) override {
    return stripe_.read_minute(query);
  }

 private:
  SimStripe& stripe_;
};

}  // namespace tally::simulation::exporting
