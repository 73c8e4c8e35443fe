#include "aggregator/postgres_store.h"

#include "aggregator/acquire.h"
#include "aggregator/commit.h"
#include "aggregator/load_tenants.h"
#include "core/catalogue.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/lifecycle/failpoint.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using runtime::postgres::Connection;
using runtime::postgres::InDoubt;
using runtime::postgres::Isolation;
using runtime::postgres::Params;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;
using runtime::postgres::Unavailable;

constexpr const char* kSerialization = "40001";
constexpr const char* kLockTimeout = "55P03";
constexpr const char* kNoSuchDay = "23514";  // no partition for the row; other checks too
constexpr int kSnapshots = 10;               // that an acquisition takes before it gives up for now

// In production each step is a failpoint, off unless a drill asks for it.
void hit_failpoint(StoreStep step) {
  using runtime::lifecycle::failpoint;
  switch (step) {
    case StoreStep::kBeforeCommit:
      return failpoint("aggregator.before_commit");
    case StoreStep::kFenced:
      return failpoint("aggregator.after_fence");
    case StoreStep::kInCommit:
      return failpoint("aggregator.in_commit");
    case StoreStep::kAfterCommit:
      return failpoint("aggregator.after_commit");
    case StoreStep::kResolving:
      return failpoint("aggregator.before_resolve");
    case StoreStep::kBeforeAcquire:
      return failpoint("aggregator.before_acquire");
    case StoreStep::kEpochRaised:
      return failpoint("aggregator.after_epoch_raised");
    case StoreStep::kMemoryListed:
      return failpoint("aggregator.before_memory_load");
    case StoreStep::kMemoryLoaded:
      return failpoint("aggregator.after_memory_load");
    case StoreStep::kGrowthLocked:
      return failpoint("aggregator.before_growth");
    case StoreStep::kGenerationRaised:
      return failpoint("aggregator.after_growth");
    case StoreStep::kRollUpLocked:
      return failpoint("aggregator.before_roll_up");
    case StoreStep::kRolledUp:
      return failpoint("aggregator.after_roll_up");
  }
}

std::shared_ptr<const MeterSet> load_meters(Transaction& transaction) {
  const Rows version = transaction.exec("SELECT version FROM tally.catalogue_version");
  const Rows rows =
      transaction.exec("SELECT definition, created_version FROM tally.meter ORDER BY slug");
  std::vector<core::Meter> meters;
  std::int64_t newest = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto meter = core::parse_meter(rows.text(i, 0));
    if (!meter)
      throw Misconfigured("tally.meter holds a definition that cannot be read: " +
                          meter.error().message);
    meters.push_back(std::move(meter.value()));
    newest = std::max(newest, rows.int64(i, 1));
  }
  return std::make_shared<const MeterSet>(std::move(meters),
                                          core::CatalogueVersion(version.int64(0, 0)),
                                          core::CatalogueVersion(newest));
}

struct Topology {
  std::string topic;
  std::int32_t partitions = 0;
  core::Generation generation;
  std::string identity_key;
  std::optional<std::int64_t> horizon_seconds = std::nullopt;
  std::int64_t future_bound_seconds = 0;
};

std::optional<Topology> read_topology(Transaction& transaction, const char* lock = "") {
  const Rows row = transaction.exec(
      std::string("SELECT topic, partitions, generation, identity_key, horizon_seconds, "
                  "future_bound_seconds FROM tally.deployment ") +
      lock);
  if (row.is_null(0, 0)) return std::nullopt;
  Topology topology{std::string(row.text(0, 0)), static_cast<std::int32_t>(row.int64(0, 1)),
                    core::Generation(row.int64(0, 2)), row.bytes(0, 3)};
  if (!row.is_null(0, 4)) {
    topology.horizon_seconds = row.int64(0, 4);
    topology.future_bound_seconds = row.int64(0, 5);
  }
  return topology;
}

void check_claim(const Topology& topology, const OpenRequest& request) {
  if (topology.topic != request.topic) {
    throw Misconfigured(
        fmt::format("this database meters topic {}, not {}: give each topic a database of its own",
                    topology.topic, request.topic));
  }
  if (topology.horizon_seconds == request.horizon_seconds &&
      topology.future_bound_seconds == request.future_bound_seconds) {
    return;
  }
  throw Misconfigured(fmt::format(
      "this database remembers identities for --horizon-seconds {0} --future-bound-seconds {1}, "
      "and this aggregator was started with --horizon-seconds {2} --future-bound-seconds {3}: "
      "start it with {0} and {1}, or change them for all with `tally-admin horizon set "
      "--horizon-seconds {2} --future-bound-seconds {3}`",
      topology.horizon_seconds.value_or(0), topology.future_bound_seconds, request.horizon_seconds,
      request.future_bound_seconds));
}

Topology claim(Transaction& transaction, const OpenRequest& request) {
  auto topology = read_topology(transaction);
  if (!topology || !topology->horizon_seconds) {
    transaction.exec(
        "UPDATE tally.deployment SET topic = coalesce(topic, $1), "
        "partitions = coalesce(partitions, $2::integer), horizon_seconds = $3::bigint, "
        "future_bound_seconds = $4::bigint WHERE horizon_seconds IS NULL "
        "AND coalesce(topic, $1) = $1",
        {request.topic, std::to_string(request.partitions), std::to_string(request.horizon_seconds),
         std::to_string(request.future_bound_seconds)});
    topology = read_topology(transaction);
  }
  check_claim(*topology, request);
  return *topology;
}

void grow(Transaction& transaction, std::int32_t partitions, const StoreObserver& observe) {
  // Another instance may have seen the growth first: what counts is what stands under the lock.
  const auto topology = read_topology(transaction, "FOR UPDATE");
  if (topology->partitions >= partitions) return;
  observe(StoreStep::kGrowthLocked);
  transaction.exec("SELECT tally.raise_generation($1::integer)", {std::to_string(partitions)});
  observe(StoreStep::kGenerationRaised);
  runtime::log::info("topic_grown", {{"topic", topology->topic},
                                     {"partitions_before", topology->partitions},
                                     {"partitions", partitions}});
}

std::string ids_text(const std::vector<HandoffTaken>& rows) {
  runtime::postgres::ArrayText ids;
  for (const HandoffTaken& row : rows) ids.add(row.id.value());
  return ids.take();
}

// How many of the rows that the plan takes are still there, and how many it takes.
std::pair<std::int64_t, std::int64_t> still_there(const BatchPlan& plan, Transaction& transaction) {
  std::pair<std::int64_t, std::int64_t> there{0, 0};
  for (const auto& [home, rows] : plan.taken) {
    there.first += transaction
                       .exec(
                           "SELECT count(*) FROM tally.handoff WHERE home = $1::integer AND id = "
                           "ANY ($2::bigint[])",
                           {std::to_string(home.value()), ids_text(rows)})
                       .int64(0, 0);
    there.second += static_cast<std::int64_t>(rows.size());
  }
  return there;
}

}  // namespace

PostgresStore::PostgresStore(std::string conninfo, std::string application_name,
                             StoreObserver observer, DimensionGuard guard)
    : conninfo_(std::move(conninfo)),
      application_name_(std::move(application_name)),
      observe_(observer ? std::move(observer) : hit_failpoint),
      guard_(std::move(guard)) {}

Connection& PostgresStore::connection() {
  if (!connection_) connection_.emplace(conninfo_, application_name_);
  return *connection_;
}

template <class Work>
auto PostgresStore::guarded(Work work) {
  try {
    return work(connection());
  } catch (const Unavailable&) {
    connection_.reset();
    guard_.forget();
    throw;
  } catch (const StatementFailed& failure) {
    if (failure.is_other_schema()) {
      throw Misconfigured(
          std::string("the database's schema is not this version's: run `tally-admin migrate` (") +
          failure.what() + ")");
    }
    throw;
  }
}

Deployment PostgresStore::open(const OpenRequest& request) {
  return guarded([&](Connection& database) {
    {
      Transaction transaction = database.begin();
      const Topology topology = claim(transaction, request);
      if (request.partitions > topology.partitions) grow(transaction, request.partitions, observe_);
      transaction.commit();
    }
    for (;;) {
      open_periods(database);
      Transaction transaction = database.begin(Isolation::kRepeatableRead);
      const Topology topology = claim(transaction, request);
      Deployment deployment;
      deployment.partitions = topology.partitions;
      deployment.generation = topology.generation;
      TALLY_CHECK(topology.identity_key.size() == deployment.identity_key.size(),
                  "an identity key of {} bytes", topology.identity_key.size());
      std::memcpy(deployment.identity_key.data(), topology.identity_key.data(),
                  topology.identity_key.size());
      deployment.meters = load_meters(transaction);
      deployment.tenants = load_tenants(transaction);
      if (!deployment.tenants) continue;
      transaction.commit();
      return deployment;
    }
  });
}

std::unique_ptr<PartitionState> PostgresStore::acquire(const AcquireRequest& request) {
  return guarded([&](Connection& database) {
    observe_(StoreStep::kBeforeAcquire);
    ensure_partition(request, database);
    for (int snapshot = 1;; ++snapshot) {
      try {
        Transaction transaction = database.begin(Isolation::kRepeatableRead);
        auto state = load_partition(request, observe_, transaction);
        if (state) transaction.commit();
        return state;
      } catch (const StatementFailed& failure) {
        // The last owner's commit, or another owner, came in between.
        if (failure.sqlstate() != kSerialization || snapshot == kSnapshots) throw;
      }
    }
  });
}

std::int32_t PostgresStore::never_owned() {
  return guarded([&](Connection& database) {
    const Rows rows = database.exec(
        "SELECT partitions - (SELECT count(*) FROM tally.partition_state) FROM tally.deployment");
    return static_cast<std::int32_t>(rows.int64(0, 0));
  });
}

std::optional<LogDay> PostgresStore::slowest_day() {
  return guarded([](Connection& database) { return slowest_day_in(database.exec(kSlowestDay)); });
}

std::vector<HandoffRow> PostgresStore::waiting_handoffs(core::PartitionId home,
                                                        const std::set<core::HandoffId>& under_way,
                                                        std::optional<LogDay> last_day) {
  return guarded([&](Connection& database) {
    runtime::postgres::ArrayText known;
    for (const core::HandoffId id : under_way) known.add(id.value());
    const Rows rows = database.exec(
        "SELECT id, records, block FROM (SELECT id, records, block, sum(octet_length(block)) OVER "
        "(ORDER BY id) AS up_to, row_number() OVER (ORDER BY id) AS place FROM (SELECT id, "
        "records, "
        "block FROM tally.handoff WHERE home = $1::integer AND id <> ALL ($2::bigint[]) "
        "AND coalesce(last_log_day <= DATE '1970-01-01' + $4::integer, true) "
        "ORDER BY id LIMIT 1000) w) w WHERE place = 1 OR up_to <= $3::bigint ORDER BY id",
        {std::to_string(home.value()), known.take(), std::to_string(core::kMaxHandoffReadBytes),
         last_day ? std::optional(std::to_string(*last_day)) : std::nullopt});
    std::vector<HandoffRow> waiting;
    waiting.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      waiting.push_back({core::HandoffId(rows.int64(i, 0)), rows.int64(i, 1), rows.bytes(i, 2)});
    }
    return waiting;
  });
}

void PostgresStore::ensure_days(const BatchPlan& plan, Connection& database) {
  for (const auto& [where, segment] : plan.segments) {
    if (seen_days_.contains(where.second)) continue;
    database.exec("SELECT tally.ensure_dedup_day(DATE '1970-01-01' + $1::integer)",
                  {std::to_string(where.second)});
    seen_days_.insert(where.second);
  }
}

CommitOutcome PostgresStore::commit(const BatchPlan& plan) {
  check_conservation(plan);
  observe_(StoreStep::kBeforeCommit);
  try {
    try {
      try_commit(plan);
    } catch (const StatementFailed& failure) {
      // The table of a day may have been dropped since it was last seen.
      if (failure.sqlstate() != kNoSuchDay || seen_days_.empty()) throw;
      seen_days_.clear();
      try_commit(plan);
    }
  } catch (const StatementFailed& failure) {
    if (failure.sqlstate() == kFencedState) {
      runtime::log::warn("commit_fenced", {{"reason", failure.what()}});
      return CommitOutcome::kFenced;
    }
    if (failure.sqlstate() == kCatalogueMovedState) return CommitOutcome::kCatalogueMoved;
    throw;
  }
  observe_(StoreStep::kAfterCommit);
  return CommitOutcome::kCommitted;
}

void PostgresStore::try_commit(const BatchPlan& plan) {
  guarded([&](Connection& database) {
    ensure_days(plan, database);
    Transaction transaction = database.begin();
    execute(plan, observe_, guard_, transaction);
    observe_(StoreStep::kInCommit);
    try {
      transaction.commit();
    } catch (const InDoubt&) {
      guard_.in_doubt(plan);
      throw;
    }
    guard_.committed();
  });
}

Resolution PostgresStore::resolve(const BatchPlan& plan) {
  const Resolution resolution = guarded([&](Connection& database) {
    observe_(StoreStep::kResolving);
    Transaction transaction = database.begin();
    std::size_t at_start = 0;
    std::size_t at_next = 0;
    std::size_t moving = 0;
    for (const auto& [partition, advance] : plan.partitions) {
      // FOR UPDATE waits for a ghost of ours that is still committing: a plain read would miss it.
      const Rows row = transaction.exec(
          "SELECT epoch, generation, next_offset FROM tally.partition_state WHERE partition = "
          "$1::integer FOR UPDATE",
          {std::to_string(partition.value())});
      if (row.size() != 1 || row.int64(0, 0) != advance.epoch.value() ||
          row.int64(0, 1) != advance.generation.value()) {
        return Resolution::kFenced;
      }
      const core::Offset stored(row.int64(0, 2));
      // Neither: the database went back in time (restored from a backup). What it holds now is the
      // truth.
      if (stored != advance.start && stored != advance.next) return Resolution::kFenced;
      if (advance.start == advance.next) continue;
      ++moving;
      if (stored == advance.start) ++at_start;
      if (stored == advance.next) ++at_next;
    }
    TALLY_CHECK(at_start == moving || at_next == moving, "half a commit: {} of {} partitions moved",
                at_next, moving);
    if (moving > 0) {
      return at_next == moving ? Resolution::kCommitted : Resolution::kNotCommitted;
    }
    // Nothing but handed-off records: only this owner takes them, so they tell whether it has.
    const auto [there, taken] = still_there(plan, transaction);
    if (there == taken) return Resolution::kNotCommitted;
    return there == 0 ? Resolution::kCommitted : Resolution::kFenced;
  });
  guard_.resolved(plan, resolution);
  return resolution;
}

RollUp PostgresStore::roll_up(const PartitionClaim& claim) {
  const std::string partition = std::to_string(claim.partition.value());
  try {
    return guarded([&](Connection& database) {
      // A transaction for each large row, so that nobody waits long for the partition's row.
      for (RollUp outcome = RollUp::kNothingToDo;; outcome = RollUp::kDone) {
        Transaction transaction = database.begin();
        transaction.exec("SELECT tally.claim_for_roll_up($1::integer, $2::bigint, $3::bigint)",
                         {partition, std::to_string(claim.epoch.value()),
                          std::to_string(claim.generation.value())});
        observe_(StoreStep::kRollUpLocked);
        const Rows joined = transaction.exec("SELECT tally.roll_up($1::integer)", {partition});
        if (joined.int64(0, 0) == 0) return outcome;
        observe_(StoreStep::kRolledUp);
        transaction.commit();
      }
    });
  } catch (const StatementFailed& failure) {
    if (failure.sqlstate() == kFencedState) return RollUp::kFenced;
    throw;
  }
}

void PostgresStore::drop_expired() {
  try {
    guarded([&](Connection& database) {
      const Rows dropped = database.exec("SELECT tally.drop_dedup_days()");
      if (dropped.int64(0, 0) > 0) {
        runtime::log::info("expired_days_dropped", {{"tables", dropped.int64(0, 0)}});
      }
    });
  } catch (const StatementFailed& failure) {
    if (failure.sqlstate() != kLockTimeout) throw;
    // A backup or a long load is reading: the days stay until the next call.
    runtime::log::info("expired_days_kept", {{"reason", failure.what()}});
  }
}

}  // namespace tally::aggregator
