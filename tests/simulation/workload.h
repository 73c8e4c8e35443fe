// What producers send in a simulated run, and what each message is worth: written down here when it
// is made, so that nobody has to parse it back to know.
#pragma once

#include "aggregator/meter_set.h"
#include "core/decimal.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/sim_log.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::simulation {

// Why a message can never count, whatever came before it.
enum class Flaw : std::uint8_t { kNone, kUnreadable, kUnmetered, kFiltered, kValueMissing };

// What a counted message adds to one meter.
struct Reading {
  std::string meter;
  core::Aggregation aggregation = core::Aggregation::kSum;
  core::WindowSize window = core::WindowSize::kHour;
  std::string dimensions;
  core::Decimal value;
  std::string member;  // of a unique count: equal for equal values
};

struct Message {
  std::string id;
  std::string tenant;
  std::string source;
  std::string type;
  std::optional<std::int64_t> time_us;  // absent: the log's time is the event's
  Flaw flaw = Flaw::kNone;
  std::vector<Reading> readings;
  std::vector<std::string> failed_meters;  // could not read it, though another could
  bool alone = false;        // its tenant has no other identity: the auditor tells the copies apart
  std::size_t identity = 0;  // equal for equal tenant, source, type and id
  bool needs_second_catalogue = false;  // unmetered before the meter of its type was added
};

// The catalogues of a run: first, one meter more, and a change that touches no meter.
[[nodiscard]] std::vector<std::shared_ptr<const aggregator::MeterSet>> make_catalogues();

struct WorkloadRules {
  std::int64_t horizon_us = 0;
  std::int64_t future_bound_us = 0;
  bool headers = false;  // some messages in Kafka's binary mode
};

// Threads: one.
class Workload {
 public:
  Workload(Dice& dice, const WorkloadRules& rules) : dice_(dice), rules_(rules) {}

  // The next message at this log time: fresh, or another copy of an earlier one.
  std::size_t next(std::int64_t log_time_ms);
  // The bytes to append.
  [[nodiscard]] LogEntry entry(std::size_t message, std::int64_t log_time_ms);
  [[nodiscard]] const std::vector<Message>& messages() const { return messages_; }

 private:
  std::size_t add(Message message, std::string data);
  std::size_t fresh(std::int64_t log_time_ms);
  std::size_t copy_of_some(std::int64_t log_time_ms);
  std::size_t changed_copy(std::size_t original, std::int64_t log_time_ms);
  std::string fill(Message& message, std::int64_t value);
  [[nodiscard]] std::string tenant_of(const Message& message);

  Dice& dice_;
  WorkloadRules rules_;
  std::vector<Message> messages_;
  std::vector<std::string> data_;  // the event's data, JSON
  std::vector<std::size_t> sent_;  // per identity
  std::size_t settlers_ = 0;
};

}  // namespace tally::simulation
