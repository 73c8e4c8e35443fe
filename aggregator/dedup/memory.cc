#include "aggregator/dedup/memory.h"

#include "aggregator/dedup/hot_table.h"
#include "aggregator/dedup/run_set.h"
#include "core/check.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace tally::aggregator::dedup {
namespace {

Seen compare(const OrderedEntry& found, const OrderedEntry& probed) {
  const core::DedupEntry first = found.to_entry();
  const core::DedupEntry second = probed.to_entry();
  TALLY_CHECK(first.same_identity(second));
  if (first.generation() != second.generation()) return Seen::kOtherGeneration;
  return first.content() == second.content() ? Seen::kSameContent : Seen::kOtherContent;
}

bool before(const OrderedEntry& a, const OrderedEntry& b) { return a.before(b); }

LogDay days_kept(const MemorySettings& settings) {
  return std::max(settings.horizon_days, settings.kept_days);
}

}  // namespace

struct Memory::Parts {
  explicit Parts(const MemorySettings& memory_settings)
      : settings(memory_settings), hot(days_kept(memory_settings)) {
    settings.kept_days = days_kept(settings);
    if (!settings.cache_folder.empty()) runs.emplace(settings);
  }

  [[nodiscard]] bool expired(const DatedEntry& found, LogDay today) const {
    return is_expired(found.day, today, settings.horizon_days);
  }
  // Of the hot table and the runs.
  [[nodiscard]] std::optional<DatedEntry> latest(const OrderedEntry& entry) const {
    auto found = hot.find(entry);
    if (!runs || runs->empty()) return found;
    // Usually what is hot is later; not so when an old segment was loaded beside a young run.
    const auto spilled = runs->find(entry);
    if (spilled && (!found || spilled->day > found->day)) found = spilled;
    return found;
  }
  void forget_expired() {
    const LogDay oldest = hot.newest_day() - settings.kept_days;
    const auto expired = [&](const auto& dated) { return dated.day < oldest; };
    std::erase_if(tokens, expired);
    std::erase_if(replaced, expired);
  }
  // The committed claim of a hot identity whose last `provisional` claims are not. `replaced` is
  // sorted. nullopt: there is none, or it lies in a run already.
  [[nodiscard]] std::optional<DatedEntry> committed_before(const OrderedEntry& entry,
                                                           std::size_t provisional) const {
    const auto earlier = std::ranges::equal_range(replaced, entry, before, &DatedEntry::entry);
    if (earlier.size() < provisional) return std::nullopt;
    return *(earlier.end() - static_cast<std::ptrdiff_t>(provisional));
  }

  MemorySettings settings;
  HotTable hot;
  std::optional<RunSet> runs;    // where there is a folder for them
  std::vector<RunToken> tokens;  // of the segments whose entries are hot
  // What claims since the last spill replaced, though it was kept: as long as a claim may yet be
  // given up, the segments of what it replaced need that. Of one identity in order.
  std::vector<DatedEntry> replaced;
};

Memory::Memory(const MemorySettings& settings) : parts_(std::make_unique<Parts>(settings)) {}

Memory::~Memory() = default;

void Memory::prefetch(const core::DedupEntry& entry) const {
  const OrderedEntry wanted(entry);
  parts_->hot.prefetch(wanted);
  if (parts_->runs && !parts_->runs->empty()) parts_->runs->prefetch(wanted);
}

Seen Memory::probe(const core::DedupEntry& entry, LogDay today) const {
  const OrderedEntry wanted(entry);
  const auto found = parts_->latest(wanted);
  if (!found || parts_->expired(*found, today)) return Seen::kNever;
  return compare(found->entry, wanted);
}

std::optional<core::DedupEntry> Memory::remembered(const core::DedupEntry& entry,
                                                   LogDay today) const {
  const auto found = parts_->latest(OrderedEntry(entry));
  if (!found || parts_->expired(*found, today)) return std::nullopt;
  return found->entry.to_entry();
}

LogDay Memory::oldest_day() const { return parts_->hot.newest_day() - parts_->settings.kept_days; }

void Memory::insert(const core::DedupEntry& entry, LogDay day) {
  const auto earlier =
      parts_->hot.insert(OrderedEntry(entry), day, day - parts_->settings.horizon_days);
  if (earlier && parts_->runs) parts_->replaced.push_back(*earlier);
}

void Memory::restore(const core::DedupEntry& entry, LogDay day) {
  parts_->hot.restore(OrderedEntry(entry), day);
}

void Memory::advance(LogDay today) {
  if (today <= parts_->hot.newest_day()) return;
  parts_->hot.advance(today);
  parts_->forget_expired();
  if (parts_->runs) parts_->runs->drop_expired(today);
}

void Memory::advance(LogDay today, LogDay first_kept) {
  if (today <= parts_->hot.newest_day()) return;
  const LogDay first = std::max({first_kept, oldest_day(), today - kMaxHorizonDays});
  parts_->settings.kept_days = std::max(today - first, 1);
  parts_->hot.keep(parts_->settings.kept_days);
  if (parts_->runs) parts_->runs->keep(parts_->settings.kept_days);
  advance(today);
}

void Memory::reserve(std::size_t more) { parts_->hot.reserve(more); }

void Memory::adopt(LogDay oldest_day, const std::function<bool(const SegmentToken&)>& stored) {
  if (parts_->runs) parts_->runs->adopt(oldest_day, stored);
}

bool Memory::covers(const SegmentToken& token) const {
  return parts_->runs && parts_->runs->covers(token);
}

void Memory::loaded() {
  if (parts_->runs) parts_->runs->forget_covered();
}

void Memory::committed(LogDay day, const SegmentToken& token) {
  if (parts_->runs) parts_->tokens.push_back({day, token});
}

bool Memory::spill(std::span<const core::DedupEntry> provisional) {
  if (!parts_->runs) return false;
  HotTable& hot = parts_->hot;
  if (hot.size() == 0) return true;
  const LogDay today = hot.newest_day();
  std::vector<OrderedEntry> kept_back(provisional.begin(), provisional.end());
  std::sort(kept_back.begin(), kept_back.end(), before);
  parts_->forget_expired();
  std::sort(parts_->replaced.begin(), parts_->replaced.end(),
            [](const DatedEntry& a, const DatedEntry& b) {
              if (before(a.entry, b.entry)) return true;
              return !before(b.entry, a.entry) && a.day < b.day;  // claims of one are days apart
            });
  std::vector<DatedEntry> still_hot;
  std::unique_ptr<RunFile> run;
  try {
    const auto writer = parts_->runs->begin(hot.size(), today);
    hot.for_each([&](const OrderedEntry& entry, LogDay day) {
      const auto claims = std::ranges::equal_range(kept_back, entry, before);
      if (claims.empty()) {
        writer->add(entry, day);
        return;
      }
      still_hot.push_back({entry, day});
      const auto committed = parts_->committed_before(entry, claims.size());
      if (committed) writer->add(committed->entry, committed->day);
    });
    if (writer->entries() == 0) return true;
    run = parts_->runs->finish(*writer, parts_->tokens);
  } catch (const DiskFailure&) {
    return false;
  }
  hot.clear();
  for (const DatedEntry& dated : still_hot) hot.restore(dated.entry, dated.day);
  parts_->tokens = std::vector<RunToken>();
  parts_->replaced = std::vector<DatedEntry>();  // `= {}` would keep the memory
  parts_->runs->add(std::move(run), today);
  return true;
}

void Memory::discard(const MemorySettings& settings) {
  if (settings.cache_folder.empty()) return;
  std::error_code ignored;  // what is left is judged when it is next opened
  std::filesystem::remove_all(RunSet::folder_of(settings), ignored);
}

std::size_t Memory::size() const {
  return parts_->hot.size() + (parts_->runs ? parts_->runs->entries() : 0);
}

std::size_t Memory::hot_bytes() const {
  return parts_->hot.bytes() + parts_->replaced.capacity() * sizeof(DatedEntry);
}

std::size_t Memory::bytes() const {
  return hot_bytes() + parts_->tokens.capacity() * sizeof(RunToken) +
         (parts_->runs ? parts_->runs->bytes() : 0);
}

std::size_t Memory::disk_bytes() const { return parts_->runs ? parts_->runs->disk_bytes() : 0; }

}  // namespace tally::aggregator::dedup
