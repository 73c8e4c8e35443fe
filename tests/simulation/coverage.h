// What happened in the schedules: a simulation that never meets a fault proves nothing about it, so
// `--require-coverage` makes every counter that stayed at zero a failure.
#pragma once

#include <array>
#include <cstddef>
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

class Coverage {
 public:
  void count(Event event, std::int64_t times = 1) {
    counts_.at(static_cast<std::size_t>(event)) += times;
  }
  [[nodiscard]] std::int64_t of(Event event) const {
    return counts_.at(static_cast<std::size_t>(event));
  }
  void add(const Coverage& other);
  // One line per counter.
  [[nodiscard]] std::string table() const;
  // The names of those that never happened; empty when each did.
  [[nodiscard]] std::string missing() const;

 private:
  std::array<std::int64_t, static_cast<std::size_t>(Event::kEventCount)> counts_{};
};

}  // namespace tally::simulation
