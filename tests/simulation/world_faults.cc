// What strikes a running schedule from outside.
#include "tests/simulation/world.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

namespace tally::simulation {

namespace {

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code ignored;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder, ignored)) {
    if (file.is_regular_file(ignored)) files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Instance& World::any_instance() { return *instances_[scheduler_.dice().below(instances_.size())]; }

void World::strike(Fault fault) {
  Coverage& coverage = scheduler_.coverage();
  Instance& instance = any_instance();
  switch (fault) {
    case Fault::kKill:
      if (instance.running()) coverage.count(Event::kCrash);
      instance.kill();
      break;
    case Fault::kFreeze:
      freeze_one(instance);
      break;
    case Fault::kKick:
      group_.kick_one();
      break;
    case Fault::kStopOrderly:
      if (instance.running()) coverage.count(Event::kStoppedOrderly);
      instance.stop();
      break;
    case Fault::kOutage:
      outage();
      break;
    case Fault::kGrow:
      grow();
      break;
    case Fault::kRefreshMetadata:
      refresh_metadata();
      break;
    case Fault::kRetention:
      retain();
      break;
    case Fault::kCatalogueChange: {
      const auto change = database_.begin(scheduler_.now_us(), "admin");
      if (database_.tables().catalogue + 1 < database_.catalogues.size() &&
          database_.try_lock(change, {LockTable::kCatalogue, 0}, LockMode::kExclusive)) {
        change->writes.emplace_back([](Tables& tables, CommitNumber) { ++tables.catalogue; });
        database_.commit(change);
        coverage.count(Event::kCatalogueChange);
        scheduler_.note("admin: the catalogue changes");
      }
      database_.rollback(change);
      break;
    }
    case Fault::kBackup:
      backup();
      break;
    case Fault::kRestore:
      restore();
      break;
    case Fault::kClockStepBack:
      log_clock_ms_ -= scheduler_.dice().between(1, 60'000);
      coverage.count(Event::kClockStepBack);
      break;
    case Fault::kDamageCache:
      damage_cache(instance);
      break;
    case Fault::kFaultCount:
      break;
  }
}

void World::freeze_one(Instance& instance) {
  if (!instance.running()) return;
  scheduler_.coverage().count(Event::kZombie);
  if (database_.has_open(instance.settings().name))
    scheduler_.coverage().count(Event::kZombieInTransaction);
  instance.freeze(scheduler_.now_us() + scheduler_.dice().between(50'000, 7'000'000));
}

// The server goes down at once and comes back: every transaction is gone.
void World::outage() {
  scheduler_.note("database: shut down");
  scheduler_.coverage().count(Event::kStoreOutage);
  database_.up = false;
  database_.kill_all();
  lingering_.forget_all();
  scheduler_.wait_until(scheduler_.now_us() + scheduler_.dice().between(10'000, 3'000'000),
                        [this] { return calm_; });
  database_.up = true;
  scheduler_.note("database: up again");
}

void World::grow() {
  if (scenario_.growth.empty()) return;
  const std::int32_t partitions = scenario_.growth.front();
  scenario_.growth.erase(scenario_.growth.begin());
  if (partitions <= log_.partitions()) return;
  scheduler_.note("topic: grows to {} partitions", partitions);
  log_.grow(partitions);
}

void World::refresh_metadata() {
  Instance& instance = any_instance();
  instance.known_partitions = log_.partitions();
  if (scheduler_.dice().one_in(2)) group_.refresh_metadata();
  if (scheduler_.dice().one_in(2)) producers_know_ = log_.partitions();
}

// Retention seldom catches up with readers; when it does, the records are lost and must be shown.
void World::retain() {
  const auto partition = static_cast<std::int32_t>(
      scheduler_.dice().below(static_cast<std::size_t>(log_.partitions())));
  if (log_.has_open_transaction(partition)) return;
  const std::int64_t start = log_.of(partition).start;
  const std::int64_t end = log_.stable_end(partition);
  if (end <= start) return;
  const std::int64_t moved = scheduler_.dice().between(start, end);
  scheduler_.note("topic: partition {} begins at {} now", partition, moved);
  log_.retain_from(partition, moved);
}

void World::backup() {
  scheduler_.note("database: backup");
  backup_.emplace(Backup{database_.tables(), auditor_});
}

void World::restore() {
  // What was read since is read again at once, and some partitions are then far ahead of others.
  if (!backup_) return;
  const auto unread = backup_->auditor.oldest_pending_ms();
  if (unread && log_clock_ms_ - *unread > scenario_.most_lag_ms + kMostStepMs) return;
  scheduler_.note("database: restored from the backup");
  scheduler_.coverage().count(Event::kStoreRestored);
  database_.kill_all();
  lingering_.forget_all();
  database_.tables() = backup_->tables;
  auditor_.restore(backup_->auditor);
}

void World::damage_cache(Instance& instance) {
  if (instance.running() || !scenario_.local_runs) return;
  for (const auto& path : files_in(instance.settings().session.cache_folder)) {
    if (scheduler_.dice().one_in(2)) continue;
    scheduler_.coverage().count(Event::kCacheDamaged);
    std::error_code ignored;
    if (scheduler_.dice().one_in(3)) {
      std::filesystem::remove(path, ignored);
    } else {
      std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
      const auto size = static_cast<std::size_t>(std::filesystem::file_size(path, ignored));
      const auto where = static_cast<std::streamoff>(scheduler_.dice().below(size));
      const int byte = stream.seekg(where).get();
      stream.seekp(where).put(static_cast<char>(byte ^ 0x5A));
    }
    return;
  }
}

}  // namespace tally::simulation
