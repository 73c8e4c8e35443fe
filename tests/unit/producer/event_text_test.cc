// What is measured is what is written, and what is written core reads back.
#include "producer/event_text.h"

#include "core/limits.h"
#include "core/usage_event.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer {
namespace {

constexpr core::Timestamp kTime = core::Timestamp::from_micros(1'795'000'000'000'123);
const Stamp kStamp("/gate\"way", "00112233445566778899aabbccddeeff");

struct Written {
  std::string problem;
  std::string text;
};

template <class Data>
Written write(const Data& data, std::string_view id = "id", std::string_view source = "",
              std::string_view type = "t", std::string_view tenant = "tenant",
              core::Timestamp time = kTime) {
  EventText text(kStamp);
  const std::string_view from = source.empty() ? kStamp.source() : source;
  Problem problem = text.measure(id, from, type, tenant, time);
  if (problem.empty()) problem = text.measure_data(data);
  if (!problem.empty()) return {std::string(problem), ""};
  // A guard behind the room shows a byte too many.
  std::string out(text.bytes() + kSequenceRoom + 8, '#');
  text.write(out.data());
  const std::size_t digits =
      write_sequence(std::numeric_limits<std::uint64_t>::max(), out.data() + text.bytes());
  EXPECT_EQ(digits, kSequenceRoom);
  EXPECT_EQ(out.substr(text.bytes() + digits), "########");
  out.resize(text.bytes() + digits);
  return {"", out};
}

Written fields(std::initializer_list<Field> data) {
  return write(std::span<const Field>(data.begin(), data.size()));
}

core::UsageEvent read(const Written& written) {
  EXPECT_EQ(written.problem, "");
  const auto event = core::parse_structured(written.text);
  EXPECT_TRUE(event) << event.error().message << " in " << written.text;
  return event ? event.value() : core::UsageEvent{};
}

TEST(EventText, HasOneForm) {
  EXPECT_EQ(write(std::string_view(R"({"n":1})")).text,
            R"({"specversion":"1.0","source":"/gate\"way","id":"id","type":"t",)"
            R"("subject":"tenant","time":"2026-11-18T11:06:40.000123Z","data":{"n":1},)"
            R"("tallystream":"00112233445566778899aabbccddeeff",)"
            R"("tallyseq":"18446744073709551615"})");
}

TEST(EventText, EscapesWhateverMayStandInAnAttribute) {
  const std::string odd = "a\"b\\c \xc3\xa9 \xe2\x82\xac";
  const auto event = read(write(std::string_view("{}"), odd, odd, odd, odd));
  EXPECT_EQ(event.id, odd);
  EXPECT_EQ(event.source, odd);
  EXPECT_EQ(event.type, odd);
  EXPECT_EQ(event.subject, odd);
  EXPECT_EQ(event.time, kTime);
}

TEST(EventText, WritesEveryKindOfValue) {
  const auto event = read(fields({{"small", std::int8_t{-5}},
                                  {"least", -1'000'000'000'000'000'000},
                                  {"most", std::uint64_t{1'000'000'000'000'000'000}},
                                  {"cost", Decimal{"-12.500000000001"}},
                                  {"yes", true},
                                  {"no", false},
                                  {"text", std::string("q\" b\\ \n\x01 \xe2\x82\xac")},
                                  {"\"name\"", "v"}}));
  EXPECT_EQ(event.data, R"({"small":-5,"least":-1000000000000000000,"most":1000000000000000000,)"
                        R"("cost":-12.500000000001,"yes":true,"no":false,)"
                        R"("text":"q\" b\\ \u000a\u0001 )"
                        "\xe2\x82\xac"
                        R"(","\"name\"":"v"})");
}

TEST(EventText, WritesEveryDigitOfTheTime) {
  for (const std::int64_t micros : {0, 1, 90'210, 123'456, 999'999}) {
    const auto time = core::Timestamp::from_micros(kTime.seconds() * 1'000'000 + micros);
    EXPECT_EQ(read(write(std::string_view("{}"), "id", "", "t", "tenant", time)).time, time);
  }
}

// What is measured is counted digit by digit.
TEST(EventText, WritesNumbersOfEveryLength) {
  for (std::int64_t most = 1; most <= 1'000'000'000'000'000'000; most *= 10) {
    for (const std::int64_t value : {most - 1, most, -most, 1 - most}) {
      const std::string data = fmt::format(R"({{"n":{}}})", value);
      EXPECT_EQ(read(fields({{"n", value}})).data, data);
      if (value >= 0) {
        EXPECT_EQ(read(fields({{"n", static_cast<std::uint64_t>(value)}})).data, data);
      }
    }
    if (most == 1'000'000'000'000'000'000) break;
  }
}

TEST(EventText, WritesNoMembersToo) { EXPECT_EQ(read(fields({})).data, "{}"); }

std::vector<std::pair<std::size_t, std::size_t>> every_place(
    std::initializer_list<std::size_t> sizes) {
  std::vector<std::pair<std::size_t, std::size_t>> places;
  for (const std::size_t size : sizes) {
    for (std::size_t place = 0; place < size; ++place) places.emplace_back(size, place);
  }
  return places;
}

// Every byte in every place of texts shorter and longer than the words that are looked at, against
// core's own reading.
TEST(EventText, AgreesWithCoreAboutEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const auto& [size, place] : every_place({1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17})) {
      std::string value(size, 'x');
      value[place] = static_cast<char>(byte);
      const Written attribute = write(std::string_view("{}"), value);
      EXPECT_EQ(attribute.problem.empty(), !core::attribute_error("id", value, 256)) << byte;
      if (attribute.problem.empty()) {
        EXPECT_EQ(read(attribute).id, value);
      }
      const Written member = fields({{"m", value}});
      EXPECT_EQ(member.problem.empty(), byte < 0x80) << byte;
      if (member.problem.empty()) {
        EXPECT_NE(read(member).data, "");
      }
    }
  }
}

struct Refusal {
  Written written;
  std::string_view says;
};

TEST(EventText, NamesTheFieldAndTheLimit) {
  const std::string_view good = "{}";
  const std::string long_text(257, 'x');
  const std::string big = R"({"n":")" + std::string(core::kMaxDataBytes, 'x') + "\"}";
  const std::vector<Refusal> refusals = {
      {write(good, ""), "id is missing or empty: give 1 to 256 bytes"},
      {write(good, long_text), "id has 257 bytes, the limit is 256"},
      {write(good, "a\nb"), "id holds a control character"},
      {write(good, "\xff"), "id is not UTF-8"},
      {write(good, "id", long_text), "source has 257 bytes"},
      {write(good, "id", "", ""), "type is missing"},
      {write(good, "id", "", "t", ""), "tenant is missing"},
      {write(good, "id", "", "t", "t", core::Timestamp::from_seconds(5)), "time is outside"},
      {write(std::string_view("")), "data is missing"},
      {write(std::string_view("[]")), "data is not a JSON object"},
      {write(std::string_view("{\"a\":1,\"a\":2}")), "names a member twice"},
      {write(std::string_view(big)), "data has 65544 bytes, the limit is 65536"},
      {fields({{"a", 1}, {"b", 2}, {"a", 3}}), "data.a is given twice"},
      {fields({{"cost", Decimal{"0x1"}}}), "data.cost is not a JSON number"},
      {fields({{"cost", Decimal{"0.1234567890123"}}}), "data.cost is more than 12 decimals"},
      {fields({{"cost", Decimal{"1000000000000000001"}}}), "data.cost is beyond 10^18"},
      {fields({{"n", 1'000'000'000'000'000'001}}), "data.n is beyond 10^18, the limit of a value"},
      {fields({{"n", std::numeric_limits<std::int64_t>::min()}}), "data.n is beyond 10^18"},
      {fields({{"n", std::numeric_limits<std::uint64_t>::max()}}), "data.n is beyond 10^18"},
      {fields({{"cost", Decimal{""}}}), "data.cost is not a JSON number"},
      {fields({{"note", "\xff"}}), "data.note is not UTF-8"},
      {fields({{"\xff", 1}}), "a member's name in data is not UTF-8"},
      {fields({{"big", big}}), "the limit is 65536"},
      {write(std::span<const Field>(std::vector<Field>(65, Field{"n", 1}))),
       "data has 65 members, the limit of this form is 64"},
  };
  for (const Refusal& refusal : refusals) {
    EXPECT_NE(refusal.written.problem.find(refusal.says), std::string::npos)
        << "wanted: " << refusal.says << "\nsaid: " << refusal.written.problem;
  }
}

TEST(EventText, AtTheLimitsItIsWhole) {
  const std::string tenant(core::kMaxTenantIdBytes, '"');
  const std::string id(core::kMaxRequestIdBytes, '\\');
  const std::string data = R"({"n":")" + std::string(core::kMaxDataBytes - 8, 'x') + "\"}";
  ASSERT_EQ(data.size(), core::kMaxDataBytes);
  const auto event = read(write(std::string_view(data), id, "", "t", tenant));
  EXPECT_EQ(event.data, data);
  EXPECT_EQ(event.id, id);
  EXPECT_EQ(event.subject, tenant);
}

}  // namespace
}  // namespace tally::producer
