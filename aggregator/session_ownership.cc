// The part of a session that is about owning partitions: how one is acquired and given up, and what
// is remembered of it.
#include "aggregator/record_digest.h"
#include "aggregator/session.h"
#include "runtime/log/log.h"
#include "runtime/postgres/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::aggregator {

namespace {

using namespace std::chrono_literals;
namespace kafka = runtime::kafka;
namespace log = runtime::log;
using runtime::postgres::StatementFailed;
using runtime::postgres::Unavailable;

constexpr std::chrono::milliseconds kBrokerAnswerTime = 5s;
constexpr std::chrono::milliseconds kNextAnswerTime = 500ms;  // after one that did not come
constexpr auto kSpillAgainAfter = 60s;

// Filters stay in memory whatever is spilled, so the hot part keeps at least a quarter of the
// budget: otherwise every commit would write a run.
std::size_t least_hot_bytes(const SessionSettings& settings) {
  return settings.memory_budget_bytes / 4;
}

}  // namespace

std::vector<std::int64_t> Session::assigned(const std::vector<std::int32_t>& partitions) {
  if (!end_reason_.empty() || !fold_) return {};
  doubt_what_is_kept();
  std::vector<std::int64_t> starts;
  starts.reserve(partitions.size());
  auto answer_time = kBrokerAnswerTime;
  for (const std::int32_t partition : partitions) {
    // A grown topic moves the home of most ids: a new session raises the generation first.
    if (partition >= partitions_) end("the topic has grown");
    // Its records may still wait in the client's queue: a fresh client has none.
    if (ever_owned_.contains(partition)) end("a partition came back");
    if (!end_reason_.empty()) return {};
    const auto marks = source_->watermarks(partition, answer_time);
    if (!marks) {
      // It has no leader, perhaps for long: the others must not wait for it.
      answer_time = kNextAnswerTime;
      log::warn("partition_without_leader",
                {{"partition", partition},
                 {"what", "it is read from where it was left when its leader is back"}});
    }
    const auto start = acquire(partition, marks);
    if (!start) return {};
    starts.push_back(*start);
  }
  joined_ = true;
  report_ownership();
  probe_.progressed();
  return starts;
}

// nullopt: the session is over.
std::optional<std::int64_t> Session::acquire(std::int32_t partition,
                                             const std::optional<kafka::Watermarks>& marks) {
  while (!pace_.stop_requested()) {
    try {
      auto state = acquire_state(partition, marks);
      probe_.problem("postgres", "");
      if (!state) {
        end("the topology moved");
        return std::nullopt;
      }
      Owned& owned = owned_[partition];
      owned.state = std::move(state);
      ever_owned_.insert(partition);
      spill_when_over_budget();
      return start_of(owned, marks);
    } catch (const Unavailable& failure) {
      probe_.problem("postgres", failure.what());
      end(kConnectionBroke);  // the catalogue, too, may be of another past than what is there now
      return std::nullopt;
    } catch (const StatementFailed& failure) {
      probe_.problem("postgres", failure.what());  // the last owner's commit is still under way
    }
    pace_.wait_for(500ms);
  }
  end("stopped while acquiring a partition");
  return std::nullopt;
}

std::unique_ptr<PartitionState> Session::acquire_state(
    std::int32_t partition, const std::optional<kafka::Watermarks>& marks) {
  AcquireRequest request;
  request.partition = core::PartitionId(partition);
  request.generation = generation_;
  request.partitions = partitions_;
  request.log_start = core::Offset(marks ? marks->low : 0);
  request.owner = settings_.owner;
  request.memory.horizon_days = remembered_days(settings_);
  request.memory.cache_folder = settings_.cache_folder;
  request.memory.deployment = hasher_->fingerprint();
  request.memory.partition = partition;
  request.memory.generation = generation_.value();
  request.memory.new_token = environment_.new_token;
  request.hot_budget_bytes = least_hot_bytes(settings_);
  return store_->acquire(request);
}

// Where reading begins. Throws Misconfigured when the log is another one than was counted. Without
// marks that is found out when the leader is back: an offset that the log does not have ends the
// session, and the next one has marks. A partition that nobody has owned before begins at 0 then,
// and what retention had removed of it until today is told as lost.
std::optional<std::int64_t> Session::start_of(Owned& owned,
                                              const std::optional<kafka::Watermarks>& marks) {
  PartitionState& state = *owned.state;
  const std::int32_t partition = state.id.value();
  std::int64_t start = state.position.value();
  if (marks && marks->high < start) {
    throw Misconfigured(
        fmt::format("partition {} ends at offset {}, but everything below {} was counted: the "
                    "topic was recreated or truncated; give a new topic a new database, or "
                    "restore the topic",
                    partition, marks->high, start));
  }
  log::info("partition_acquired", {{"partition", partition},
                                   {"epoch", state.epoch.value()},
                                   {"offset", start},
                                   {"log_end", marks ? marks->high : -1},
                                   {"remembered", state.memory.size()}});
  if (marks && marks->low > start) {
    log::error("records_lost", {{"partition", partition},
                                {"first", start},
                                {"last", marks->low - 1},
                                {"what",
                                 "retention removed them before they were read: raise the "
                                 "topic's retention"}});
    fold_->lose_to(core::Offset(marks->low), state, open_plan());
    start = marks->low;
  } else if (state.last_offset && (!marks || state.last_offset->value() >= marks->low)) {
    owned.verifying = true;
    start = state.last_offset->value();
  }
  return start;
}

void Session::revoked(const std::vector<std::int32_t>& partitions, kafka::Revocation kind) {
  if (kind == kafka::Revocation::kLost) {
    end("the assignment was lost: another member may own the partitions already");
    return;
  }
  doubt_what_is_kept();
  if (end_reason_.empty() && !drain(kDrainTime))
    end("partitions were revoked before their last batch was committed");
  for (const std::int32_t partition : partitions) {
    owned_.erase(partition);
    log::info("partition_revoked", {{"partition", partition}});
  }
  report_ownership();
}

// A client may lose records that it had fetched when partitions come or go (librdkafka before 2.2.0
// has): until a partition goes on without a gap, a gap is not believed.
void Session::doubt_what_is_kept() {
  for (auto& [partition, owned] : owned_) owned.doubtful = true;
}

// False: the next offset is `next` and records may be missing before it; a session with a fresh
// client reads them again, or finds that there are none.
bool Session::goes_on(Owned& owned, std::int64_t next) {
  const PartitionState& state = *owned.state;
  const std::int64_t expected = (owned.verifying ? *state.last_offset : state.position).value();
  if (owned.doubtful && next > expected) {
    end(fmt::format("partition {}: offsets {} to {} are missing after a rebalance",
                    state.id.value(), expected, next - 1));
    return false;
  }
  owned.doubtful = false;
  return true;
}

void Session::verify(const kafka::Record& record, Owned& owned) {
  const std::int64_t expected = owned.state->last_offset->value();
  if (record.offset < expected || !goes_on(owned, record.offset)) return;
  if (record.offset == expected && record_digest(record) == owned.state->last_digest) {
    owned.verifying = false;
    return;
  }
  throw Misconfigured(
      fmt::format("partition {}: the record at offset {} is not the one that was counted: the "
                  "topic was recreated; give a new "
                  "topic a new database",
                  record.partition, expected));
}

void Session::remember(const BatchPlan& committed) {
  for (const auto& [where, segment] : committed.segments) {
    const auto found = owned_.find(where.first.value());
    if (found != owned_.end()) found->second.state->memory.committed(where.second, segment.token);
  }
  for (const auto& [home, rows] : committed.taken) {
    const auto found = owned_.find(home.value());
    if (found == owned_.end()) continue;
    for (const HandoffTaken& row : rows) found->second.under_way.erase(row.id);
  }
}

// What is claimed in the partition and not committed: by the plan being folded and by one that was
// refused.
std::vector<core::DedupEntry> Session::claims_in(core::PartitionId partition,
                                                 const BatchPlan* refused) const {
  std::vector<core::DedupEntry> claims;
  for (const BatchPlan* plan : {refused, static_cast<const BatchPlan*>(plan_.get())}) {
    if (plan == nullptr) continue;
    for (const auto& [where, segment] : plan->segments) {
      if (where.first == partition)
        claims.insert(claims.end(), segment.entries.begin(), segment.entries.end());
    }
  }
  return claims;
}

void Session::spill_when_over_budget() {
  if (settings_.cache_folder.empty() || pace_.now() < spill_again_at_) return;
  // A run holds committed entries only: those of a plan that is being committed are not known here.
  if (committer_->busy()) return;
  for (std::size_t i = 0; i < owned_.size(); ++i) {
    std::size_t hot = 0;
    std::size_t cold = 0;
    PartitionState* largest = nullptr;
    for (auto& [partition, owned] : owned_) {
      const dedup::Memory& memory = owned.state->memory;
      hot += memory.hot_bytes();
      cold += memory.bytes() - memory.hot_bytes();
      if (largest == nullptr || memory.hot_bytes() > largest->memory.hot_bytes())
        largest = owned.state.get();
    }
    const std::size_t least = least_hot_bytes(settings_);
    const std::size_t room =
        settings_.memory_budget_bytes - std::min(cold, settings_.memory_budget_bytes - least);
    if (hot <= room) return;
    if (!largest->memory.spill(claims_in(largest->id, nullptr))) {
      log::error("spill_failed",
                 {{"folder", settings_.cache_folder.string()},
                  {"what",
                   "the dedup memory stays in memory: free space there or raise the "
                   "budget"}});
      spill_again_at_ = pace_.now() + kSpillAgainAfter;
      return;
    }
  }
}

// No commit is under way: what is hot and committed goes to the local disk, so that the next
// session need not load it from Postgres.
void Session::leave_runs(const BatchPlan* refused) {
  if (settings_.cache_folder.empty()) return;
  for (auto& [partition, owned] : owned_) {
    if (!owned.state->memory.spill(claims_in(owned.state->id, refused)))
      log::warn("spill_failed", {{"partition", partition}, {"what", "the next start is slower"}});
  }
}

}  // namespace tally::aggregator
