// What can happen in a schedule of the exporter.
#pragma once

#include "tests/simulation/counters.h"

#include <cstdint>
#include <string_view>

namespace tally::simulation::exporting {

enum class Event : std::uint8_t {
  kBorn,
  kDelivered,
  kDuplicate,
  kRejected,
  kUncertain,
  kFreed,  // known not to have arrived
  kNewKey,
  kSplit,
  kCorrection,
  kLateUse,
  kRounded,  // a period's total, at rest
  kGaugeStated,
  kNotConnected,
  kRequestLost,
  kAnswerLost,
  kArrivedLate,  // after the client had given up
  kConflict,
  kRateLimited,
  kLockTimeout,
  kStored500,
  kUnstored5xx,
  kReplayed,
  kKeyRefused,
  kMeterInactive,
  kMeterUnknown,
  kIdentifierKnown,
  kReadingFailed,
  kReadPresent,
  kReadAbsent,
  kReadBack,  // an uncertain row was found delivered
  kNeverArrived,
  kStripeOutage,
  kLongOutage,  // more than Stripe's 24 h
  kStoreBroke,
  kCommitAnswerLost,
  kStoreOutage,
  kKilled,
  kFrozen,
  kLockLost,
  kTwoAtOnce,  // an exporter sends while another holds the lock
  kRefusedByState,
  kEventCount
};

[[nodiscard]] std::string_view to_string(Event event);
using Coverage = Counters<Event>;

}  // namespace tally::simulation::exporting
