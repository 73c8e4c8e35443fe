#include "aggregator/plan_rows.h"
#include "tests/unit/aggregator/fold_bench.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

namespace tally::aggregator {
namespace {

// One counted, one duplicate, two skipped offsets.
BatchPlan sound_plan() {
  FoldBench bench({count_meter("calls", "api")});
  bench.check(R"(
    08:00:00 - r1 acme api {} | counted
    08:00:00 - r1 acme api {} | duplicate
  )");
  bench.fold().skip_to(core::Offset(4), bench.state, bench.plan);
  return std::move(bench.plan);
}

LedgerDelta& line_of(BatchPlan& plan) { return plan.ledger.begin()->second; }

TEST(CheckConservation, HoldsForASoundPlan) {
  const BatchPlan plan = sound_plan();
  check_conservation(plan);
  check_conservation(BatchPlan());
}

TEST(CheckConservationDeathTest, EveryRecordIsInOneClass) {
  BatchPlan plan = sound_plan();
  ++line_of(plan).late;
  EXPECT_DEATH(check_conservation(plan), "2 records, 3 in classes");
}

TEST(CheckConservationDeathTest, EveryOffsetIsAccountedFor) {
  BatchPlan plan = sound_plan();
  --line_of(plan).skipped;
  EXPECT_DEATH(check_conservation(plan), "3 offsets accounted for, but it moves from 0 to 4");
}

TEST(CheckConservationDeathTest, CountedRecordsAndClaimsAgree) {
  BatchPlan swallowed = sound_plan();
  swallowed.segments.begin()->second.entries.push_back({1, 1});
  EXPECT_DEATH(check_conservation(swallowed), "1 counted, 2 identities claimed");
  BatchPlan unclaimed = sound_plan();
  unclaimed.segments.clear();
  EXPECT_DEATH(check_conservation(unclaimed), "1 counted, 0 identities claimed");
}

TEST(CheckConservationDeathTest, WhatIsHandedOffIsOnItsWay) {
  BatchPlan plan = sound_plan();
  line_of(plan).handed_off = 1;
  line_of(plan).duplicate = 0;
  EXPECT_DEATH(check_conservation(plan), "1 handed off, 0 on their way");
  plan.handoffs[{core::PartitionId(0), core::PartitionId(0)}].records = 1;
  EXPECT_DEATH(check_conservation(plan), "hands off to itself");
}

TEST(CheckConservationDeathTest, WhatIsReceivedWasTaken) {
  BatchPlan plan = sound_plan();
  line_of(plan).received = 1;
  line_of(plan).late = 1;
  EXPECT_DEATH(check_conservation(plan), "1 received, 0 taken");
}

TEST(CheckConservationDeathTest, NoLineWithoutAGuard) {
  BatchPlan plan = sound_plan();
  plan.partitions.clear();
  EXPECT_DEATH(check_conservation(plan), "has no guard");
}

TEST(CheckConservationDeathTest, NoMoveWithoutALine) {
  BatchPlan plan = sound_plan();
  plan.partitions[core::PartitionId(7)].next = core::Offset(3);
  EXPECT_DEATH(check_conservation(plan), "partition 7: 0 offsets accounted for");
}

TEST(WindowMap, AWindowIsItsWholeKey) {
  TotalsPlan plan;
  WindowMap<core::UsageDelta>& windows = plan.usage;
  const WindowKeyView key{"acme", 3, 7200, 10800, "{}"};
  const std::vector<WindowKeyView> others = {{"acm", 3, 7200, 10800, "{}"},
                                             {"acme", 4, 7200, 10800, "{}"},
                                             {"acme", 3, 10800, 14400, "{}"},
                                             {"acme", 3, 7200, 9000, "{}"},
                                             {"acme", 3, 7200, 10800, "{\"a\":\"\"}"}};
  windows[plan.key(key)].events = 1;
  for (const WindowKeyView& other : others) {
    EXPECT_EQ(windows[plan.key(other)].events, 0);
    windows[plan.key(other)].events = 2;
  }
  EXPECT_EQ(windows[plan.key(key)].events, 1);
  EXPECT_EQ(windows.size(), 1 + others.size());
  EXPECT_EQ(windows.begin()->first.view(), key);  // in the order in which they were first met
  EXPECT_EQ(plan.texts->size(), 4U);              // each once
}

TEST(PlanTexts, EachTextIsThereOnceAndStays) {
  PlanTexts texts;
  std::vector<const PlanText*> first;
  const auto text_of = [](std::size_t i) {  // of all lengths, and longer than a chunk
    return std::to_string(i) + std::string(i % 97 == 0 ? 70'000 : i % 97, 'x');
  };
  for (std::size_t i = 0; i < 2'000; ++i) first.push_back(&texts.intern(text_of(i)));
  EXPECT_EQ(texts.intern("").view(), "");
  EXPECT_EQ(texts.size(), 2'001U);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(&texts.intern(text_of(i)), first[i]);
    EXPECT_EQ(first[i]->view(), text_of(i));
    EXPECT_EQ(first[i]->number(), i);
  }
}

// Never by their hash alone.
TEST(PlanTexts, TextsOfOneHashAreToldApart) {
  PlanTexts texts;
  const PlanText& one = texts.intern("one", 7);
  const PlanText& two = texts.intern("two", 7);
  EXPECT_NE(&one, &two);
  EXPECT_EQ(&texts.intern("one", 7), &one);
  EXPECT_EQ(&texts.intern("two", 7), &two);
}

// Bytes are ordered as COLLATE "C" orders them, and windows by their whole keys.
TEST(PlanRows, LieInTheOrderOfTheTables) {
  TotalsPlan plan;
  std::vector<WindowKeyView> keys;
  for (const char* tenant : {"b", "\xc3\xa9", "a", "", "ab", "B"}) {
    for (const std::uint16_t meter : {std::uint16_t{300}, std::uint16_t{2}}) {
      for (const std::int64_t start : {7200, 3600, 1'800'000'000}) {
        for (const char* dimensions : {R"({"k":"b"})", "{}", R"({"k":"\xff"})", R"({"k":"a"})"})
          keys.push_back({tenant, meter, start, start + 60, dimensions});
      }
    }
  }
  for (const WindowKeyView& key : keys) plan.usage[plan.key(key)].events = 1;
  const auto place_of = [](const WindowKeyView& key) {
    return std::tuple(key.tenant, key.meter, key.start_seconds, key.dimensions);
  };
  std::sort(keys.begin(), keys.end(),
            [&](const auto& a, const auto& b) { return place_of(a) < place_of(b); });
  const PlanRows rows(plan);
  ASSERT_EQ(rows.usage.size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(rows.usage[i]->first.view(), keys[i]);
}

TEST(PlanRowsDeathTest, ATextIsThePlansOwn) {
  TotalsPlan plan;
  const TotalsPlan other;
  plan.usage[other.key({"acme", 0, 0, 60, "{}"})].events = 1;
  EXPECT_DEATH(PlanRows{plan}, "another plan's");
}

// A hash says little on purpose: rows of one hash, of one tag, and of one place are told apart.
TEST(RowTable, FindsEveryRowWhateverItsHash) {
  for (const std::uint64_t kinds : {1U, 3U, 64U, 100'000U}) {
    RowTable<std::pair<int, int>> table;
    const auto hash_of_number = [&](int number) {
      const std::uint64_t kind = static_cast<std::uint64_t>(number) % kinds;
      return kind << 32U | kind % 7;
    };
    const int rows = kinds < 10 ? 300 : 20'000;
    for (int number = 0; number < rows; ++number) {
      const auto same = [&](const auto& row) { return row.first == number; };
      const std::uint64_t hash = hash_of_number(number);
      table.prefetch(hash);
      table.prefetch_row(hash);
      ASSERT_EQ(table.find(hash, same), nullptr) << number;
      table.at(hash, same, [&] { return std::pair(number, 0); }).second += 1;
      table.at(hash, same, [&] { return std::pair(number, 100); }).second += 1;
    }
    ASSERT_EQ(table.size(), static_cast<std::size_t>(rows));
    int next = 0;
    for (const auto& [number, count] : table) {
      EXPECT_EQ(number, next++);
      EXPECT_EQ(count, 2);
    }
    const auto find = [&](int number) {
      return table.find(hash_of_number(number),
                        [&](const auto& found) { return found.first == number; });
    };
    table.reserve(static_cast<std::size_t>(rows) * 5);
    for (int number = 0; number < rows; ++number) ASSERT_NE(find(number), nullptr);
    table.clear();
    EXPECT_TRUE(table.empty());
    table.at(hash_of_number(1), [](const auto&) { return true; }, [] { return std::pair(1, 1); });
    for (int number = 0; number < 20; ++number) EXPECT_EQ(find(number) != nullptr, number == 1);
  }
}

}  // namespace
}  // namespace tally::aggregator
