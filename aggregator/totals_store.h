// The seam to what remembers: the aggregator's own view of Postgres. Implemented by PostgresStore,
// and by the simulator; tests/conformance holds the two to one behaviour.
#pragma once

#include "aggregator/batch_plan.h"
#include "aggregator/fold.h"
#include "aggregator/tenant_book.h"
#include "core/identity.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace tally::aggregator {

enum class CommitOutcome : std::uint8_t {
  kCommitted,
  kFenced,          // another owner, generation, offset or handoff stands there: the plan is void
  kCatalogueMoved,  // it must be planned again under the new catalogue
};

// What a commit of unknown outcome turned out to be, read under the rows' locks.
enum class Resolution : std::uint8_t { kCommitted, kNotCommitted, kFenced };

enum class RollUp : std::uint8_t { kNothingToDo, kDone, kFenced };

struct OpenRequest {
  std::string topic;
  std::int32_t partitions = 0;
  // Every aggregator of a database has the same.
  std::int64_t horizon_seconds = 0;
  std::int64_t future_bound_seconds = 0;
};

struct Deployment {
  core::IdentityHasher::Key identity_key{};
  std::shared_ptr<const MeterSet> meters;
  std::shared_ptr<const TenantBook> tenants;  // of the same version as the meters
  // The topology that the database knows. More partitions than the caller saw: its metadata is old,
  // and it must wait for new ones.
  core::Generation generation;
  std::int32_t partitions = 0;
};

struct AcquireRequest {
  core::PartitionId partition;
  core::Generation generation;  // as open() returned it
  std::int32_t partitions = 0;  // as open() returned it
  core::Offset log_start;  // where a partition starts that nobody has owned before; 0: or unknown
  std::string owner;       // for people: who holds it
  dedup::MemorySettings memory;
  // Of hot memory while loading: beyond it, what is loaded goes to memory.cache_folder, if any.
  std::size_t hot_budget_bytes = std::numeric_limits<std::size_t>::max();
};

// Who may change a partition's rows: the fence of every write.
struct PartitionClaim {
  core::PartitionId partition;
  core::Epoch epoch;
  core::Generation generation;
};

// Threads: one at a time. All throw runtime::postgres::Unavailable or StatementFailed when the
// database is away or refuses; after that from commit(), only resolve() tells what happened.
class TotalsStore {
 public:
  virtual ~TotalsStore() = default;

  // The database's key, catalogue and topology. Claims the database for this topic and horizon when
  // it is new; raises the generation of every partition, in order, when the topic has grown: from
  // then on no plan made under fewer partitions commits. Throws Misconfigured when it belongs to
  // another topic, or remembers for another time.
  virtual Deployment open(const OpenRequest& request) = 0;

  // Partitions of the topology that nobody has acquired since the database is used.
  virtual std::int32_t never_owned() = 0;

  // Raises the partition's epoch, so that no other owner can commit any more, and loads offset and
  // dedup memory in the same snapshot: whatever any partition of an earlier topology remembered
  // whose home is this one now. nullptr: the topology is no longer the request's; open() anew.
  virtual std::unique_ptr<PartitionState> acquire(const AcquireRequest& request) = 0;

  // No record of an earlier day is still to come, out of the log or handed off; nullopt: nobody
  // has read one yet. For what waiting_handoffs() brings, ask this one first.
  virtual std::optional<LogDay> slowest_day() = 0;

  // Records handed off to this home, oldest row first, without the rows under way: those folded
  // into plans that are not yet reported. Without the rows that hold a record of a day after
  // `last_day`, if there is one. At most core::kMaxHandoffReadBytes, but at least one row.
  virtual std::vector<HandoffRow> waiting_handoffs(core::PartitionId home,
                                                   const std::set<core::HandoffId>& under_way,
                                                   std::optional<LogDay> last_day) = 0;

  virtual CommitOutcome commit(const BatchPlan& plan) = 0;
  virtual Resolution resolve(const BatchPlan& plan) = 0;

  // Joins the small segments of a partition into few large ones, under the claim. Changes nothing
  // that anybody can see but the number of rows.
  virtual RollUp roll_up(const PartitionClaim& claim) = 0;
  // Drops the days of dedup memory that no partition needs any more: those that lie further behind
  // the slowest partition's clock than the database's horizon and future bound reach.
  virtual void drop_expired() = 0;
};

using StoreFactory = std::function<std::unique_ptr<TotalsStore>()>;

// Wrong for good until a person acts; the text says what to do.
class Misconfigured : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace tally::aggregator
