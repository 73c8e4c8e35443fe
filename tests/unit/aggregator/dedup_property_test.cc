// The memory beside an obvious model, through everything that its owner and its disk can do to it:
// claims, commits, plans given up, crashes, days going by, spills, merges, another horizon, a
// database restored from an older backup, files lost and damaged. What it answers must never
// differ from a map.
#include "tests/unit/aggregator/dedup_support.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tally::aggregator::dedup {
namespace {

struct Claim {
  core::DedupEntry entry;
  LogDay day = 0;
};
using Claims = std::unordered_map<std::uint64_t, Claim>;

// What Postgres would hold.
struct StoredSegment {
  LogDay day = 0;
  SegmentToken token;
  std::vector<std::pair<std::uint64_t, core::DedupEntry>> entries;
};

class Owner {
 public:
  explicit Owner(std::uint64_t seed) : random_(seed) { open(); }

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      try {
        one_step();
      } catch (const CacheBroken&) {
        ++broken_;
        crash();
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    commit();
    crash();
    try {
      check_all();
    } catch (const CacheBroken&) {
      crash();
      check_all();
    }
  }

  [[nodiscard]] std::size_t claims() const { return claimed_; }
  [[nodiscard]] std::size_t broken() const { return broken_; }
  [[nodiscard]] std::size_t covered() const { return covered_; }
  [[nodiscard]] std::size_t spills() const { return spills_; }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  void one_step() {
    const std::uint64_t dice = below(1'000);
    if (dice < 960) {
      for (int i = 0; i < 20; ++i) meet_record();
    } else if (dice < 980) {
      commit();
    } else if (dice < 988) {
      spill();
    } else if (dice < 993) {
      today_ += static_cast<LogDay>(below(3));
      if (below(40) == 0) today_ += static_cast<LogDay>(below(300));
    } else if (dice < 996) {
      crash();
    } else if (dice < 997) {
      damage_a_file();
      if (below(2) == 0) crash();
    } else if (dice < 998) {
      lose_the_end_of_the_database();
      crash();
    } else if (dice < 999) {
      horizon_ = below(2) == 0 ? 3 : 12;
      crash();
    } else {
      check_all();
    }
  }

  [[nodiscard]] Seen expected(std::uint64_t identity, const core::DedupEntry& probe) const {
    const auto found = claims_.find(identity);
    if (found == claims_.end() || found->second.day < today_ - horizon_) return Seen::kNever;
    const core::DedupEntry& first = found->second.entry;
    if (first.generation() != probe.generation()) return Seen::kOtherGeneration;
    return first.content() == probe.content() ? Seen::kSameContent : Seen::kOtherContent;
  }

  void meet_record() {
    memory_->advance(today_);
    const std::uint64_t identity = below(2) == 0 ? below(6'000) : next_new_++;
    const auto probe = entry_of(identity, static_cast<std::uint32_t>(below(2)),
                                static_cast<std::uint32_t>(today_ / 16 % 3));
    const Seen seen = memory_->probe(probe, today_);
    ASSERT_EQ(seen, expected(identity, probe)) << "identity " << identity << " day " << today_;
    if (seen != Seen::kNever) return;
    memory_->insert(probe, today_);
    claims_[identity] = {probe, today_};
    plan_[today_].emplace_back(identity, probe);
    ++claimed_;
  }

  void commit() {
    for (auto& [day, entries] : plan_) {
      stored_.push_back({day, token_of(next_token_++), std::move(entries)});
      memory_->committed(day, stored_.back().token);
    }
    plan_.clear();
    committed_today_ = today_;
  }

  void spill() {
    std::vector<core::DedupEntry> provisional;
    for (const auto& [day, entries] : plan_) {
      for (const auto& [identity, entry] : entries) provisional.push_back(entry);
    }
    ASSERT_TRUE(memory_->spill(provisional));
    ++spills_;
    ASSERT_LE(folder_.runs().size(), 6U);
    ASSERT_TRUE(folder_.files(".unfinished").empty());
  }

  void crash() {
    memory_.reset();
    plan_.clear();
    today_ = committed_today_;
    open();
  }

  void open() {
    claims_.clear();
    for (const StoredSegment& segment : stored_) {
      for (const auto& [identity, entry] : segment.entries) {
        Claim& claim = claims_[identity];
        if (segment.day >= claim.day) claim = {entry, segment.day};
      }
    }
    memory_ = std::make_unique<Memory>(folder_.settings(horizon_));
    memory_->advance(today_);
    std::unordered_set<SegmentToken> tokens;
    for (const StoredSegment& segment : stored_) tokens.insert(segment.token);
    memory_->adopt(today_ - horizon_,
                   [&](const SegmentToken& token) { return tokens.contains(token); });
    for (const StoredSegment& segment : stored_) {
      if (segment.day < today_ - horizon_) continue;
      if (memory_->covers(segment.token)) {
        ++covered_;
        continue;
      }
      for (const auto& [identity, entry] : segment.entries) memory_->restore(entry, segment.day);
      memory_->committed(segment.day, segment.token);
      if (below(8) == 0) {
        ASSERT_TRUE(memory_->spill({}));
      }
    }
    if (below(2) == 0) memory_->loaded();
  }

  void damage_a_file() {
    const auto runs = folder_.runs();
    if (runs.empty()) return;
    const auto& run = runs[below(runs.size())];
    const auto bytes = std::filesystem::file_size(run);
    switch (below(4)) {
      case 0:
        std::filesystem::remove(run);
        break;
      case 1:
        std::filesystem::resize_file(run, below(bytes));
        break;
      default:
        flip_bit(run, below(bytes), static_cast<unsigned>(below(8)));
        break;
    }
  }

  // A backup is restored: the newest segments are gone, and their records will be read again.
  void lose_the_end_of_the_database() {
    stored_.resize(stored_.size() - below(std::min<std::uint64_t>(stored_.size() + 1, 6)));
  }

  void check_all() {
    memory_->advance(today_);
    for (std::uint64_t identity = 0; identity < next_new_; ++identity) {
      const auto probe = entry_of(identity, 1, 1);
      ASSERT_EQ(memory_->probe(probe, today_), expected(identity, probe)) << identity;
      if (identity == 6'000) identity = 1'000'000 - 1;
    }
  }

  std::mt19937_64 random_;
  TempFolder folder_;
  std::unique_ptr<Memory> memory_;
  Claims claims_;
  std::vector<StoredSegment> stored_;
  std::map<LogDay, std::vector<std::pair<std::uint64_t, core::DedupEntry>>> plan_;
  LogDay today_ = 20'000;
  LogDay committed_today_ = 20'000;
  LogDay horizon_ = 12;
  std::uint64_t next_new_ = 1'000'000;
  std::uint64_t next_token_ = 0;
  std::size_t claimed_ = 0;
  std::size_t broken_ = 0;
  std::size_t covered_ = 0;
  std::size_t spills_ = 0;
};

TEST(DedupProperty, AnswersAsAMapWhateverHappens) {
  std::size_t broken = 0;
  std::size_t covered = 0;
  std::size_t spills = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Owner owner(seed);
    owner.run(3'000);
    if (HasFatalFailure()) return;
    EXPECT_GT(owner.claims(), 10'000U);
    broken += owner.broken();
    covered += owner.covered();
    spills += owner.spills();
  }
  // The run was no run if none of this happened.
  EXPECT_GT(broken, 0U);
  EXPECT_GT(covered, 100U);
  EXPECT_GT(spills, 100U);
}

}  // namespace
}  // namespace tally::aggregator::dedup
