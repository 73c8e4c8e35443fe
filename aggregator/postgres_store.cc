#include "aggregator/postgres_store.h"

#include "aggregator/commit.h"
#include "core/catalogue.h"
#include "core/check.h"
#include "runtime/lifecycle/failpoint.h"
#include "runtime/log/log.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

using runtime::postgres::Connection;
using runtime::postgres::Isolation;
using runtime::postgres::Params;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;
using runtime::postgres::Unavailable;

constexpr const char* kUndefinedTable = "42P01";
constexpr const char* kInvalidSchema = "3F000";
constexpr const char* kLogTimeMicros = "(extract(epoch FROM last_log_time) * 1000000)::bigint";

bool counted_here(core::Aggregation aggregation) {
  return aggregation == core::Aggregation::kSum || aggregation == core::Aggregation::kCount ||
         aggregation == core::Aggregation::kLatest;
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
    if (!counted_here(meter.value().aggregation)) {
      throw Misconfigured(
          fmt::format("meter {} aggregates by {}, which this version does not count: nothing is "
                      "counted until the meter is removed or the aggregator is newer",
                      meter.value().slug, core::to_string(meter.value().aggregation)));
    }
    meters.push_back(std::move(meter.value()));
    newest = std::max(newest, rows.int64(i, 1));
  }
  return std::make_shared<const MeterSet>(std::move(meters),
                                          core::CatalogueVersion(version.int64(0, 0)),
                                          core::CatalogueVersion(newest));
}

void claim_topic(Transaction& transaction, const std::string& topic, std::int32_t partitions) {
  transaction.exec(
      "UPDATE tally.deployment SET topic = $1, partitions = $2::integer WHERE topic IS NULL",
      {topic, std::to_string(partitions)});
  const Rows row = transaction.exec("SELECT topic, partitions FROM tally.deployment");
  if (row.text(0, 0) != topic) {
    throw Misconfigured(
        fmt::format("this database meters topic {}, not {}: give each topic a database of its own",
                    row.text(0, 0), topic));
  }
  if (row.int64(0, 1) != partitions) {
    throw Misconfigured(
        fmt::format("topic {} has {} partitions, but its usage was stored under {}: a change of "
                    "the partition count moves "
                    "identities between partitions and is not followed by this version; make the "
                    "topic anew with {} partitions",
                    topic, partitions, row.int64(0, 1), row.int64(0, 1)));
  }
}

void load_memory(Transaction& transaction, PartitionState& state, LogDay horizon_days) {
  const LogDay last_day = log_day_of(state.last_log_time);
  const LogDay first_day = last_day - horizon_days;
  state.memory.advance(last_day);
  const std::string partition = std::to_string(state.id.value());
  const std::string since = core::to_rfc3339(
      core::Timestamp::from_seconds(std::int64_t{std::max(first_day, 0)} * 86'400));
  const Rows total = transaction.exec(
      "SELECT coalesce(sum(entry_count), 0) FROM tally.dedup_segment WHERE partition = $1::integer "
      "AND log_day >= ($2::timestamptz AT TIME ZONE 'UTC')::date",
      {partition, since});
  state.memory.reserve(static_cast<std::size_t>(total.int64(0, 0)));
  transaction.exec(
      "DECLARE memory NO SCROLL CURSOR FOR SELECT log_day - DATE '1970-01-01', entries FROM "
      "tally.dedup_segment "
      "WHERE partition = " +
      partition + " AND log_day >= ('" + since +
      "'::timestamptz AT TIME ZONE 'UTC')::date "
      "ORDER BY log_day, segment");
  for (;;) {
    const Rows rows = transaction.exec("FETCH 64 FROM memory");
    if (rows.size() == 0) break;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto day = static_cast<LogDay>(rows.int64(i, 0));
      const std::string bytes = rows.bytes(i, 1);
      TALLY_CHECK(bytes.size() % sizeof(core::DedupEntry) == 0, "a segment of {} bytes",
                  bytes.size());
      for (std::size_t at = 0; at < bytes.size(); at += sizeof(core::DedupEntry)) {
        core::DedupEntry entry;
        std::memcpy(&entry, bytes.data() + at, sizeof(entry));
        state.memory.restore(entry, day);
      }
    }
  }
}

}  // namespace

PostgresStore::PostgresStore(std::string conninfo, std::string application_name)
    : conninfo_(std::move(conninfo)), application_name_(std::move(application_name)) {}

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
    throw;
  } catch (const StatementFailed& failure) {
    if (failure.sqlstate() == kUndefinedTable || failure.sqlstate() == kInvalidSchema) {
      throw Misconfigured(
          std::string("the database lacks tally's tables: run `tally-admin migrate` (") +
          failure.what() + ")");
    }
    throw;
  }
}

Deployment PostgresStore::open(const std::string& topic, std::int32_t partitions) {
  return guarded([&](Connection& database) {
    Transaction transaction = database.begin();
    claim_topic(transaction, topic, partitions);
    Deployment deployment;
    const std::string key =
        transaction.exec("SELECT identity_key FROM tally.deployment").bytes(0, 0);
    TALLY_CHECK(key.size() == deployment.identity_key.size(), "an identity key of {} bytes",
                key.size());
    std::memcpy(deployment.identity_key.data(), key.data(), key.size());
    deployment.meters = load_meters(transaction);
    transaction.commit();
    return deployment;
  });
}

std::unique_ptr<PartitionState> PostgresStore::acquire(const AcquireRequest& request) {
  return guarded([&](Connection& database) {
    auto state = std::make_unique<PartitionState>(request.partition, request.horizon_days);
    const std::string partition = std::to_string(request.partition.value());
    database.exec(
        "INSERT INTO tally.partition_state (partition, base_offset, next_offset) "
        "VALUES ($1::integer, $2::bigint, $2::bigint) ON CONFLICT DO NOTHING",
        {partition, std::to_string(request.log_start.value())});
    Transaction transaction = database.begin(Isolation::kRepeatableRead);
    const Rows row = transaction.exec(
        "UPDATE tally.partition_state SET epoch = epoch + 1, owner = $2, updated_at = now() "
        "WHERE partition = $1::integer RETURNING epoch, generation, next_offset, last_offset, "
        "last_digest, " +
            std::string(kLogTimeMicros),
        {partition, request.owner});
    TALLY_CHECK(row.size() == 1);
    state->epoch = core::Epoch(row.int64(0, 0));
    state->generation = core::Generation(row.int64(0, 1));
    state->position = core::Offset(row.int64(0, 2));
    if (!row.is_null(0, 3)) {
      state->last_offset = core::Offset(row.int64(0, 3));
      const std::string digest = row.bytes(0, 4);
      TALLY_CHECK(digest.size() == sizeof(RecordDigest));
      state->last_digest.emplace();
      std::memcpy(state->last_digest->data(), digest.data(), digest.size());
      state->last_log_time = core::Timestamp::from_micros(row.int64(0, 5));
    }
    load_memory(transaction, *state, request.horizon_days);
    transaction.commit();
    return state;
  });
}

CommitOutcome PostgresStore::commit(const BatchPlan& plan) {
  check_conservation(plan);
  runtime::lifecycle::failpoint("aggregator.before_commit");
  try {
    guarded([&](Connection& database) {
      Transaction transaction = database.begin();
      execute(plan, transaction);
      runtime::lifecycle::failpoint("aggregator.in_commit");
      transaction.commit();
    });
  } catch (const StatementFailed& failure) {
    if (failure.sqlstate() == kFencedState) {
      runtime::log::warn("commit_fenced", {{"reason", failure.what()}});
      return CommitOutcome::kFenced;
    }
    if (failure.sqlstate() == kCatalogueMovedState) return CommitOutcome::kCatalogueMoved;
    throw;
  }
  runtime::lifecycle::failpoint("aggregator.after_commit");
  return CommitOutcome::kCommitted;
}

Resolution PostgresStore::resolve(const BatchPlan& plan) {
  return guarded([&](Connection& database) {
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
    return at_next == moving && moving != 0 ? Resolution::kCommitted : Resolution::kNotCommitted;
  });
}

}  // namespace tally::aggregator
