// Named moments inside the calls of a TotalsStore, so that a test can stop one connection exactly
// there and let another go on. In production they are the failpoints of the same names.
#pragma once

#include <cstdint>
#include <functional>

namespace tally::aggregator {

enum class StoreStep : std::uint8_t {
  kBeforeCommit,      // commit: nothing was sent; days of dedup memory not yet made sure of
  kFenced,            // commit: the guard passed, the rows of its partitions are locked
  kInCommit,          // commit: everything is written, COMMIT is not yet sent
  kAfterCommit,       // commit: the database has confirmed it
  kResolving,         // resolve: nothing was read yet
  kBeforeAcquire,     // acquire: nothing was sent
  kEpochRaised,       // acquire: the snapshot is taken, the row is locked, COMMIT not yet sent
  kMemoryListed,      // acquire: which rows to load is known, none is loaded
  kMemoryLoaded,      // acquire: all is loaded, COMMIT not yet sent
  kGrowthLocked,      // open: a growth holds the deployment's row; no partition was raised yet
  kGenerationRaised,  // open: every partition is raised, COMMIT not yet sent
  kRollUpLocked,      // roll_up: the claim holds and its row is locked; nothing was joined yet
  kRolledUp,          // roll_up: joined, COMMIT not yet sent; once for each row it makes
};

// Called on the thread of the call. What it throws ends the call: its transaction is rolled back,
// as when the process had died there.
using StoreObserver = std::function<void(StoreStep)>;

}  // namespace tally::aggregator
