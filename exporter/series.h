// The exporter's vocabulary: what is exported to whom, where it stands, and the row that one Stripe
// meter event is. Plain values.
#pragma once

#include "core/decimal.h"
#include "core/stripe_meter.h"
#include "core/timestamp.h"
#include "core/window.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::exporter {

using Formula = core::StripeFormula;

// One Stripe customer and one meter. The tenant is the same as long as the customer is its own.
struct Series {
  std::string stripe_customer;
  std::string tenant;
  std::string meter;
  std::string event_name;
  Formula formula = Formula::kSum;
  core::Decimal multiplier;
  int decimals = 0;
  core::Rounding rounding = core::Rounding::kHalfUp;
};

// What was exported of one series in one period: a row of tally.export_period.
struct Progress {
  core::Decimal planned;                // kSum: Stripe's units, rows that are not rejected
  std::optional<core::Decimal> stated;  // kLast: the newest value; none after a rejection
  std::int64_t revision = 0;            // rows ever born
  std::optional<core::Timestamp> last_event_time;
  int rejections = 0;  // since the last delivery
  std::optional<core::Timestamp> last_rejected_at;
};

// One series in one period: what should be at Stripe, and what was planned.
struct PeriodAccount {
  std::size_t series = 0;  // index into the list of series
  core::Window period;
  std::string total;  // tally's units, as Postgres prints a NUMERIC: it may be beyond Decimal
  std::optional<core::Timestamp> newest_reading;  // kLast
  Progress progress;
};

// What is fixed when a row is born.
struct NewRow {
  std::size_t series = 0;
  core::Window period;
  core::Decimal quantity;  // tally's units: value ÷ multiplier
  core::Decimal value;     // what Stripe gets
  core::Timestamp event_time;
  std::int64_t revision = 0;
  std::string identifier;
  std::string idempotency_key;
};

}  // namespace tally::exporter
