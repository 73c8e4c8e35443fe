// What the conformance suite needs of a store: a fresh one, several connections to it that can be
// stepped against each other, and its tables read back. Implemented over real Postgres here and
// over the simulated store in tests/simulation.
#pragma once

#include "aggregator/store_step.h"
#include "aggregator/totals_store.h"
#include "core/meter.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace tally::conformance {

using aggregator::LogDay;
using aggregator::StoreStep;

enum class Halt : std::uint8_t {
  kAtStep,    // the call stands at the step
  kBlocked,   // it waits for a lock of another connection; ask again when that has gone on
  kFinished,  // it returned, or threw: see failure()
};

// One connection and the call on it, in a thread or fiber of its own that moves only while run_to()
// or finish() runs: between them it stands still, with its transaction open and its locks held. A
// blocked call may go on by itself as soon as the lock is free. Destroyed with a call under way:
// the client dies where it stands, its transaction is rolled back.
class StoreConnection {
 public:
  using Call = std::function<void(aggregator::TotalsStore&)>;
  virtual ~StoreConnection() = default;

  // One call at a time. It does not move yet.
  virtual void start(Call call) = 0;
  // Until the call next meets this step. kFinished: it ended without.
  virtual Halt run_to(StoreStep step) = 0;
  // To its end: never kAtStep.
  virtual Halt finish() = 0;
  // After kFinished: what the call threw; nullptr when it returned.
  [[nodiscard]] virtual std::exception_ptr failure() const = 0;

  // While kBlocked: the lock_timeout passes. The call ends with StatementFailed 55P03, retriable;
  // drop_expired() just returns.
  virtual void time_out() = 0;
  // The client breaks where it stands (at a step): the call ends with Unavailable (at kAfterCommit
  // it returns, and the next call is the one to notice), the server rolls its transaction back.
  virtual void cut() = 0;
  // The next COMMIT of a commit() is sent, and the connection breaks before the answer: the call
  // throws InDoubt, while the transaction stays under way on the server, a ghost that holds all its
  // locks until end_ghost().
  virtual void lose_next_commit() = 0;
};

enum class GhostEnd : std::uint8_t { kCommits, kAborts };

struct StoredPartition {
  core::Epoch epoch;
  core::Generation generation;
  core::Offset base;
  core::Offset next;
  std::optional<core::Offset> last_offset;
  std::optional<core::Timestamp> last_log_time;
  friend bool operator==(const StoredPartition&, const StoredPartition&) = default;
};

struct StoredHandoff {
  core::HandoffId id;
  core::PartitionId source;
  core::PartitionId home;
  std::int64_t records = 0;
  std::string bytes;
  friend bool operator==(const StoredHandoff&, const StoredHandoff&) = default;
};

struct StoredReject {
  aggregator::RejectClass reject_class = aggregator::RejectClass::kRejected;
  std::string reason;
  std::int64_t verdicts = 0;  // a replayed record may get several
  friend bool operator==(const StoredReject&, const StoredReject&) = default;
};
// Partition and offset of the record, meter ('' for the whole record).
using RejectPlace = std::tuple<core::PartitionId, core::Offset, std::string>;

// Partition, day, and the partition count of the topic when they were claimed.
using IdentityPlace = std::tuple<core::PartitionId, LogDay, std::int32_t>;

// The tables, as far as a commit can be told by them; read in one snapshot.
struct StoredBook {
  std::int32_t partitions = 0;
  core::Generation generation;
  std::map<core::PartitionId, StoredPartition> states;
  // consumed, received, handed_off, counted, readmitted, skipped.
  std::map<std::pair<core::PartitionId, LogDay>, std::vector<std::int64_t>> ledger;
  std::map<IdentityPlace, std::vector<core::DedupEntry>> identities;  // sorted, in whatever rows
  std::size_t small_segments = 0;                                     // rows
  std::size_t rolled_up = 0;                                          // rows
  std::vector<StoredHandoff> handoffs;                                // by id
  std::map<std::pair<std::string, std::string>, std::string>
      usage;  // tenant, meter: sum of quantity
  std::map<RejectPlace, StoredReject> rejects;
  // Everything but how many rows the identities lie in.
  [[nodiscard]] bool same_content(const StoredBook& other) const {
    return partitions == other.partitions && generation == other.generation &&
           states == other.states && ledger == other.ledger && identities == other.identities &&
           handoffs == other.handoffs && usage == other.usage && rejects == other.rejects;
  }
};

class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual std::unique_ptr<StoreConnection> connect() = 0;
  // While every connection stands still. The one ghost that lose_next_commit() made ends.
  virtual void end_ghost(GhostEnd end) = 0;
  // A change of the catalogue: the meters replace the old ones, the version rises by one. A
  // connection of its own that never waits.
  virtual void change_catalogue(const std::vector<core::Meter>& meters) = 0;
  // What `tally-admin horizon set` does: the catalogue's version rises too.
  virtual void change_horizon(std::int64_t horizon_seconds, std::int64_t future_bound_seconds) = 0;
  virtual StoredBook read() = 0;
  // What admin does: records put back for their home.
  virtual void readmit(core::PartitionId home, std::int64_t records, const std::string& block) = 0;
};

// A fresh store with no partition, no meter and no topic.
struct Subject {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;

  friend void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }
};

}  // namespace tally::conformance
