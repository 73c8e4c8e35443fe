#include "aggregator/dedup/run_set.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

namespace tally::aggregator::dedup {
namespace {

void remove_file(const std::filesystem::path& path) {
  std::error_code ignored;  // it is met again, and judged again, when the memory is next opened
  std::filesystem::remove(path, ignored);
}

bool larger(const std::unique_ptr<RunFile>& a, const std::unique_ptr<RunFile>& b) {
  if (a->entries() != b->entries()) return a->entries() > b->entries();
  return a->path() < b->path();
}

// What a run says of segments that have expired binds nobody.
void drop_before(LogDay oldest, std::vector<RunToken>& tokens) {
  std::erase_if(tokens, [&](const RunToken& token) { return token.day < oldest; });
}

}  // namespace

std::filesystem::path RunSet::folder_of(const MemorySettings& settings) {
  return settings.cache_folder / fmt::format("partition-{}", settings.partition);
}

RunSet::RunSet(const MemorySettings& settings)
    : folder_(folder_of(settings)),
      owner_{settings.deployment, settings.generation, settings.partition},
      kept_days_(settings.kept_days),
      new_token_(settings.new_token) {
  std::error_code error;  // a folder that cannot be made or read is one that refuses every spill
  std::filesystem::create_directories(folder_, error);
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    const auto& path = at->path();
    if (path.extension() == kUnfinishedSuffix) remove_file(path);
    if (path.extension() == kRunSuffix) paths.push_back(path);
  }
  for (const auto& path : paths) {
    try {
      found_.push_back(std::make_unique<RunFile>(path, owner_));
    } catch (const DiskFailure&) {
      remove_file(path);
    }
  }
  std::sort(found_.begin(), found_.end(), larger);
}

void RunSet::adopt(LogDay oldest_day, const std::function<bool(const SegmentToken&)>& stored) {
  for (auto& run : std::exchange(found_, {})) {
    std::vector<RunToken> tokens;
    try {
      tokens = run->tokens();
    } catch (const DiskFailure&) {
      remove_file(run->path());
      continue;
    }
    drop_before(oldest_day, tokens);
    const auto is_stored = [&](const RunToken& token) { return stored(token.token); };
    const auto is_covered = [&](const RunToken& token) { return covers(token.token); };
    const bool of_this_past = std::all_of(tokens.begin(), tokens.end(), is_stored);
    // A merge that was cut short before it removed what it had merged; or everything has expired.
    const bool needed = !std::all_of(tokens.begin(), tokens.end(), is_covered);
    if (!of_this_past || !needed) {
      remove_file(run->path());
      continue;
    }
    for (const RunToken& token : tokens) covered_.insert(token.token);
    runs_.push_back(std::move(run));
  }
}

std::optional<DatedEntry> RunSet::find(const OrderedEntry& entry) const {
  std::optional<DatedEntry> latest;
  for (const auto& run : runs_) {
    if (!run->may_hold(entry)) continue;
    try {
      const auto found = run->find(entry);
      if (found && (!latest || found->day > latest->day)) latest = found;
    } catch (const DiskFailure& failure) {
      remove(*run);
      throw CacheBroken(failure.what());
    }
  }
  return latest;
}

std::unique_ptr<RunWriter> RunSet::begin(std::size_t max_entries, LogDay newest_day) const {
  return std::make_unique<RunWriter>(folder_, owner_, new_token_(), max_entries, newest_day);
}

std::unique_ptr<RunFile> RunSet::finish(RunWriter& writer, std::vector<RunToken> tokens) const {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  const std::filesystem::path path = writer.finish(tokens);
  try {
    return std::make_unique<RunFile>(path, owner_);
  } catch (const DiskFailure&) {
    remove_file(path);
    throw;
  }
}

void RunSet::add(std::unique_ptr<RunFile> run, LogDay today) {
  runs_.push_back(std::move(run));
  std::sort(runs_.begin(), runs_.end(), larger);
  for (auto due = due_for_merge(today); !due.empty(); due = due_for_merge(today)) {
    try {
      merge(due, today);
    } catch (const DiskFailure&) {
      return;  // no room: more runs make a probe slower, never wrong; the next spill tries again
    }
  }
}

// Runs of which much has expired go alone; when there are too many, the small ones go together with
// each larger one that they have outgrown, so that an entry is written a few times in its life.
std::vector<std::size_t> RunSet::due_for_merge(LogDay today) const {
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    if (runs_[i]->entries_since(oldest_kept(today)) * 4 < runs_[i]->entries() * 3) return {i};
  }
  if (runs_.size() <= kMostRuns) return {};
  std::size_t first = runs_.size() - 1;
  std::size_t together = runs_[first]->entries();
  do {
    --first;
    together += runs_[first]->entries();
  } while (first > 0 && runs_[first - 1]->entries() <= together);
  std::vector<std::size_t> which;
  for (std::size_t i = first; i < runs_.size(); ++i) which.push_back(i);
  return which;
}

void RunSet::merge(const std::vector<std::size_t>& which, LogDay today) {
  std::vector<const RunFile*> inputs;
  std::vector<RunToken> tokens;
  std::size_t entries = 0;
  for (const std::size_t i : which) {
    inputs.push_back(runs_[i].get());
    entries += runs_[i]->entries_since(oldest_kept(today));
  }
  std::filesystem::path path;
  if (entries != 0) {
    const auto writer = begin(entries, today);
    write_merged(inputs, today, *writer);
    for (const RunFile* input : inputs) {
      try {
        std::ranges::copy(input->tokens(), std::back_inserter(tokens));
      } catch (const DiskFailure& failure) {
        remove(*input);
        throw CacheBroken(failure.what());
      }
    }
    drop_before(oldest_kept(today), tokens);
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    path = writer->finish(tokens);
  }
  // The inputs' filters go before the new one is read in: never twice the memory.
  for (auto i = which.rbegin(); i != which.rend(); ++i) {
    remove(*runs_[*i]);
    runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(*i));
  }
  if (path.empty()) return;
  try {
    runs_.push_back(std::make_unique<RunFile>(path, owner_));
  } catch (const DiskFailure& failure) {
    remove_file(path);
    throw CacheBroken(failure.what());
  }
  std::sort(runs_.begin(), runs_.end(), larger);
}

void RunSet::write_merged(std::span<const RunFile* const> inputs, LogDay today,
                          RunWriter& writer) const {
  const RunFile* reading = nullptr;
  std::vector<std::unique_ptr<RunCursor>> cursors;
  try {
    for (const RunFile* input : inputs) {
      reading = input;
      cursors.push_back(std::make_unique<RunCursor>(*input));
    }
    for (;;) {
      const RunCursor* first = nullptr;
      for (const auto& cursor : cursors) {
        if (cursor->done()) continue;
        if (first == nullptr || cursor->entry().before(first->entry())) first = cursor.get();
      }
      if (first == nullptr) return;
      // Of several claims of one identity the latest stands.
      DatedEntry latest{first->entry(), first->day()};
      for (std::size_t i = 0; i < cursors.size(); ++i) {
        RunCursor& cursor = *cursors[i];
        if (cursor.done() || !cursor.entry().same_identity(latest.entry)) continue;
        if (cursor.day() > latest.day) latest = {cursor.entry(), cursor.day()};
        reading = inputs[i];
        cursor.next();
      }
      reading = nullptr;
      if (latest.day >= oldest_kept(today)) writer.add(latest.entry, latest.day);
    }
  } catch (const DiskFailure& failure) {
    if (reading == nullptr) throw;
    remove(*reading);
    throw CacheBroken(failure.what());
  }
}

void RunSet::drop_expired(LogDay today) {
  std::erase_if(runs_, [&](const std::unique_ptr<RunFile>& run) {
    if (run->entries_since(oldest_kept(today)) != 0) return false;
    remove(*run);
    return true;
  });
}

void RunSet::remove(const RunFile& run) const { remove_file(run.path()); }

std::size_t RunSet::entries() const {
  std::size_t entries = 0;
  for (const auto& run : runs_) entries += run->entries();
  return entries;
}

std::size_t RunSet::bytes() const {
  std::size_t bytes = covered_.size() * (sizeof(SegmentToken) + 3 * sizeof(void*));
  for (const auto& run : runs_) bytes += run->bytes();
  for (const auto& run : found_) bytes += run->bytes();
  return bytes;
}

std::size_t RunSet::disk_bytes() const {
  std::size_t bytes = 0;
  for (const auto& run : runs_) bytes += run->disk_bytes();
  return bytes;
}

}  // namespace tally::aggregator::dedup
