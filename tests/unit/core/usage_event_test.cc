#include "core/usage_event.h"
#include "core/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tally::core {
namespace {

using testing::HasSubstr;

UsageEvent event() {
  return {"req-1",
          "/checkout",
          "api.request",
          "tenant-1",
          Timestamp::from_seconds(1'795'248'000),
          R"({"status":"ok"})"};
}

std::string problem(const UsageEvent& event) {
  const auto checked = validate(event);
  return checked ? "valid" : checked.error().message;
}

std::string problem_with(const std::function<void(UsageEvent&)>& change) {
  UsageEvent changed = event();
  change(changed);
  return problem(changed);
}

TEST(UsageEvent, LimitsAreInclusive) {
  const auto longest = [](std::size_t extra) {
    UsageEvent e = event();
    e.id.assign(kMaxRequestIdBytes + extra, 'i');
    return problem(e);
  };
  EXPECT_EQ(longest(0), "valid");
  EXPECT_EQ(longest(1), "id has 257 bytes, the limit is 256: shorten it");
  EXPECT_EQ(problem_with([](UsageEvent& e) { e.source.assign(kMaxSourceBytes, 's'); }), "valid");
  EXPECT_THAT(problem_with([](UsageEvent& e) { e.source.assign(kMaxSourceBytes + 1, 's'); }),
              HasSubstr("source has 257 bytes, the limit is 256"));
  EXPECT_EQ(problem_with([](UsageEvent& e) { e.type.assign(kMaxEventTypeBytes, 't'); }), "valid");
  EXPECT_THAT(problem_with([](UsageEvent& e) { e.type.assign(kMaxEventTypeBytes + 1, 't'); }),
              HasSubstr("type has 129 bytes, the limit is 128"));
  EXPECT_EQ(problem_with([](UsageEvent& e) { e.subject.assign(kMaxTenantIdBytes, 't'); }), "valid");
  EXPECT_THAT(problem_with([](UsageEvent& e) { e.subject.assign(kMaxTenantIdBytes + 1, 't'); }),
              HasSubstr("subject has 129 bytes, the limit is 128"));
  const auto data_of = [](std::size_t bytes) {
    return R"({"x":")" + std::string(bytes - 8, 'x') + R"("})";
  };
  EXPECT_EQ(problem_with([&](UsageEvent& e) { e.data = data_of(kMaxDataBytes); }), "valid");
  EXPECT_EQ(problem_with([&](UsageEvent& e) { e.data = data_of(kMaxDataBytes + 1); }),
            "data has 65537 bytes, the limit is 65536: send less");
}

TEST(UsageEvent, EveryRefusalNamesItsField) {
  const std::vector<std::pair<std::function<void(UsageEvent&)>, std::string>> cases = {
      {[](UsageEvent& e) { e.id.clear(); }, "id is missing or empty"},
      {[](UsageEvent& e) { e.source.clear(); }, "source is missing or empty"},
      {[](UsageEvent& e) { e.type.clear(); }, "type is missing or empty"},
      {[](UsageEvent& e) { e.subject.clear(); }, "subject is missing or empty"},
      {[](UsageEvent& e) { e.id = "a\xff"; }, "id is not UTF-8"},
      {[](UsageEvent& e) { e.subject = "a\x7f"; }, "subject holds a control character"},
      {[](UsageEvent& e) { e.subject = "a\xc2\x85"; }, "subject holds a control character"},
      {[](UsageEvent& e) { e.type = "a\n"; }, "type holds a control character"},
      {[](UsageEvent& e) { e.source = std::string("a\0b", 3); }, "source holds a control"},
      {[](UsageEvent& e) { e.time = Timestamp::from_micros(-1); }, "time is outside"},
      {[](UsageEvent& e) { e.time = Timestamp::from_micros(kFirstEventSeconds * 1'000'000 - 1); },
       "time is outside the years 1971 to 9998"},
      {[](UsageEvent& e) { e.time = Timestamp::from_seconds(kEndOfEventsSeconds); },
       "time is outside"},
      {[](UsageEvent& e) { e.data.clear(); }, "data is missing"},
      {[](UsageEvent& e) { e.data = "[]"; }, "data is not a JSON object"},
      {[](UsageEvent& e) { e.data = "{} {}"; }, "data is not a JSON object"},
      {[](UsageEvent& e) { e.data = "{\"a\":}"; }, "data is not a JSON object"},
      {[](UsageEvent& e) { e.data = "{\"a\":1,\"a\":1}"; }, "names a member twice"},
      {[](UsageEvent& e) { e.data = "{\"a\":\"\xff\"}"; }, "data is not a JSON object"},
  };
  for (const auto& [change, expected] : cases) {
    EXPECT_THAT(problem_with(change), HasSubstr(expected));
  }
  EXPECT_EQ(problem_with([](UsageEvent& e) { e.subject = "a\xc2\xa0"; }), "valid");
}

TEST(UsageEvent, IsWrittenInOneFixedForm) {
  std::string out = "x";
  append_structured(event(), out);
  EXPECT_EQ(out, R"(x{"specversion":"1.0","id":"req-1","source":"/checkout","type":"api.request",)"
                 R"("subject":"tenant-1","time":"2026-11-21T08:00:00Z",)"
                 R"("datacontenttype":"application/json","data":{"status":"ok"}})");
  UsageEvent timeless = event();
  timeless.time.reset();
  out.clear();
  append_structured(timeless, out);
  EXPECT_THAT(out, testing::Not(HasSubstr("\"time\"")));
}

TEST(UsageEvent, SurvivesWritingAndReading) {
  std::mt19937 random(5);
  const std::vector<std::string> pieces = {
      "a", "\"", "\\", "/", " ",       "\xc3\xa9", "\xf0\x9f\x98\x80",
      "{", "}",  ",",  ":", "\\u0041", "\\n"};
  const auto text = [&] {
    std::string out;
    const std::size_t count = 1 + random() % 20;
    for (std::size_t i = 0; i < count; ++i) out += pieces[random() % pieces.size()];
    return out;
  };
  for (int i = 0; i < 5'000; ++i) {
    UsageEvent e{text(), text(), text(), text(), std::nullopt, "{}"};
    if (i % 2 == 0)
      e.time = Timestamp::from_micros(kFirstEventSeconds * 1'000'000 +
                                      static_cast<std::int64_t>(random()) * 1000 + i);
    e.data = R"({ "n" : )" + std::to_string(random()) + ".50 }";
    ASSERT_EQ(problem(e), "valid");
    std::string written;
    append_structured(e, written);
    const auto again = parse_structured(written);
    ASSERT_TRUE(again) << again.error().message << " " << written;
    ASSERT_EQ(again.value().id, e.id);
    ASSERT_EQ(again.value().source, e.source);
    ASSERT_EQ(again.value().type, e.type);
    ASSERT_EQ(again.value().subject, e.subject);
    ASSERT_EQ(again.value().time, e.time);
    ASSERT_EQ(again.value().data, e.data);
  }
}

// A cut or changed text must never pass as something it was not, nor crash.
TEST(UsageEvent, EveryPrefixIsRefused) {
  std::string whole;
  append_structured(event(), whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_structured(std::string_view(whole).substr(0, size))) << size;
  }
  EXPECT_TRUE(parse_structured(whole));
}

TEST(UsageEvent, WhatParsesAlsoValidates) {
  std::string whole;
  append_structured(event(), whole);
  std::mt19937 random(17);
  const std::string alphabet = "{}[]\",:\\u0019truefalsn-+.eE \n\x01\x7f\xc3\xa9\xff";
  int parsed = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string text = whole;
    for (std::size_t changes = 1 + random() % 3; changes > 0; --changes) {
      text[random() % text.size()] = alphabet[random() % alphabet.size()];
    }
    const auto e = parse_structured(text);
    if (!e) continue;
    ++parsed;
    ASSERT_EQ(problem(e.value()), "valid") << text;
  }
  EXPECT_GT(parsed, 100);
}

// The event's own brace counted against data's 64 levels, so that an event was accepted by
// validate(), written to the spool and refused when it was read back.
TEST(UsageEvent, DataHas64LevelsOfItsOwn) {
  const auto nested = [](std::size_t levels) {
    return R"({"x":)" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
  };
  UsageEvent deep = event();
  for (const auto& [levels, accepted] : {std::pair{64, true}, std::pair{65, false}}) {
    deep.data = nested(static_cast<std::size_t>(levels));
    EXPECT_EQ(problem(deep) == "valid", accepted) << levels;
    std::string text;
    append_structured(deep, text);
    EXPECT_EQ(parse_structured(text).has_value(), accepted) << levels;
  }
}

TEST(UsageEvent, RefusesARecordOverTheTopicsLimit) {
  const auto e = parse_structured(std::string(kMaxRecordBytes + 1, ' '));
  ASSERT_FALSE(e);
  EXPECT_THAT(e.error().message, HasSubstr("the limit is 1048576"));
}

}  // namespace
}  // namespace tally::core
