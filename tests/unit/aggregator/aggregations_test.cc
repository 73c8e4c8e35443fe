// Every aggregation through the fold, in tenants' own calendars; and that order and cuts of the
// stream never matter.
#include "aggregator/contribution.h"
#include "aggregator/span_totals.h"

#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace tally::aggregator {
namespace {

using core::Aggregation;
using core::Timestamp;

core::Meter meter_of(Aggregation aggregation) {
  core::Meter meter = sum_meter("m", "use", "n");
  meter.aggregation = aggregation;
  meter.allow_negative = true;
  return grouped(meter, {"key"});
}

std::shared_ptr<const TenantBook> book() {
  const auto zone = [](const char* name) { return core::TimeZone::load(name).value(); };
  TenantBook::Calendars calendars;
  calendars.emplace("berlin", core::Calendar(zone("Europe/Berlin"), {}, core::Payment::kNone));
  calendars.emplace(
      "cut",
      core::Calendar(zone("Asia/Kathmandu"),
                     {{bench_time("2026-11-21T08:17:31Z"), bench_time("2026-12-21T08:17:31Z")}},
                     core::Payment::kStripe));
  return std::make_shared<const TenantBook>(std::move(calendars));
}

struct Use {
  std::string tenant;
  Timestamp time;
  std::string value;  // JSON
  std::string key;
  std::uint64_t id = 0;
};

// Adds as the fold does, without identities: each use is another event.
class Adder {
 public:
  explicit Adder(Aggregation aggregation)
      : hasher_(core::IdentityHasher::Key{}),
        meters_(std::make_shared<const MeterSet>(std::vector{meter_of(aggregation)},
                                                 core::CatalogueVersion(1),
                                                 core::CatalogueVersion(1))),
        decoder_(*meters_),
        reader_(meters_, hasher_),
        contribution_(meters_, book()) {}

  void add(const Use& use, TotalsPlan& totals) {
    const std::string text =
        structured_event(std::to_string(use.id), use.tenant, "use", "-",
                         fmt::format(R"({{"n":{},"key":"{}"}})", use.value, use.key));
    runtime::kafka::Record record;
    record.value = text;
    reader_.read(decoder_.decode(record));
    contribution_.place(use.tenant, contribution_.expect(use.tenant), use.time, reader_, totals,
                        placed_);
    Contribution::prefetch_rows(placed_, totals);
    contribution_.add({use.time, {use.id, 0}}, placed_, totals);
  }
  [[nodiscard]] std::size_t refused() { return reader_.failures().size(); }

 private:
  core::IdentityHasher hasher_;
  std::shared_ptr<const MeterSet> meters_;
  Decoder decoder_;
  MeterReader reader_;
  Contribution contribution_;
  std::vector<PlacedValue> placed_;
};

std::string shown(const core::UsageDelta& delta) {
  return fmt::format("{} of {}", delta.quantity.to_string(), delta.events);
}
std::string shown(const UniqueSet& set) {
  return fmt::format("{} of {}", set.values.size(), set.events);
}
template <class Reading>
std::string shown(const Reading& reading) {
  return fmt::format("{} at {} of {}", reading.reading.to_string(),
                     core::to_rfc3339(reading.read_at), reading.events);
}

std::string time_text(std::int64_t seconds) {
  return core::to_rfc3339(Timestamp::from_seconds(seconds)).substr(0, 19);
}

// Windows and spans, as one sorted page of text.
std::map<std::string, std::string> page(const TotalsPlan& plan) {
  std::map<std::string, std::string> rows;
  const auto windows = [&](const auto& map) {
    for (const auto& [key, value] : map) {
      rows[fmt::format("{} window {} {} {}", key.tenant(), time_text(key.start_seconds),
                       time_text(key.end_seconds()), key.dimensions())] = shown(value);
    }
  };
  const auto spans = [&](const auto& map) {
    for (const auto& [key, value] : map) {
      rows[fmt::format("{} {} {} {} {}", key.tenant, to_string(key.span),
                       time_text(key.start_seconds), time_text(key.end_seconds), key.dimensions)] =
          shown(value);
    }
  };
  const SpanTotals totals = span_totals(PlanRows(plan));
  windows(plan.usage), windows(plan.gauges), windows(plan.maxima), windows(plan.minima);
  windows(plan.uniques);
  spans(totals.usage), spans(totals.gauges), spans(totals.maxima), spans(totals.minima);
  spans(totals.uniques);
  return rows;
}

// Around the end of a day in Kathmandu (18:15Z) and in Berlin (23:00Z), and an edge (08:17:31Z).
std::vector<Use> uses() {
  std::vector<Use> made;
  std::mt19937_64 random(5);
  for (std::uint64_t id = 1; id <= 300; ++id) {
    const char* times[] = {"18:14:59", "18:15:00", "22:59:59", "23:00:00", "08:17:30", "08:17:31"};
    const char* tenants[] = {"berlin", "cut", "stranger"};
    made.push_back({tenants[random() % 3], bench_time(times[random() % 6]),
                    std::to_string(static_cast<int>(random() % 9) - 4), random() % 2 ? "a" : "b",
                    id});
  }
  return made;
}

template <class Value>
void merge_into(TotalsPlan& plan, WindowMap<Value>& into, const WindowMap<Value>& from) {
  for (const auto& [key, value] : from) {
    const WindowKey own = plan.key(key.view());
    if constexpr (std::is_same_v<Value, core::UsageDelta>) {
      into[own] += value;
    } else {
      into[own].merge(value);
    }
  }
}

TEST(Aggregations, OrderAndCutsOfTheStreamNeverMatter) {
  std::mt19937_64 random(11);
  for (const auto aggregation :
       {Aggregation::kSum, Aggregation::kCount, Aggregation::kMax, Aggregation::kMin,
        Aggregation::kLatest, Aggregation::kUniqueCount}) {
    std::vector<Use> stream = uses();
    Adder adder(aggregation);
    TotalsPlan straight;
    for (const Use& use : stream) adder.add(use, straight);
    const auto expected = page(straight);
    EXPECT_GT(expected.size(), 20U);
    for (int round = 0; round < 10; ++round) {
      std::shuffle(stream.begin(), stream.end(), random);
      const std::size_t cut = random() % stream.size();
      TotalsPlan first;
      TotalsPlan second;
      for (std::size_t i = 0; i < stream.size(); ++i)
        adder.add(stream[i], i < cut ? first : second);
      merge_into(first, first.usage, second.usage);
      merge_into(first, first.gauges, second.gauges);
      merge_into(first, first.maxima, second.maxima);
      merge_into(first, first.minima, second.minima);
      merge_into(first, first.uniques, second.uniques);
      if (first.tenants == nullptr) first.tenants = second.tenants;
      EXPECT_EQ(page(first), expected) << core::to_string(aggregation);
    }
  }
}

TEST(Aggregations, WindowsSumToTheTenantsDaysAndPeriods) {
  Adder adder(Aggregation::kSum);
  TotalsPlan plan;
  adder.add({"cut", bench_time("08:17:30"), "1", "a", 1}, plan);
  adder.add({"cut", bench_time("08:17:31"), "10", "a", 2}, plan);
  adder.add({"cut", bench_time("18:14:59"), "100", "b", 3}, plan);
  adder.add({"cut", bench_time("18:15:00"), "1000", "a", 4}, plan);
  adder.add({"berlin", bench_time("18:15:00"), "5", "a", 5}, plan);
  const std::map<std::string, std::string> expected = {
      {R"(berlin window 2026-11-21T18:00:00 2026-11-21T19:00:00 {"key":"a"})", "5 of 1"},
      {"berlin day 2026-11-20T23:00:00 2026-11-21T23:00:00 {}", "5 of 1"},
      {"berlin month 2026-10-31T23:00:00 2026-11-30T23:00:00 {}", "5 of 1"},
      {R"(cut window 2026-11-21T08:15:00 2026-11-21T08:17:31 {"key":"a"})", "1 of 1"},
      {R"(cut window 2026-11-21T08:17:31 2026-11-21T08:30:00 {"key":"a"})", "10 of 1"},
      {R"(cut window 2026-11-21T18:00:00 2026-11-21T18:15:00 {"key":"b"})", "100 of 1"},
      {R"(cut window 2026-11-21T18:15:00 2026-11-21T18:30:00 {"key":"a"})", "1000 of 1"},
      {"cut day 2026-11-20T18:15:00 2026-11-21T18:15:00 {}", "111 of 3"},
      {"cut day 2026-11-21T18:15:00 2026-11-22T18:15:00 {}", "1000 of 1"},
      {"cut month 2026-10-31T18:15:00 2026-11-30T18:15:00 {}", "1111 of 4"},
      {"cut period 2026-11-21T08:17:31 2026-12-21T08:17:31 {}", "1110 of 3"}};
  EXPECT_EQ(page(plan), expected);
}

auto place_of(const WindowKey& key) {
  return std::tuple(key.tenant(), key.meter, key.start_seconds, key.dimensions());
}
auto place_of(const SpanKey& key) {
  return std::tuple(key.tenant, key.meter, key.span, key.start_seconds, key.dimensions);
}
template <class Rows, class KeyOf>
void expect_ascending(const Rows& rows, const KeyOf& key_of) {
  for (std::size_t i = 1; i < rows.size(); ++i)
    EXPECT_LT(place_of(key_of(rows[i - 1])), place_of(key_of(rows[i])));
}

// In another order two instances could wait for each other for ever.
TEST(Aggregations, RowsAreWrittenInKeyOrderEachKeyOnce) {
  for (const auto aggregation : {Aggregation::kSum, Aggregation::kMax, Aggregation::kMin,
                                 Aggregation::kLatest, Aggregation::kUniqueCount}) {
    Adder adder(aggregation);
    TotalsPlan plan;
    for (const Use& use : uses()) adder.add(use, plan);
    const PlanRows rows(plan);
    const SpanTotals spans = span_totals(rows);
    std::size_t windows = 0;
    const auto check = [&](const auto& window_rows, const auto& span_rows) {
      windows += window_rows.size();
      expect_ascending(window_rows, [](const auto* row) { return row->first; });
      expect_ascending(span_rows, [](const auto& row) { return row.first; });
      EXPECT_EQ(window_rows.empty(), span_rows.empty());
    };
    check(rows.usage, spans.usage);
    check(rows.gauges, spans.gauges);
    check(rows.maxima, spans.maxima);
    check(rows.minima, spans.minima);
    check(rows.uniques, spans.uniques);
    EXPECT_EQ(windows, plan.windows());
    EXPECT_GT(windows, 20U);
  }
}

TEST(Aggregations, AUniqueValueIsItsKindAndItsNumber) {
  Adder adder(Aggregation::kUniqueCount);
  TotalsPlan plan;
  std::uint64_t id = 1;
  for (const char* value : {"5", "5.0", "5e0", "\"5\"", "true", "\"true\"", "-5", "false"}) {
    adder.add({"stranger", bench_time("08:00:00"), value, "a", id++}, plan);
    EXPECT_EQ(adder.refused(), 0U) << value;
  }
  ASSERT_EQ(plan.uniques.size(), 1U);
  EXPECT_EQ(plan.uniques.begin()->second.values.size(), 6U);
  EXPECT_EQ(plan.uniques.begin()->second.events, 8);
  for (const char* value : {"null", "[5]", "{}"}) {
    adder.add({"stranger", bench_time("08:00:00"), value, "a", id++}, plan);
    EXPECT_EQ(adder.refused(), 1U) << value;
  }
  EXPECT_EQ(plan.uniques.begin()->second.events, 8);
}

}  // namespace
}  // namespace tally::aggregator
