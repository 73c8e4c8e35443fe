// A disk in memory that does what a disk may do at its worst: a power cut leaves what was synced
// and any part of the rest, sector by sector; a failed sync drops what it should have written, and
// the next one succeeds; it fills up, turns read-only, and fails at any chosen step.
//
// Every call that changes something is a step; the others ("read", "size", "open", "names") only
// fail on demand. Threads: any.
#pragma once

#include "producer/spool/files.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::spool {

class MemoryDisk {
 public:
  explicit MemoryDisk(std::uint64_t seed) : random_(seed) {}

  // The folder of a process that runs now. It must not outlive the disk.
  [[nodiscard]] std::unique_ptr<Folder> folder();

  // Faults. Steps are counted from 1.
  void cut_power_at(std::uint64_t step) { cut_at_ = step; }
  void fail_when(std::function<std::optional<Trouble>(std::string_view call)> plan);
  void set_capacity(std::uint64_t bytes);
  // Reads that touch these bytes of the file fail, for good.
  void make_unreadable(const std::string& name, std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // From the cut on every call fails; nothing that fails then was promised to anybody.
  [[nodiscard]] bool is_cut() const { return is_cut_; }

  // The process is gone. Power: with all that was not synced, as chance will have it.
  enum class End { kKill, kPower };
  void restart(End end);

  // For damage done by hand, and to look.
  [[nodiscard]] std::map<std::string, std::string> files() const;
  void put(const std::string& name, std::string bytes);
  void erase(const std::string& name);

 private:
  friend class MemoryFile;
  friend class MemoryFolder;
  friend class MemoryLock;

  struct Change {
    std::uint64_t offset = 0;
    std::string bytes;
    std::optional<std::uint64_t> cut_to;  // a truncation
  };
  struct Inode {
    std::string seen;
    std::string durable;
    std::vector<Change> unsynced;
    std::uint64_t reserved = 0;
    std::pair<std::uint64_t, std::uint64_t> unreadable{0, 0};
  };
  struct NameChange {
    std::string name;
    std::shared_ptr<Inode> inode;  // null: taken away
  };

  // Throws when this step is to fail; `partly` runs before a power cut.
  void step(std::string_view call, const std::function<void()>& partly = {});
  void look(std::string_view call) const;
  void take_room(std::uint64_t bytes) const;
  [[nodiscard]] std::uint64_t used() const;
  static void apply(const Change& change, std::string& bytes);
  void apply_some(const Inode& inode, std::string& bytes);

  mutable std::recursive_mutex mutex_;
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<Inode>> seen_;
  std::map<std::string, std::shared_ptr<Inode>> durable_;
  std::vector<NameChange> unsynced_names_;
  std::function<std::optional<Trouble>(std::string_view)> plan_;
  std::uint64_t capacity_ = UINT64_MAX;
  std::uint64_t steps_ = 0;
  std::uint64_t cut_at_ = 0;
  bool is_cut_ = false;
  bool locked_ = false;
};

}  // namespace tally::producer::spool
