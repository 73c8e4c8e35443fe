#include "tests/simulation/sim_store.h"

#include "aggregator/commit.h"
#include "aggregator/stored_memory.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/postgres/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tally::simulation {

using aggregator::AcquireRequest;
using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::PartitionState;
using aggregator::Resolution;
using aggregator::RollUp;
using aggregator::StoreStep;
using runtime::postgres::StatementFailed;

namespace {

constexpr std::int64_t kFutureLimitSeconds = 3600;
constexpr int kSnapshots = 10;  // as the real store

bool same_content(const PartitionRow& row, const aggregator::PartitionAdvance& advance) {
  return row.epoch == advance.epoch.value() && row.generation == advance.generation.value();
}

// A roll-up has no writer that gives it a random token; a number never met again will do.
aggregator::dedup::SegmentToken roll_up_token(std::uint64_t number) {
  aggregator::dedup::SegmentToken token;
  token.bytes.fill(std::byte{0xee});
  std::memcpy(token.bytes.data(), &number, sizeof(number));
  return token;
}

void check_catalogue(const BatchPlan& plan, const SimDatabase& database) {
  if (database.catalogues.at(database.tables().catalogue)->version() != plan.meters->version())
    throw StatementFailed(aggregator::kCatalogueMovedState, "the catalogue moved");
}

void check_guard(const BatchPlan& plan, core::PartitionId id, const SimDatabase& database) {
  const aggregator::PartitionAdvance& advance = plan.partitions.at(id);
  if (advance.last_log_time &&
      advance.last_log_time->micros() > database.clock.micros() + kFutureLimitSeconds * 1'000'000) {
    check_catalogue(plan, database);
    throw StatementFailed("TY003", "the broker stamped a record more than 1 h ahead");
  }
  const auto row = database.tables().states.find(id.value());
  if (row == database.tables().states.end() || !same_content(row->second, advance) ||
      row->second.next != advance.start.value()) {
    throw StatementFailed(aggregator::kFencedState, "no longer owned");
  }
}

}  // namespace

// One transaction of a client: given up unless committed.
class SimStore::Client {
 public:
  Client(SimDatabase& database, Line& line) : database_(database), line_(line) {
    line.connect();
    transaction_ = database.begin(line.now_us(), line.name());
  }
  ~Client() {
    if (!refused_) line_.abandon(transaction_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void statement() { line_.statement(transaction_); }
  void lock(const LockKey& key, LockMode mode) {
    const auto attempt = [&] { return database_.try_lock(transaction_, key, mode); };
    if (!attempt()) line_.wait_for_lock(transaction_, attempt);
  }
  void commit() { line_.commit(transaction_); }
  // The server refused a statement: its transaction is over, and both sides know.
  [[noreturn]] void refuse(const char* sqlstate, const std::string& why) {
    refused_ = true;
    database_.rollback(transaction_);
    throw StatementFailed(sqlstate, why);
  }
  void roll_back() {
    refused_ = true;
    database_.rollback(transaction_);
  }
  [[nodiscard]] const SimDatabase::Handle& handle() const { return transaction_; }

 private:
  SimDatabase& database_;
  Line& line_;
  SimDatabase::Handle transaction_;
  bool refused_ = false;
};

aggregator::Deployment SimStore::open(const aggregator::OpenRequest& request) {
  const std::int32_t partitions = request.partitions;
  Client client(database_, *line_);
  client.statement();
  if (database_.tables().topic.empty() || database_.tables().partitions < partitions) {
    client.lock({LockTable::kDeployment, 0}, LockMode::kExclusive);
    line_->step(StoreStep::kGrowthLocked);
    const bool fresh = database_.tables().topic.empty();
    if (fresh) {
      client.handle()->writes.emplace_back([request](Tables& tables, CommitNumber) {
        tables.topic = request.topic;
        tables.partitions = request.partitions;
        tables.horizon_seconds = request.horizon_seconds;
        tables.future_bound_seconds = request.future_bound_seconds;
      });
    } else if (database_.tables().partitions < partitions) {
      for (const auto& [partition, row] : std::map(database_.tables().states)) {
        client.statement();
        client.lock({LockTable::kPartition, partition}, LockMode::kExclusive);
      }
      client.handle()->writes.emplace_back([partitions](Tables& tables, CommitNumber commit) {
        tables.partitions = partitions;
        ++tables.generation;
        for (auto& [partition, row] : tables.states) {
          row.generation = tables.generation;
          row.changed = commit;
        }
      });
      line_->met("growth");
    }
    line_->step(StoreStep::kGenerationRaised);
  }
  client.statement();
  if (!database_.tables().topic.empty() && database_.tables().topic != request.topic)
    throw aggregator::Misconfigured("this database meters another topic");
  if (!database_.tables().topic.empty() &&
      (database_.tables().horizon_seconds != request.horizon_seconds ||
       database_.tables().future_bound_seconds != request.future_bound_seconds)) {
    throw aggregator::Misconfigured(
        fmt::format("--horizon-seconds {} --future-bound-seconds {} stand in the database, not {} "
                    "and {}: tally-admin horizon set changes them",
                    database_.tables().horizon_seconds, database_.tables().future_bound_seconds,
                    request.horizon_seconds, request.future_bound_seconds));
  }
  client.commit();
  const Tables& tables = database_.tables();
  if (tables.partitions > partitions) line_->met("stale metadata");
  open_periods();
  // Without a book all are counted in UTC.
  return {database_.identity_key, database_.catalogues.at(tables.catalogue),
          database_.tenants.empty() ? std::make_shared<const aggregator::TenantBook>()
                                    : database_.tenants.at(tables.catalogue).book,
          core::Generation(tables.generation), tables.partitions};
}

// Until every period of the catalogue in force has its totals; nobody gives way after that look.
void SimStore::open_periods() {
  const Tables& tables = database_.tables();
  while (!database_.tenants.empty() && !tables.all_open(database_.tenants.at(tables.catalogue))) {
    Client client(database_, *line_);
    client.statement();
    client.lock({LockTable::kCatalogue, 0}, LockMode::kShared);
    client.statement();
    client.lock({LockTable::kPeriods, 0}, LockMode::kExclusive);
    client.handle()->writes.emplace_back([&database = database_](Tables& opened, CommitNumber) {
      opened.open_periods(database.tenants.at(opened.catalogue));
    });
    client.commit();
    line_->met("periods opened");
  }
}

void SimStore::insert_partition(const AcquireRequest& request) {
  if (database_.tables().states.contains(request.partition.value())) return;
  Client client(database_, *line_);
  client.statement();
  client.lock({LockTable::kDeployment, 0}, LockMode::kShared);
  if (database_.tables().generation != request.generation.value()) return;
  client.handle()->writes.emplace_back([request](Tables& tables, CommitNumber commit) {
    PartitionRow row;
    row.generation = tables.generation;
    row.base = row.next = request.log_start.value();
    row.changed = commit;
    tables.states.try_emplace(request.partition.value(), row);
  });
  client.commit();
}

std::unique_ptr<PartitionState> SimStore::acquire(const AcquireRequest& request) {
  line_->step(StoreStep::kBeforeAcquire);
  insert_partition(request);
  for (int snapshot = 1;; ++snapshot) {
    try {
      return acquire_once(request);
    } catch (const StatementFailed& failure) {
      if (failure.sqlstate() != "40001" || snapshot == kSnapshots) throw;
    }
  }
}

std::unique_ptr<PartitionState> SimStore::acquire_once(const AcquireRequest& request) {
  const std::int32_t partition = request.partition.value();
  Client client(database_, *line_);
  client.statement();
  client.lock({LockTable::kPartition, partition}, LockMode::kExclusive);
  const auto found = database_.tables().states.find(partition);
  const bool born = found != database_.tables().states.end();
  const PartitionRow row = born ? found->second : PartitionRow{};
  // What REPEATABLE READ says when somebody committed the row after the snapshot was taken.
  if (row.changed > client.handle()->snapshot) client.refuse("40001", "could not serialize access");
  if (!born || row.generation != request.generation.value() ||
      database_.tables().partitions != request.partitions) {
    client.roll_back();
    line_->met("topology moved");
    return nullptr;
  }
  client.handle()->writes.emplace_back(
      [partition, owner = request.owner](Tables& tables, CommitNumber commit) {
        PartitionRow& raised = tables.states.at(partition);
        raised.owner = owner;
        ++raised.epoch;
        raised.changed = commit;
      });
  line_->step(StoreStep::kEpochRaised);
  auto state = load_memory(request, row, client);
  state->epoch = core::Epoch(row.epoch + 1);
  state->generation = core::Generation(row.generation);
  state->position = core::Offset(row.next);
  if (row.last_offset) state->last_offset = core::Offset(*row.last_offset);
  state->last_digest = row.last_digest;
  state->last_log_time = row.last_log_time;
  const auto& dropped_before = database_.tables().dropped_before;
  if (dropped_before)
    state->dropped_before = std::max(state->dropped_before.value_or(0), *dropped_before);
  line_->step(StoreStep::kMemoryLoaded);
  client.commit();
  line_->met("acquired");
  return state;
}

std::unique_ptr<PartitionState> SimStore::load_memory(const AcquireRequest& request,
                                                      const PartitionRow& row, Client& client) {
  std::optional<core::Timestamp> clock;
  if (row.last_log_time != core::Timestamp()) clock = row.last_log_time;
  const auto slowest_day = database_.tables().slowest_day();
  const auto first_day = aggregator::MemoryLoad::first_day(request, clock, slowest_day);
  std::map<aggregator::dedup::SegmentToken, const SegmentRow*> by_token;
  std::vector<aggregator::StoredRow> listed;
  for (const auto& [id, segment] : database_.tables().segments) {
    if (!visible(segment, client.handle()->snapshot) || segment.day < first_day.value_or(0) ||
        !aggregator::may_hold(core::PartitionId(segment.partition), segment.topic_partitions,
                              request.partition, request.partitions)) {
      continue;
    }
    by_token[segment.token] = &segment;
    listed.push_back({segment.day, segment.token, segment.topic_partitions,
                      static_cast<std::int64_t>(segment.entries.size()), segment.replaces,
                      segment.partition == request.partition.value() && segment.replaces.empty()});
  }
  aggregator::MemoryLoad load(request, clock, slowest_day, std::move(listed));
  line_->step(StoreStep::kMemoryListed);
  client.statement();
  auto state = std::make_unique<PartitionState>(request.partition, load.settings());
  state->dropped_before = load.cut_before();
  state->slowest_day = slowest_day.value_or(0);
  state->stored_segments = load.own_segments();
  load.begin(state->memory);
  if (load.needed().size() < by_token.size()) line_->met("covered");
  for (const aggregator::StoredRow& needed : load.needed()) {
    const SegmentRow& segment = *by_token.at(needed.token);
    if (segment.partition != request.partition.value()) line_->met("foreign segment");
    load.add(needed,
             {reinterpret_cast<const char*>(segment.entries.data()),
              segment.entries.size() * sizeof(core::DedupEntry)},
             state->memory);
  }
  return state;
}

std::optional<LogDay> SimStore::slowest_day() {
  Client client(database_, *line_);
  client.statement();
  const auto day = database_.tables().slowest_day();
  client.roll_back();
  return day;
}

std::vector<aggregator::HandoffRow> SimStore::waiting_handoffs(
    core::PartitionId home, const std::set<core::HandoffId>& under_way,
    std::optional<LogDay> last_day) {
  Client client(database_, *line_);
  client.statement();
  std::vector<aggregator::HandoffRow> rows;
  std::size_t bytes = 0;
  for (const auto& [id, row] : database_.tables().handoffs) {
    if (row.home != home.value() || under_way.contains(core::HandoffId(id))) continue;
    if (last_day && row.last_day > *last_day) continue;
    if (!rows.empty() && bytes + row.bytes.size() > core::kMaxHandoffReadBytes) break;
    bytes += row.bytes.size();
    rows.push_back({core::HandoffId(id), row.records, row.bytes});
  }
  client.roll_back();
  return rows;
}

void execute(const std::shared_ptr<const BatchPlan>& plan, const SimDatabase::Handle& transaction,
             SimDatabase& database, Line& line) {
  const auto lock = [&](const LockKey& key, LockMode mode) {
    const auto attempt = [&] { return database.try_lock(transaction, key, mode); };
    if (!attempt()) line.wait_for_lock(transaction, attempt);
  };
  for (const auto& [id, advance] : plan->partitions) {
    line.statement(transaction);
    lock({LockTable::kPartition, id.value()}, LockMode::kExclusive);
    check_guard(*plan, id, database);
  }
  lock({LockTable::kCatalogue, 0}, LockMode::kShared);
  check_catalogue(*plan, database);
  line.step(StoreStep::kFenced);
  for (const auto& [home, rows] : plan->taken) {
    for (const auto& row : rows) {
      const auto found = database.tables().handoffs.find(row.id.value());
      if (found == database.tables().handoffs.end() || found->second.home != home.value())
        throw StatementFailed(aggregator::kFencedState, "a handed-off row is gone");
    }
  }
  line.statement(transaction);
  transaction->writes.emplace_back([plan, &database](Tables& tables, CommitNumber commit) {
    tables.apply(*plan, commit);
    if (database.on_plan_committed) database.on_plan_committed(*plan, tables);
  });
  line.step(StoreStep::kInCommit);
  line.statement(transaction);
}

CommitOutcome SimStore::commit(const BatchPlan& plan) {
  check_conservation(plan);
  line_->step(StoreStep::kBeforeCommit);
  Client client(database_, *line_);
  try {
    execute(std::make_shared<const BatchPlan>(plan), client.handle(), database_, *line_);
    client.commit();
  } catch (const StatementFailed& failure) {
    client.roll_back();
    if (failure.sqlstate() == aggregator::kFencedState) return CommitOutcome::kFenced;
    if (failure.sqlstate() == aggregator::kCatalogueMovedState)
      return CommitOutcome::kCatalogueMoved;
    throw;
  }
  line_->step(StoreStep::kAfterCommit);
  return CommitOutcome::kCommitted;
}

Resolution SimStore::resolve(const BatchPlan& plan) {
  line_->step(StoreStep::kResolving);
  Client client(database_, *line_);
  std::size_t at_start = 0;
  std::size_t at_next = 0;
  for (const auto& [partition, advance] : plan.partitions) {
    client.statement();
    client.lock({LockTable::kPartition, partition.value()}, LockMode::kExclusive);
    const auto found = database_.tables().states.find(partition.value());
    if (found == database_.tables().states.end() || !same_content(found->second, advance))
      return Resolution::kFenced;
    const core::Offset stored(found->second.next);
    if (stored != advance.start && stored != advance.next) return Resolution::kFenced;
    if (advance.start == advance.next) continue;
    (stored == advance.start ? at_start : at_next) += 1;
  }
  for (const auto& [home, rows] : plan.taken) {
    for (const auto& row : rows)
      (database_.tables().handoffs.contains(row.id.value()) ? at_start : at_next) += 1;
  }
  if (at_start != 0 && at_next != 0) return Resolution::kFenced;
  return at_next != 0 ? Resolution::kCommitted : Resolution::kNotCommitted;
}

std::int32_t SimStore::never_owned() {
  Client client(database_, *line_);
  client.statement();
  const Tables& tables = database_.tables();
  return tables.partitions - static_cast<std::int32_t>(tables.states.size());
}

RollUp SimStore::roll_up(const aggregator::PartitionClaim& claim) {
  Client client(database_, *line_);
  client.statement();
  client.lock({LockTable::kPartition, claim.partition.value()}, LockMode::kExclusive);
  const auto state = database_.tables().states.find(claim.partition.value());
  if (state == database_.tables().states.end() || state->second.epoch != claim.epoch.value() ||
      state->second.generation != claim.generation.value()) {
    return RollUp::kFenced;
  }
  line_->step(StoreStep::kRollUpLocked);
  std::map<std::pair<LogDay, std::int32_t>, std::vector<std::int64_t>> groups;
  for (const auto& [id, row] : database_.tables().segments) {
    if (row.partition == claim.partition.value() && row.removed == 0)
      groups[{row.day, row.topic_partitions}].push_back(id);
  }
  std::erase_if(groups, [](const auto& group) { return group.second.size() < 2; });
  if (groups.empty()) return RollUp::kNothingToDo;
  client.handle()->writes.emplace_back([claim, groups](Tables& tables, CommitNumber commit) {
    for (const auto& [where, ids] : groups) {
      SegmentRow joined;
      joined.partition = claim.partition.value();
      joined.day = where.first;
      joined.topic_partitions = where.second;
      joined.token = roll_up_token(static_cast<std::uint64_t>(tables.next_segment));
      joined.created = commit;
      for (const std::int64_t id : ids) {
        SegmentRow& old = tables.segments.at(id);
        old.removed = commit;
        joined.replaces.push_back(old.token);
        joined.replaces.insert(joined.replaces.end(), old.replaces.begin(), old.replaces.end());
        joined.entries.insert(joined.entries.end(), old.entries.begin(), old.entries.end());
      }
      tables.segments.emplace(tables.next_segment++, std::move(joined));
    }
  });
  line_->step(StoreStep::kRolledUp);
  client.statement();
  client.commit();
  line_->met("rolled up");
  return RollUp::kDone;
}

void SimStore::drop_expired() {
  Client client(database_, *line_);
  client.statement();
  const auto slowest = database_.tables().slowest_day();
  if (!slowest) return;
  const LogDay first_kept =
      *slowest - aggregator::remembered_days({database_.tables().horizon_seconds,
                                              database_.tables().future_bound_seconds, 1});
  const auto expired = [first_kept](const SegmentRow& row) {
    return row.day < first_kept && row.removed == 0;
  };
  if (std::none_of(database_.tables().segments.begin(), database_.tables().segments.end(),
                   [&](const auto& entry) { return expired(entry.second); })) {
    return;
  }
  client.handle()->writes.emplace_back([expired, first_kept](Tables& tables, CommitNumber commit) {
    tables.dropped_before = std::max(tables.dropped_before.value_or(first_kept), first_kept);
    for (auto& [id, row] : tables.segments) {
      if (expired(row)) row.removed = commit;
    }
  });
  client.commit();
  line_->met("days dropped");
}

}  // namespace tally::simulation
