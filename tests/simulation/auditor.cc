#include "tests/simulation/auditor.h"

#include "core/identity.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::simulation {

using aggregator::BatchPlan;

namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

std::int32_t home_of(const std::string& id, std::int32_t partitions) {
  return static_cast<std::int32_t>(core::home_bits(id) % static_cast<std::uint32_t>(partitions));
}

std::string name_of(const std::pair<std::int32_t, std::int64_t>& place) {
  return fmt::format("partition {} offset {}", place.first, place.second);
}

}  // namespace

const Message& Auditor::message_at(const Place& place) const {
  const auto& entry = log_->of(place.first).entries.at(static_cast<std::size_t>(place.second));
  return workload_->messages().at(entry.message);
}

std::int64_t Auditor::log_time_us(const Place& place) const {
  return log_->of(place.first).entries.at(static_cast<std::size_t>(place.second)).log_time_ms *
         1000;
}

std::string Auditor::committed(const BatchPlan& plan, const Tables& tables) {
  ++commits_;
  if (tables.catalogue + 1 != static_cast<std::size_t>(plan.meters->version().value()))
    return fmt::format("a plan of catalogue {} was committed under {}",
                       plan.meters->version().value(), tables.catalogue + 1);
  if (plan.topic_partitions != 0 && plan.topic_partitions != tables.partitions)
    return fmt::format("a plan made under {} partitions was committed under {}",
                       plan.topic_partitions, tables.partitions);
  partitions_ = tables.partitions;
  if (!tables.all_open(tenants_->rows().at(tables.catalogue)))
    return "a plan was committed that knows a billing period which has no totals yet";
  std::set<std::pair<Place, std::int32_t>> sent;
  std::string broken = take(plan, sent);
  if (!broken.empty()) return broken;
  for (const auto& [id, advance] : plan.partitions) {
    const std::int32_t partition = id.value();
    const auto [next, fresh] = next_.try_emplace(partition, tables.states.at(partition).base);
    if (advance.start.value() != next->second || advance.next < advance.start)
      return fmt::format("partition {} was committed from {} to {}, but stood at {}", partition,
                         advance.start.value(), advance.next.value(), next->second);
    broken = consume(partition, advance, plan);
    if (!broken.empty()) return broken;
    for (std::int64_t offset = next->second; offset < advance.next.value(); ++offset) {
      const Place place{partition, offset};
      if (lost_.contains(place)) continue;
      const auto& entry = log_->of(partition).entries.at(static_cast<std::size_t>(offset));
      if (entry.kind != EntryKind::kRecord) continue;
      broken = consume_record(place, plan, sent);
      if (!broken.empty()) return broken;
    }
    next->second = advance.next.value();
    highest_[partition] = std::max(highest_[partition], next->second);
  }
  note_unknown(tables);
  broken = check_sent(tables, sent);
  return broken.empty() ? check_claims(plan) : broken;
}

// The offsets of one advance that hold no record of ours: markers, aborted, open, lost.
std::string Auditor::consume(std::int32_t partition, const aggregator::PartitionAdvance& advance,
                             const BatchPlan& plan) {
  const SimLog::Partition& log = log_->of(partition);
  for (const auto& range : plan.lost) {
    if (range.partition.value() != partition) continue;
    if (range.last >= log.start)
      return fmt::format("partition {}: offset {} is said to be lost, but the log begins at {}",
                         partition, range.last, log.start);
    for (std::int64_t offset = range.first; offset <= range.last; ++offset) {
      lost_.insert({partition, offset});
      ++sums_[partition].lost;
    }
  }
  for (std::int64_t offset = advance.start.value(); offset < advance.next.value(); ++offset) {
    if (static_cast<std::size_t>(offset) >= log.entries.size())
      return fmt::format("partition {}: offset {} was consumed before it was written", partition,
                         offset);
    if (lost_.contains({partition, offset})) continue;
    const EntryKind kind = log.entries[static_cast<std::size_t>(offset)].kind;
    if (kind == EntryKind::kOpen)
      return fmt::format("partition {}: offset {} of an open transaction was consumed", partition,
                         offset);
    if (kind != EntryKind::kRecord) ++sums_[partition].skipped;
  }
  return {};
}

std::string Auditor::consume_record(const Place& place, const BatchPlan& plan,
                                    std::set<std::pair<Place, std::int32_t>>& sent) {
  const Message& message = message_at(place);
  ++sums_[place.first].consumed;
  const std::int32_t home = home_of(message.id, plan.topic_partitions);
  if (message.flaw == Flaw::kUnreadable || home == place.first) {
    settle(place, place.first, 0, plan);
    return {};
  }
  ++sums_[place.first].handed_off;
  sent.insert({place, home});
  return {};
}

std::string Auditor::take(const BatchPlan& plan, std::set<std::pair<Place, std::int32_t>>& sent) {
  for (const auto& [home, rows] : plan.taken) {
    for (const auto& row : rows) {
      const auto found = waiting_.find(row.id.value());
      if (found == waiting_.end() || found->second.first != home.value())
        return fmt::format("partition {} took row {} of the handoff, which does not wait for it",
                           home.value(), row.id.value());
      for (const Place& place : found->second.second) {
        ++sums_[home.value()].received;
        const std::int32_t now_home = home_of(message_at(place).id, plan.topic_partitions);
        if (now_home == home.value()) {
          settle(place, now_home, row.id.value(), plan);
        } else {
          ++sums_[home.value()].handed_off;
          ++handed_on_;
          sent.insert({place, now_home});
        }
      }
      waiting_.erase(found);
    }
  }
  return {};
}

// What lies in the handoff since this commit must be just what had to be handed off.
std::string Auditor::check_sent(const Tables& tables,
                                const std::set<std::pair<Place, std::int32_t>>& sent) {
  std::set<std::pair<Place, std::int32_t>> stored;
  for (auto row = tables.handoffs.lower_bound(next_handoff_); row != tables.handoffs.end(); ++row) {
    aggregator::HandoffReader reader(row->second.bytes);
    std::vector<Place> places;
    while (const auto handoff = reader.next()) {
      const Place place{handoff->record.partition, handoff->record.offset};
      const auto& entry = log_->of(place.first).entries.at(static_cast<std::size_t>(place.second));
      if (handoff->record.value != entry.value || handoff->record.key != entry.key ||
          handoff->record.log_time_ms != entry.log_time_ms)
        return name_of(place) + " was changed on its way to its home";
      if (!stored.insert({place, row->second.home}).second)
        return name_of(place) + " was handed off twice in one commit";
      places.push_back(place);
    }
    waiting_[row->first] = {row->second.home, std::move(places)};
    next_handoff_ = row->first + 1;
  }
  if (stored == sent) return {};
  std::string text = fmt::format(
      "{} records had to be handed off in a commit, {} were:", sent.size(), stored.size());
  for (const auto& [place, home] : sent) {
    if (!stored.contains({place, home}))
      text += fmt::format(" {} to {} not;", name_of(place), home);
  }
  for (const auto& [place, home] : stored) {
    if (!sent.contains({place, home}))
      text += fmt::format(" {} to {} wrongly;", name_of(place), home);
  }
  return text;
}

std::string Auditor::check_claims(const BatchPlan& plan) {
  const auto horizon_days =
      static_cast<LogDay>((rules_.horizon_us + rules_.future_bound_us) / kDayUs);
  for (const auto& [where, segment] : plan.segments) {
    for (const core::DedupEntry& entry : segment.entries) {
      const std::pair identity{entry.hi, entry.lo >> core::DedupEntry::kCheckBits};
      const auto [found, fresh] = claims_.try_emplace(identity, where.second);
      if (!fresh && std::abs(where.second - found->second) < horizon_days)
        return fmt::format("an identity was claimed on day {} and again on day {} (partition {})",
                           found->second, where.second, where.first.value());
      found->second = where.second;
    }
  }
  return {};
}

void Auditor::settle(const Place& place, std::int32_t home, std::int64_t row,
                     const BatchPlan& plan) {
  Settled record{place, commits_, row, home,
                 static_cast<std::size_t>(plan.meters->version().value()) - 1};
  Sums& sums = sums_[home];
  switch (flaw_of(record)) {
    case Flaw::kUnreadable:
    case Flaw::kValueMissing:
      ++sums.rejected;
      break;
    case Flaw::kUnmetered:
      ++sums.unmetered;
      break;
    case Flaw::kFiltered:
      ++sums.filtered;
      break;
    case Flaw::kNone:
      ++sums.deduplicated;
      break;
  }
  settled_.push_back(record);
}

// Of this commit: what was handed off to a home whose clock was by then more than a day ahead, and
// what may have come first on a day that is dropped.
void Auditor::note_unknown(const Tables& tables) {
  for (auto record = settled_.rbegin(); record != settled_.rend() && record->commit == commits_;
       ++record) {
    const std::int64_t log_time = log_time_us(record->place);
    const LogDay clock = aggregator::log_day_of(tables.states.at(record->home).last_log_time);
    const bool lags = record->row != 0 && clock - log_time / kDayUs > 1 + core::kMaxLagDays;
    const std::int64_t first_us = message_at(record->place).time_us.value_or(log_time) - kDayUs;
    const bool dropped = tables.dropped_before && first_us < *tables.dropped_before * kDayUs;
    record->unknown = lags || dropped;
  }
}

std::string Auditor::mirrored(std::int32_t partition, std::int64_t offset) {
  const auto found = highest_.find(partition);
  if (found != highest_.end() && offset <= found->second) return {};
  return fmt::format("offset {} of partition {} was mirrored before it was committed", offset,
                     partition);
}

void Auditor::restore(const Auditor& before) {
  const std::map<std::int32_t, std::int64_t> highest = highest_;
  *this = before;
  highest_ = highest;
}

// What retention removed before anybody owned the partition is nobody's.
std::int64_t Auditor::stands_at(std::int32_t partition) const {
  const auto next = next_.find(partition);
  return next == next_.end() ? log_->of(partition).start : next->second;
}

bool Auditor::all_settled() const {
  if (!waiting_.empty()) return false;
  for (std::int32_t p = 0; p < log_->partitions(); ++p) {
    if (stands_at(p) != static_cast<std::int64_t>(log_->of(p).entries.size())) return false;
  }
  return true;
}

std::string Auditor::pending() const {
  std::string text;
  for (std::int32_t p = 0; p < log_->partitions(); ++p) {
    const std::int64_t at = stands_at(p);
    if (at != static_cast<std::int64_t>(log_->of(p).entries.size()))
      text += fmt::format(" partition {} stands at {} of {} (from {})", p, at,
                          log_->of(p).entries.size(), log_->of(p).start);
  }
  for (const auto& [id, row] : waiting_) text += fmt::format(" row {} waits for {}", id, row.first);
  return text;
}

std::optional<std::int64_t> Auditor::oldest_pending_ms() const {
  std::optional<std::int64_t> oldest;
  const auto consider = [&](std::int64_t log_time_ms) {
    if (!oldest || log_time_ms < *oldest) oldest = log_time_ms;
  };
  for (std::int32_t p = 0; p < log_->partitions(); ++p) {
    const auto& entries = log_->of(p).entries;
    const auto from = static_cast<std::size_t>(stands_at(p));
    if (from < entries.size()) consider(entries[from].log_time_ms);
  }
  for (const auto& [id, row] : waiting_) {
    for (const Place& place : row.second) consider(log_time_us(place) / 1000);
  }
  return oldest;
}

}  // namespace tally::simulation
