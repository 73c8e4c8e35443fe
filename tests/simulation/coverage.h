// What happened in the schedules: a simulation that never meets a fault proves nothing about it, so
// `--require-coverage` makes every counter that stayed at zero a failure.
#pragma once

#include "tests/simulation/counters.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace tally::simulation {

enum class Event : std::uint8_t {
  kCommitted,
  kCommittedTogether,
  kFenced,
  kCatalogueMoved,
  kInDoubtCommitted,
  kInDoubtLost,
  kGhostStarted,
  kGhostCommitted,
  kGhostRefused,
  kResolvedCommitted,
  kResolvedNotCommitted,
  kResolvedFenced,
  kBrokenConnection,
  kSerializationFailure,
  kLockTimeout,
  kIdleTransactionKilled,
  kStoreOutage,
  kStoreRestored,
  kCrash,
  kCrashInCommit,
  kCrashInAcquire,
  kStoppedOrderly,
  kZombie,
  kZombieInTransaction,
  kRevokedOrderly,
  kRevokedLost,
  kStaleQueueDelivered,
  kLostByTheClient,
  kStaticRejoin,
  kAcquired,
  kPeriodsOpened,
  kTopologyMoved,
  kGrowth,
  kStaleMetadataOpen,
  kHandedOff,
  kHandoffTaken,
  kHandedOnAgain,
  kRolledUp,
  kForeignSegmentLoaded,
  kSegmentCovered,
  kCacheDamaged,
  kDaysDropped,
  kDuplicate,
  kConflict,
  kLate,
  kRejected,
  kUnmetered,
  kFiltered,
  kMeterReject,
  kUnverifiable,
  kRecountAfterHorizon,
  kAbortedTransaction,
  kOpenTransactionHeldBack,
  kRetentionLost,
  kClockStepBack,
  kCatalogueChange,
  kWrongPartitioner,
  kBrokerSilent,
  kEventCount
};

[[nodiscard]] std::string_view to_string(Event event);

class Coverage : public Counters<Event> {
 public:
  // Who holds a lock for 5 s without a word is ended by the server at the same moment as who waits
  // for it gives up: the conformance suite stages that one.
  [[nodiscard]] std::string missing() const { return Counters::missing({Event::kLockTimeout}); }
};

}  // namespace tally::simulation
