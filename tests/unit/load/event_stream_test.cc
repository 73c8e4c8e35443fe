#include "producer/load/event_stream.h"

#include "core/usage_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace tally::producer::load {
namespace {

using testing::HasSubstr;

EventStream stream_of(const StreamOptions& options) {
  auto made = EventStream::make(options);
  EXPECT_TRUE(made) << made.error().message;
  return std::move(made.value());
}

std::string text_of(const EventStream& stream, std::uint64_t number) {
  std::string text;
  stream.append_event(number, text);
  return text;
}

std::string id_of(const EventStream& stream, std::uint64_t number) {
  std::string id = "what was there before";
  stream.write_id(number, id);
  return id;
}

TEST(LoadEventStreamTest, TheSameSeedMakesTheSameEvents) {
  const StreamOptions options{.seed = 7, .types = {"a", "b"}, .duplicates_percent = 13};
  const EventStream one = stream_of(options);
  const EventStream other = stream_of(options);
  for (std::uint64_t number = 0; number < 2'000; ++number) {
    EXPECT_EQ(text_of(one, number), text_of(other, number));
  }
  // Forever: a run of last year is repeated by this year's tally.
  EXPECT_EQ(text_of(one, 5),
            R"({"specversion":"1.0","id":"load-7-000000000005","source":"/tally-producer/load",)"
            R"("type":"b","subject":"load-0002",)"
            R"("data":{"requests":1,"units":831,"dimension":"d-0007"}})");
}

TEST(LoadEventStreamTest, AnotherSeedMakesOtherIds) {
  const EventStream one = stream_of({.seed = 1});
  const EventStream other = stream_of({.seed = 2});
  std::set<std::string> ids;
  for (std::uint64_t number = 0; number < 500; ++number) {
    ids.insert(id_of(one, number));
    ids.insert(id_of(other, number));
  }
  EXPECT_EQ(ids.size(), 1'000U);
}

TEST(LoadEventStreamTest, ExactlySoManyAreCopiesOfEarlierOnes) {
  for (const std::uint64_t percent : {0ULL, 1ULL, 10ULL, 33ULL, 50ULL, 99ULL}) {
    const EventStream stream = stream_of({.duplicates_percent = percent});
    std::map<std::string, std::string> seen;  // id, text
    std::uint64_t copies = 0;
    for (std::uint64_t number = 0; number < 1'000; ++number) {
      const std::string text = text_of(stream, number);
      const auto [place, is_new] = seen.emplace(id_of(stream, number), text);
      if (!is_new) {
        ++copies;
        EXPECT_EQ(place->second, text) << "a copy is its first, byte for byte";
      }
      EXPECT_EQ(stream.copies(number + 1), copies);
      if ((number + 1) % 100 == 0) {
        EXPECT_EQ(copies, (number + 1) / 100 * percent);
      }
    }
  }
}

TEST(LoadEventStreamTest, EveryTenantTypeAndDimensionComesAndNoOther) {
  const EventStream stream = stream_of(
      {.tenants = 5, .tenant_prefix = "try\"", .types = {"a", "b", "c"}, .dimensions = 7});
  std::map<std::string, int> tenants;
  std::map<std::string, int> types;
  std::map<std::string, int> dimensions;
  constexpr int kEvents = 10'000;
  for (std::uint64_t number = 0; number < kEvents; ++number) {
    const std::string text = text_of(stream, number);
    const auto event = core::parse_structured(text);
    ASSERT_TRUE(event) << event.error().message << text;
    EXPECT_EQ(event.value().id, id_of(stream, number));
    ++tenants[std::string(event.value().subject)];
    ++types[std::string(event.value().type)];
    ++dimensions[text.substr(text.find("\"dimension\""))];
  }
  EXPECT_EQ(tenants.size(), 5U);
  EXPECT_TRUE(tenants.contains("try\"0001"));
  EXPECT_TRUE(tenants.contains("try\"0005"));
  EXPECT_EQ(types.size(), 3U);
  EXPECT_EQ(dimensions.size(), 7U);
  for (const auto& [tenant, events] : tenants) EXPECT_NEAR(events, kEvents / 5, 300) << tenant;
}

TEST(LoadEventStreamTest, WhatTallyWouldRejectIsRefused) {
  const auto problem = [](const StreamOptions& options) {
    const auto made = EventStream::make(options);
    return made ? std::string() : made.error().message;
  };
  EXPECT_THAT(problem({.types = {"a", ""}}), HasSubstr("type"));
  EXPECT_THAT(problem({.source = ""}), HasSubstr("source"));
  EXPECT_THAT(problem({.source = std::string(257, 's')}), HasSubstr("256"));
  EXPECT_EQ(problem({.tenants = 9'999, .tenant_prefix = std::string(124, 't')}), "");
  EXPECT_THAT(problem({.tenants = 10'000, .tenant_prefix = std::string(124, 't')}),
              HasSubstr("128"));
}

}  // namespace
}  // namespace tally::producer::load
