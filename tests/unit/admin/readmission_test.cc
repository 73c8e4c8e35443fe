#include "admin/readmission.h"

#include "core/identity.h"
#include "core/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace tally::admin {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

StoredReject late(std::string value, std::string headers = "") {
  StoredReject reject;
  reject.log_time = core::Timestamp::from_seconds(1'000'000);
  reject.record_class = "late";
  reject.reason = "older_than_horizon";
  reject.value = std::move(value);
  reject.headers = std::move(headers);
  return reject;
}

Homes homes_since(std::int64_t seconds, std::size_t partitions = 4) {
  return {std::vector<core::Timestamp>(partitions, core::Timestamp::from_seconds(seconds))};
}

std::string id_of(const StoredReject& reject) { return head_of(reject).value().id; }

std::string time_of(const StoredReject& reject) {
  const auto time = head_of(reject).value().time;
  return time ? core::to_rfc3339(*time) : "none";
}

std::string why_not(const StoredReject& reject) {
  const auto head = head_of(reject);
  return head ? "has the id " + head.value().id : head.error().message;
}

TEST(Readmission, TheIdOfAStructuredEvent) {
  EXPECT_EQ(id_of(late(R"({"id":"r1","data":{"id":"other"}})")), "r1");
  EXPECT_EQ(id_of(late(R"( {"data":[1,{"a":null}],"id":"a\u0062c"} )")), "abc");
  // What names the mode is content-type: headers of tracing do not make an event binary.
  EXPECT_EQ(id_of(late(R"({"id":"r1"})", "trace\0xyz\0"s)), "r1");
  EXPECT_EQ(id_of(late(R"({"id":"r1"})",
                       "content-type\0application/cloudevents+json\0"
                       "ce_specversion\0001.0\0ce_id\0r2\0"s)),
            "r1");
}

TEST(Readmission, TheIdOfABinaryEvent) {
  EXPECT_EQ(id_of(late("{}", "ce_specversion\0001.0\0ce_id\0r2\0"s)), "r2");
  EXPECT_THAT(why_not(late("{}", "ce_specversion\0001.0\0"s)), HasSubstr("ce_id is missing"));
  EXPECT_THAT(why_not(late("{}", "ce_specversion\0001.0\0ce_id\0r2\0ce_id\0r2\0"s)),
              HasSubstr("stands twice"));
  EXPECT_THAT(why_not(late("{}", "ce_specversion\0001.0\0ce_id\0r\0s\0"s)), HasSubstr("pairs"));
}

TEST(Readmission, WhatHasNoIdIsRefusedWithTheReason) {
  EXPECT_THAT(why_not(late("")), HasSubstr("no value"));
  EXPECT_THAT(why_not(late("\xff")), HasSubstr("not UTF-8"));
  EXPECT_THAT(why_not(late("[]")), HasSubstr("not a JSON object"));
  EXPECT_THAT(why_not(late(R"({"id":"r1")")), HasSubstr("not a JSON object"));
  EXPECT_THAT(why_not(late(R"({"id":"r1"}{})")), HasSubstr("something follows"));
  EXPECT_THAT(why_not(late(R"({"id":7})")), HasSubstr("not a string"));
  EXPECT_THAT(why_not(late(R"({"id":""})")), HasSubstr("missing or empty"));
  EXPECT_THAT(why_not(late(R"({"source":"s"})")), HasSubstr("missing or empty"));
  EXPECT_THAT(why_not(late(R"({"id":"a","id":"a"})")), HasSubstr("stands twice"));
  const std::string longest(core::kMaxRequestIdBytes, 'i');
  EXPECT_EQ(id_of(late(R"({"id":")" + longest + R"("})")), longest);
  EXPECT_THAT(why_not(late(R"({"id":"i)" + longest + R"("})")), HasSubstr("the limit is 256"));
}

TEST(Readmission, TheHomeIsThatOfTheId) {
  for (const std::size_t partitions : {1U, 4U, 7U}) {
    for (int i = 0; i < 20; ++i) {
      const std::string id = "r" + std::to_string(i);
      const auto home = home_of_readmission(late(R"({"id":")" + id + R"("})"),
                                            homes_since(0, partitions), MemoryCheck::kRequired);
      EXPECT_EQ(static_cast<std::size_t>(home.value().value()), core::home_bits(id) % partitions);
    }
  }
}

TEST(Readmission, TheTimeOfAnEvent) {
  const std::string time = "2026-11-21T08:00:00Z";
  EXPECT_EQ(time_of(late(R"({"id":"r1","time":"2026-11-21T09:00:00+01:00"})")), time);
  EXPECT_EQ(time_of(late("{}", "ce_specversion\0001.0\0ce_id\0r2\0ce_time\0"s + time + "\0"s)),
            time);
  for (const char* none : {R"({"id":"r1"})", R"({"id":"r1","time":null})",
                           R"({"id":"r1","time":7})", R"({"id":"r1","time":"yesterday"})"})
    EXPECT_EQ(time_of(late(none)), "none") << none;
  EXPECT_EQ(time_of(late("{}", "ce_specversion\0001.0\0ce_id\0r2\0"s)), "none");
}

// Counted when its time says, or a day earlier under the largest future bound, forgotten since, and
// sent again: when that came tells nothing, nor does the bound of today.
TEST(Readmission, NeverPastTheMemoryOfItsHome) {
  const std::string timed = R"({"id":"r1","time":"1970-01-08T00:00:00Z"})";  // 604'800 s
  const std::string timeless = R"({"id":"r1"})";
  const std::size_t home = core::home_bits("r1") % 4;
  for (const auto& [value, earliest] :
       {std::pair(timed, 518'400), std::pair(timeless, 1'000'000)}) {
    const StoredReject reject = late(value);
    Homes homes = homes_since(2'000'000);
    homes.remembered_since[home] = core::Timestamp::from_seconds(earliest);
    EXPECT_TRUE(home_of_readmission(reject, homes, MemoryCheck::kRequired));
    homes = homes_since(0);
    homes.remembered_since[home] = core::Timestamp::from_micros((earliest * 1'000'000LL) + 1);
    const auto refused = home_of_readmission(reject, homes, MemoryCheck::kRequired);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message,
                HasSubstr(core::to_rfc3339(core::Timestamp::from_seconds(earliest))));
    EXPECT_THAT(refused.error().message, HasSubstr("--unchecked"));
    EXPECT_TRUE(home_of_readmission(reject, homes, MemoryCheck::kWaived));
  }
}

TEST(Readmission, WhatItsHomeCouldNotJudgeIsOnlyReplayedUnchecked) {
  StoredReject reject = late(R"({"id":"r1"})");
  reject.reason = "older_than_memory";
  const auto refused = home_of_readmission(reject, homes_since(0), MemoryCheck::kRequired);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("--unchecked"));
  EXPECT_TRUE(home_of_readmission(reject, homes_since(0), MemoryCheck::kWaived));
}

TEST(Readmission, AVerdictWithoutBytesIsRefusedWithTheReason) {
  StoredReject reject = late("");
  reject.has_bytes = false;
  for (const MemoryCheck check : {MemoryCheck::kRequired, MemoryCheck::kWaived}) {
    const auto refused = home_of_readmission(reject, homes_since(0), check);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("bytes are not kept"));
  }
}

TEST(Readmission, WaivingTheMemoryWaivesNothingElse) {
  EXPECT_FALSE(home_of_readmission(late("[]"), homes_since(0), MemoryCheck::kWaived));
}

}  // namespace
}  // namespace tally::admin
