#include "tests/simulation/sim_group.h"

#include <algorithm>

namespace tally::simulation {

using runtime::kafka::RecordBatch;
using runtime::kafka::Revocation;

MemberId SimGroup::join(const std::string& instance_id, std::int32_t known_partitions) {
  known_partitions_ = std::max(known_partitions_, known_partitions);
  const MemberId id = next_member_++;
  // A static member that comes back takes the place of its former self, assignment and all.
  for (const auto& [former, member] : std::map(members_)) {
    if (instance_id.empty() || member.instance_id != instance_id) continue;
    for (auto& [partition, target] : target_) {
      if (target == former) target = id;
    }
    remove(former);
    scheduler_.coverage().count(Event::kStaticRejoin);
  }
  members_[id] = {instance_id, scheduler_.now_us()};
  rebalance();
  return id;
}

void SimGroup::remove(MemberId member) {
  members_.erase(member);
  std::erase_if(owner_, [&](const auto& entry) { return entry.second == member; });
}

void SimGroup::leave(MemberId member) {
  if (!members_.contains(member)) return;
  remove(member);
  rebalance();
}

void SimGroup::expire() {
  const auto is_out = [&](const auto& entry) {
    return scheduler_.now_us() - entry.second.seen_us >= rules_.session_timeout_us;
  };
  for (auto out = std::find_if(members_.begin(), members_.end(), is_out); out != members_.end();
       out = std::find_if(members_.begin(), members_.end(), is_out)) {
    scheduler_.note("group: member {} timed out", out->first);
    remove(out->first);
    rebalance();
  }
}

void SimGroup::kick_one() {
  if (members_.empty()) return;
  auto member = members_.begin();
  std::advance(member, static_cast<std::ptrdiff_t>(scheduler_.dice().below(members_.size())));
  scheduler_.note("group: member {} is thrown out", member->first);
  remove(member->first);
  rebalance();
}

void SimGroup::release(std::int32_t partition, MemberId member) {
  const auto found = owner_.find(partition);
  if (found != owner_.end() && found->second == member) owner_.erase(found);
}

std::set<std::int32_t> SimGroup::target_of(MemberId member) const {
  std::set<std::int32_t> partitions;
  for (const auto& [partition, target] : target_) {
    if (target == member) partitions.insert(partition);
  }
  return partitions;
}

// Sticky: who has a partition keeps it, as far as all get the same number.
void SimGroup::rebalance() {
  const std::map<std::int32_t, MemberId> before = std::exchange(target_, {});
  if (members_.empty()) return;
  const auto partitions = static_cast<std::size_t>(known_partitions_);
  const std::size_t quota = (partitions + members_.size() - 1) / members_.size();
  std::map<MemberId, std::size_t> load;
  for (const auto& [id, member] : members_) load[id] = 0;
  for (std::int32_t p = 0; p < known_partitions_; ++p) {
    const auto had = before.find(p);
    if (had == before.end() || !members_.contains(had->second)) continue;
    if (load[had->second] < quota) {
      target_[p] = had->second;
      ++load[had->second];
    }
  }
  for (std::int32_t p = 0; p < known_partitions_; ++p) {
    if (target_.contains(p)) continue;
    const auto least = std::min_element(
        load.begin(), load.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    target_[p] = least->first;
    ++least->second;
  }
}

SimSource::~SimSource() {
  if (group_.scheduler().current_crashed() || !member_) return;
  if (!assigned_.empty()) {
    const std::vector<std::int32_t> all(assigned_.begin(), assigned_.end());
    try {
      listener_.revoked(all, Revocation::kOrderly);
    } catch (...) {  // the session is over; what it says now is of no use
    }
  }
  group_.leave(*member_);
}

void SimSource::revoke(const std::vector<std::int32_t>& partitions, Revocation kind) {
  Scheduler& scheduler = group_.scheduler();
  scheduler.coverage().count(kind == Revocation::kLost ? Event::kRevokedLost
                                                       : Event::kRevokedOrderly);
  for (const std::int32_t partition : partitions) {
    scheduler.note("member {}: partition {} revoked", *member_, partition);
    assigned_.erase(partition);
    const auto fetch = fetches_.find(partition);
    if (fetch != fetches_.end() &&
        scheduler.dice().per_mille(group_.rules().stale_queue_per_mille)) {
      const std::int64_t ahead = scheduler.dice().between(1, 8);
      stale_[partition] = {fetch->second.next, std::min(fetch->second.next + ahead,
                                                        group_.log().stable_end(partition))};
    }
    fetches_.erase(partition);
  }
  listener_.revoked(partitions, kind);
}

void SimSource::hear_of_rebalance() {
  if (!member_) {
    member_ = group_.join(instance_id_, known_partitions_);
    group_.scheduler().note("member {} joined", *member_);
  }
  if (!group_.contains(*member_)) {
    const std::vector<std::int32_t> all(assigned_.begin(), assigned_.end());
    if (!all.empty()) revoke(all, Revocation::kLost);
    member_.reset();
    return;
  }
  group_.heartbeat(*member_);
  const std::set<std::int32_t> target = group_.target_of(*member_);
  std::vector<std::int32_t> gone;
  for (const std::int32_t partition : assigned_) {
    if (!target.contains(partition)) gone.push_back(partition);
  }
  if (!gone.empty()) {
    revoke(gone, Revocation::kOrderly);
    for (const std::int32_t partition : gone) group_.release(partition, *member_);
    lose_what_was_fetched();
    return;
  }
  std::vector<std::int32_t> fresh;
  for (const std::int32_t partition : target) {
    if (!assigned_.contains(partition) && group_.is_free(partition)) fresh.push_back(partition);
  }
  if (fresh.empty()) return;
  for (const std::int32_t partition : fresh) {
    group_.take(partition, *member_);
    assigned_.insert(partition);
    group_.scheduler().note("member {}: partition {} assigned", *member_, partition);
  }
  const std::vector<std::int64_t> starts = listener_.assigned(fresh);
  lose_what_was_fetched();  // not of the new ones, which are fetched from now on
  for (std::size_t i = 0; i < starts.size() && starts.size() == fresh.size(); ++i)
    fetches_[fresh[i]] = {starts[i], false};
}

// As librdkafka 2.0.2 did: a rebalance drops records that wait in the queue, also of partitions
// that stay, and reading goes on behind them.
void SimSource::lose_what_was_fetched() {
  Scheduler& scheduler = group_.scheduler();
  for (auto& [partition, fetch] : fetches_) {
    const std::int64_t end = group_.log().stable_end(partition);
    if (fetch.next >= end || !scheduler.dice().per_mille(group_.rules().lossy_per_mille)) continue;
    const std::int64_t next =
        scheduler.dice().between(fetch.next + 1, std::min(fetch.next + 8, end));
    scheduler.note("member {}: offsets {} to {} of partition {} are lost in a rebalance", *member_,
                   fetch.next, next - 1, partition);
    scheduler.coverage().count(Event::kLostByTheClient);
    fetch = {next, false};
  }
}

bool SimSource::something_to_hand_out() const {
  if (!stale_.empty()) return true;
  return std::any_of(fetches_.begin(), fetches_.end(), [&](const auto& entry) {
    return !entry.second.told_end || entry.second.next < group_.log().stable_end(entry.first);
  });
}

void SimSource::hand_out_stale(RecordBatch& batch) {
  for (auto& [partition, stale] : stale_) {
    const auto& log = group_.log().of(partition);
    for (; stale.next < stale.end; ++stale.next) {
      if (log.entries[static_cast<std::size_t>(stale.next)].kind != EntryKind::kRecord) continue;
      batch.records.push_back(group_.log().record(partition, stale.next));
      group_.scheduler().coverage().count(Event::kStaleQueueDelivered);
    }
  }
  stale_.clear();
}

void SimSource::hand_out(std::int32_t partition, Fetch& fetch, std::size_t max_records,
                         RecordBatch& batch) {
  const SimLog& log = group_.log();
  if (fetch.next < log.of(partition).start) {
    batch.out_of_range.push_back(partition);
    return;
  }
  const std::int64_t end = log.stable_end(partition);
  for (std::size_t given = 0; given < max_records && fetch.next < end; ++fetch.next) {
    const LogEntry& entry = log.of(partition).entries[static_cast<std::size_t>(fetch.next)];
    fetch.told_end = false;
    if (entry.kind != EntryKind::kRecord) continue;
    batch.records.push_back(log.record(partition, fetch.next));
    ++given;
  }
  if (fetch.next == end && !fetch.told_end) {
    fetch.told_end = true;
    batch.ends.push_back({partition, end});
    if (log.has_open_transaction(partition))
      group_.scheduler().coverage().count(Event::kOpenTransactionHeldBack);
  }
}

RecordBatch SimSource::poll(std::size_t max_records, std::chrono::milliseconds timeout) {
  Scheduler& scheduler = group_.scheduler();
  scheduler.point();
  hear_of_rebalance();
  const auto deadline = scheduler.now_us() + timeout.count() * 1000;
  if (!something_to_hand_out())
    scheduler.wait_until(deadline, [this] { return something_to_hand_out(); });
  RecordBatch batch;
  hand_out_stale(batch);
  const std::size_t most = std::min(max_records, group_.rules().largest_poll);
  for (auto& [partition, fetch] : fetches_) {
    if (scheduler.dice().one_in(4)) continue;  // its answer is still on the way
    hand_out(partition, fetch, 1 + scheduler.dice().below(most), batch);
  }
  return batch;
}

bool SimSource::silent() {
  group_.scheduler().point();
  if (!group_.scheduler().dice().per_mille(group_.rules().silent_per_mille)) return false;
  group_.scheduler().coverage().count(Event::kBrokerSilent);
  return true;
}

std::optional<runtime::kafka::Watermarks> SimSource::watermarks(std::int32_t partition,
                                                                std::chrono::milliseconds) {
  if (silent() || partition >= group_.log().partitions()) return std::nullopt;
  const SimLog::Partition& log = group_.log().of(partition);
  return runtime::kafka::Watermarks{log.start, static_cast<std::int64_t>(log.entries.size())};
}

std::optional<std::int64_t> SimSource::fetched_end(std::int32_t partition) const {
  if (partition >= group_.log().partitions()) return std::nullopt;
  return static_cast<std::int64_t>(group_.log().of(partition).entries.size());
}

std::optional<std::int32_t> SimSource::partition_count(std::chrono::milliseconds) {
  if (silent()) return std::nullopt;
  return known_partitions_;
}

void SimSource::mirror_offsets(
    const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets) {
  for (const auto& [partition, offset] : next_offsets) {
    group_.mirrored[partition] = offset;
    if (group_.on_mirrored) group_.on_mirrored(partition, offset);
  }
}

}  // namespace tally::simulation
