// The power fails, or the process is killed, at every single step of long random scripts: whatever
// was called kept is read again, in order, byte for byte, and nothing else but what was offered.
#include "tests/unit/spool/memory_disk.h"
#include "tests/unit/spool/rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tally::producer::spool {
namespace {

// Small, so that scripts go through many segments and meet the bound.
constexpr StoreLimits kLimits{12'000, 2'000};

// What was offered, in order, and what became of it.
class Model {
 public:
  std::vector<Event> offer(std::size_t count, std::mt19937_64& random) {
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
      events.push_back(event(static_cast<int>(order_.size()), random() % 400));
      order_[events.back().first] = values_.size();
      values_.push_back(events.back().second);
      kept_.push_back(false);
    }
    return events;
  }
  void kept(const std::vector<Event>& events, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) kept_[order_.at(events[i].first)] = true;
  }
  void acked(const std::string& key) { acked_ = std::max(acked_, order_.at(key) + 1); }

  // `read` is all that waits after a recovery.
  void judge(const ReadBack& read) const {
    std::size_t next = 0;
    std::vector<bool> seen(values_.size(), false);
    for (const auto& [key, value] : read.events) {
      const auto found = order_.find(key);
      ASSERT_NE(found, order_.end()) << key << " was never offered";
      ASSERT_EQ(value, values_[found->second]);
      ASSERT_GE(found->second, next) << "out of order";
      next = found->second + 1;
      seen[found->second] = true;
    }
    for (std::size_t i = acked_; i < kept_.size(); ++i) {
      ASSERT_TRUE(!kept_[i] || seen[i]) << "record " << i << " was kept and is gone";
    }
    ASSERT_EQ(read.missing, read.torn) << "called lost, and nothing kept was";
  }

 private:
  std::map<std::string, std::size_t> order_;
  std::vector<std::string> values_;
  std::vector<bool> kept_;
  std::size_t acked_ = 0;
};

class Script {
 public:
  Script(std::uint64_t seed, MemoryDisk& disk) : random_(seed), disk_(disk) {}

  // Some turns of a life of the spool; ends early at a cut.
  void live(int turns) {
    auto rig = Rig::open(disk_, kLimits);
    if (!rig) {
      ASSERT_TRUE(disk_.is_cut()) << rig.error().message;
      return;
    }
    for (int turn = 0; turn < turns && !disk_.is_cut(); ++turn) act(*rig.value());
  }
  // After a restart: nothing may be missing.
  void judge() {
    auto rig = Rig::open(disk_, kLimits);
    ASSERT_TRUE(rig) << rig.error().message;
    model_.judge(rig.value()->read());
  }

 private:
  void act(Rig& rig) {
    const auto choice = random_() % 100;
    if (choice < 60) {
      const auto events = model_.offer(1 + random_() % 6, random_);
      model_.kept(events, rig.append(events).records);
    } else if (choice < 85) {
      acknowledge(rig, random_() % 8);
    } else if (choice < 90) {
      static_cast<void>(rig.appender().probe());
    } else {
      break_something();
    }
  }

  void acknowledge(Rig& rig, std::size_t count) {
    try {
      Cursor cursor(rig.store(), rig.store().figures().acked);
      for (std::size_t i = 0; i < count; ++i) {
        const auto step = cursor.next();
        if (!step) break;
        rig.store().advance(cursor.at(), step->record ? step->record->end_offset : 0);
        if (step->record) model_.acked(std::string(step->record->key));
      }
      if (random_() % 2 == 0) rig.store().store_position();
      if (random_() % 2 == 0) rig.store().drop_done();
    } catch (const FileFailure&) {
    }
  }

  // From here on one call in some fails, or the disk is full; or all is well again.
  void break_something() {
    const auto kind = random_() % 4;
    disk_.set_capacity(kind == 0 ? random_() % 12'000 : UINT64_MAX);
    if (kind != 1) {
      disk_.fail_when({});
      return;
    }
    const auto trouble = random_() % 4 == 0 ? Trouble::kReadOnly : Trouble::kBroken;
    const std::uint64_t rate = 2 + random_() % 6;
    disk_.fail_when([this, trouble, rate](std::string_view) -> std::optional<Trouble> {
      if (faults_() % rate != 0) return std::nullopt;
      return trouble;
    });
  }

  std::mt19937_64 random_;
  std::mt19937_64 faults_{7};
  MemoryDisk& disk_;
  Model model_;
};

// Runs the script of `seed` with a cut at that step (0: none); returns how many steps it has.
std::uint64_t run(std::uint64_t seed, std::uint64_t cut_at, MemoryDisk::End end) {
  MemoryDisk disk(seed * 1'000'003 + cut_at);
  Script script(seed, disk);
  disk.cut_power_at(cut_at);
  script.live(40);
  const std::uint64_t steps = disk.steps();
  disk.restart(end);
  script.judge();
  // Once more on what was recovered, to its end or to a cut; then the other way to go.
  if (cut_at % 3 != 0) disk.cut_power_at(disk.steps() + 1 + cut_at % 29);
  script.live(15);
  disk.restart(end == MemoryDisk::End::kPower ? MemoryDisk::End::kKill : MemoryDisk::End::kPower);
  script.judge();
  return steps;
}

class Crash : public ::testing::TestWithParam<MemoryDisk::End> {};

TEST_P(Crash, AtEveryStepNothingKeptIsLost) {
  std::uint64_t crashes = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const std::uint64_t steps = run(seed, 0, GetParam());
    for (std::uint64_t step = 1; step <= steps && !HasFailure(); ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
      run(seed, step, GetParam());
      ++crashes;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(crashes, 3'000U);
}

INSTANTIATE_TEST_SUITE_P(Spool, Crash,
                         ::testing::Values(MemoryDisk::End::kKill, MemoryDisk::End::kPower),
                         [](const auto& end) {
                           return end.param == MemoryDisk::End::kKill ? "kill" : "power";
                         });

}  // namespace
}  // namespace tally::producer::spool
