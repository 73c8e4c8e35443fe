// An outbox row on its way, and what the sender reports of it. Plain values.
#pragma once

#include "core/decimal.h"
#include "core/timestamp.h"
#include "exporter/series.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::exporter {

enum class RowState { kPlanned, kSending, kDelivered, kRejected, kUncertain, kHeld };

[[nodiscard]] std::string_view to_string(RowState state);

// An open row as the sender takes it.
struct OutboxRow {
  std::int64_t id = 0;
  std::string stripe_customer;
  std::string event_name;
  std::string value;
  core::Timestamp event_time;
  std::string identifier;
  std::string idempotency_key;
  int key_number = 1;
  RowState state = RowState::kPlanned;  // kPlanned or kSending
  std::optional<core::Timestamp> first_sent_at;
  int attempts = 0;
};

// A row whose outcome must be read back.
struct UncertainRow {
  std::int64_t id = 0;
  std::string stripe_customer;
  std::string event_name;
  Formula formula = Formula::kSum;
  core::Decimal value;
  core::Timestamp event_time;
  core::Timestamp last_sent_at;            // it went out at most kMarkedForSeconds later
  std::optional<core::Timestamp> read_at;  // the first reading
  std::optional<std::string> read_value;   // what it showed; nullopt: nothing
};

// What a reading leads to. kUncertain: it is the first, and `read_value` is what it showed.
struct Settlement {
  std::int64_t id = 0;
  RowState state = RowState::kUncertain;
  std::string reason;
  core::Timestamp at;
  std::optional<std::string> read_value;
};

// One send and its outcome: a row of tally.export_attempt.
struct Attempt {
  std::int64_t outbox_id = 0;
  int number = 0;
  core::Timestamp started_at;
  std::string_view outcome;  // of the table's list; static text
  int http_status = 0;       // 0: none
  std::string request_id;
  std::string detail;
};

// Where a row stands after one or more attempts; written together with them.
struct Transition {
  std::int64_t id = 0;
  RowState state = RowState::kSending;  // kPlanned: known not to have arrived, free again
  std::string reason;
  core::Timestamp at;
  int key_number = 1;
  std::string idempotency_key;
  int attempts = 0;  // as the row was marked for the send; the write is refused when it moved since
};

struct Report {
  std::vector<Attempt> attempts;
  std::vector<Transition> transitions;
  [[nodiscard]] bool empty() const { return attempts.empty() && transitions.empty(); }
};

}  // namespace tally::exporter
