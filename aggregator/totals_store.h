// The seam to what remembers: the aggregator's own view of Postgres. Implemented by PostgresStore,
// and by the tests.
#pragma once

#include "aggregator/batch_plan.h"
#include "aggregator/fold.h"
#include "core/identity.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace tally::aggregator {

enum class CommitOutcome : std::uint8_t {
  kCommitted,
  kFenced,          // another owner, generation or offset stands there: the plan is void
  kCatalogueMoved,  // it must be planned again under the new catalogue
};

// What a commit of unknown outcome turned out to be, read under the rows' locks.
enum class Resolution : std::uint8_t { kCommitted, kNotCommitted, kFenced };

struct Deployment {
  core::IdentityHasher::Key identity_key{};
  std::shared_ptr<const MeterSet> meters;
};

// Where the log starts, for a partition that nobody has owned before.
struct AcquireRequest {
  core::PartitionId partition;
  core::Offset log_start;
  std::string owner;  // for people: who holds it
  LogDay horizon_days = 0;
};

// Threads: one at a time. All throw runtime::postgres::Unavailable or StatementFailed when the
// database is away or refuses; after that from commit(), only resolve() tells what happened.
class TotalsStore {
 public:
  virtual ~TotalsStore() = default;

  // The database's key and catalogue. Claims the database for this topic and partition count when
  // it is new; throws Misconfigured when it belongs to another topic or the topic has grown.
  virtual Deployment open(const std::string& topic, std::int32_t partitions) = 0;

  // Raises the partition's epoch, so that no other owner can commit any more, and loads offset and
  // dedup memory in the same snapshot.
  virtual std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) = 0;

  virtual CommitOutcome commit(const BatchPlan& plan) = 0;
  virtual Resolution resolve(const BatchPlan& plan) = 0;
};

// Wrong for good until a person acts; the text says what to do.
class Misconfigured : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace tally::aggregator
