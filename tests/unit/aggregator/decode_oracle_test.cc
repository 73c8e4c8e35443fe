// The decoder against another reader of JSON, and on memory that ends where the record ends.
#include "aggregator/decode.h"
#include "core/check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {
namespace {

using nlohmann::json;

constexpr int kRecords = 30'000;

// Slots in order: a_long_name, model, usage, usage/cached.
MeterSet meters() {
  std::vector<core::Meter> meters;
  for (const core::JsonPath& path :
       {core::JsonPath{"a_long_name"}, {"model"}, {"usage"}, {"usage", "cached"}}) {
    core::Meter meter;
    meter.slug = fmt::format("m{}", meters.size());
    meter.event_type = "llm";
    meter.aggregation = core::Aggregation::kSum;
    meter.value = path;
    meters.push_back(meter);
  }
  return {meters, core::CatalogueVersion(1), core::CatalogueVersion(1)};
}

// Bytes that end where what may be read ends.
class LastPage {
 public:
  LastPage() : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    void* const place =
        mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TALLY_CHECK(place != MAP_FAILED);
    begin_ = static_cast<char*>(place);
    TALLY_CHECK(mprotect(begin_ + page_, page_, PROT_NONE) == 0);
  }
  ~LastPage() { munmap(begin_, 2 * page_); }
  LastPage(const LastPage&) = delete;
  LastPage& operator=(const LastPage&) = delete;

  std::string_view keep(std::string_view bytes) {
    TALLY_CHECK(bytes.size() <= page_);
    char* const to = begin_ + page_ - bytes.size();
    std::memcpy(to, bytes.data(), bytes.size());
    return {to, bytes.size()};
  }

 private:
  std::size_t page_;
  char* begin_ = nullptr;
};

class DecodeOracleTest : public ::testing::Test {
 protected:
  const DecodedEvent& decode(std::string_view value) {
    runtime::kafka::Record record;
    record.value = page_.keep(value);
    return decoder_.decode(record);
  }

  LastPage page_;
  MeterSet meters_ = meters();
  Decoder decoder_{meters_};
};

enum class DataFirst : std::uint8_t { kNo, kYes };

std::string envelope(std::string_view data, DataFirst first) {
  if (first == DataFirst::kYes) {
    return fmt::format(
        R"({{"data":{},"specversion":"1.0","id":"r\u0031","source":"api","type":"llm",)"
        R"("subject":"Grüße","time":"2026-11-21T08:00:00Z"}})",
        data);
  }
  return fmt::format(
      R"({{"specversion":"1.0","id":"r\u0031","source":"api","type":"llm","subject":"Grüße",)"
      R"("time":"2026-11-21T08:00:00Z","data":{}}})",
      data);
}

std::string random_text(std::mt19937& dice) {
  static const std::array<const char*, 12> kPieces = {"a",
                                                      R"(\n)",
                                                      R"(\")",
                                                      R"(\\)",
                                                      R"(\/)",
                                                      R"(\u00e9)",
                                                      "é",
                                                      "東京",
                                                      "{}[]:,",
                                                      R"(\ud83d\ude00)",
                                                      "thirty-two bytes of text, or more",
                                                      " "};
  std::string text = "\"";
  for (auto pieces = dice() % 5; pieces > 0; --pieces) text += kPieces.at(dice() % kPieces.size());
  return text + '"';
}

std::string random_value(std::mt19937& dice, int depth);

std::string random_object(std::mt19937& dice, int depth) {
  static const std::array<const char*, 8> kNames = {
      R"("a_long_name")", R"("model")",      R"("usage")",     R"("cached")", R"("")",
      R"("other")",       R"("m\u006fdel")", R"("a_long_nam")"};
  static const std::array<const char*, 4> kSpaces = {"", "", " ", "\r\n\t "};
  const auto space = [&] { return kSpaces.at(dice() % kSpaces.size()); };
  std::string text = "{";
  for (auto members = dice() % 5; members > 0; --members) {
    text += fmt::format("{}{}{}:{}{}{}{}", space(), kNames.at(dice() % kNames.size()), space(),
                        space(), random_value(dice, depth + 1), space(), members > 1 ? "," : "");
  }
  return text + '}';
}

std::string random_value(std::mt19937& dice, int depth) {
  static const std::array<const char*, 7> kScalars = {"null", "true", "false", "0",
                                                      "-12",  "1.50", "2.5e-3"};
  switch (depth < 4 ? dice() % 4 : dice() % 2) {
    case 0:
      return random_text(dice);
    case 1:
      return kScalars.at(dice() % kScalars.size());
    case 2:
      return random_object(dice, depth);
    default:
      return "[" + random_value(dice, depth + 1) + " ,[" + random_object(dice, depth + 1) + "]]";
  }
}

// One to three bytes of it changed, doubled or gone.
void damage(std::string& text, std::mt19937& dice) {
  for (auto times = 1 + dice() % 3; times > 0; --times) {
    const std::size_t at = dice() % text.size();
    const std::size_t other = dice() % text.size();
    switch (dice() % 4) {
      case 0:
        text[at] = static_cast<char>(dice());
        break;
      case 1:
        text.erase(at, 1);
        break;
      case 2:
        std::swap(text[at], text[other]);
        break;
      default:
        text.insert(at, 1, text[other]);
    }
  }
}

void expect_slot(const Slot& slot, const json* value, std::string_view of) {
  if (value == nullptr) {
    EXPECT_EQ(slot.kind, SlotKind::kAbsent) << of;
  } else if (value->is_string()) {
    EXPECT_EQ(slot.kind, SlotKind::kString) << of;
    EXPECT_EQ(slot.text, value->get<std::string>()) << of;
  } else if (value->is_number()) {
    EXPECT_EQ(slot.kind, SlotKind::kNumber) << of;
    EXPECT_EQ(json::parse(slot.text), *value) << of;
  } else if (value->is_boolean()) {
    EXPECT_EQ(slot.kind, value->get<bool>() ? SlotKind::kTrue : SlotKind::kFalse) << of;
  } else {
    EXPECT_EQ(slot.kind, value->is_null() ? SlotKind::kNull : SlotKind::kComposite) << of;
  }
}

const json* member(const json* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto found = object->find(name);
  return found == object->end() ? nullptr : &*found;
}

// Both read it: they read the same.
void expect_alike(const DecodedEvent& event, const json& whole, std::string_view of) {
  EXPECT_EQ(event.id, whole.at("id").get<std::string>()) << of;
  EXPECT_EQ(event.source, whole.at("source").get<std::string>()) << of;
  EXPECT_EQ(event.type, whole.at("type").get<std::string>()) << of;
  EXPECT_EQ(event.subject, whole.at("subject").get<std::string>()) << of;
  if (event.plan == nullptr) return;
  const json* const data = &whole.at("data");
  const json* const usage = member(data, "usage");
  expect_slot(event.slots[0], member(data, "a_long_name"), of);
  expect_slot(event.slots[1], member(data, "model"), of);
  expect_slot(event.slots[2], usage, of);
  expect_slot(event.slots[3], member(usage, "cached"), of);
}

TEST_F(DecodeOracleTest, WhatAnotherReaderReadsIsReadAlike) {
  std::mt19937 dice(20261121);
  int accepted = 0;
  int damaged_and_accepted = 0;
  for (int i = 0; i < kRecords; ++i) {
    std::string text =
        envelope(random_object(dice, 1), i % 4 < 2 ? DataFirst::kNo : DataFirst::kYes);
    const bool damaged = i % 2 == 1;
    if (damaged) damage(text, dice);
    const DecodedEvent& event = decode(text);
    const json whole = json::parse(text, nullptr, false);
    if (whole.is_discarded()) continue;
    EXPECT_NE(event.reject, RejectReason::kMalformedJson) << text << ": " << event.detail;
    EXPECT_NE(event.reject, RejectReason::kInvalidUtf8) << text;
    if (event.reject != RejectReason::kNone) continue;
    ++(damaged ? damaged_and_accepted : accepted);
    expect_alike(event, whole, text);
  }
  EXPECT_GT(accepted, kRecords / 10);
  EXPECT_GT(damaged_and_accepted, kRecords / 40);
}

// Decision 0005: what no meter reads is held to its brackets' number alone. What was accepted once
// stays accepted: a record is counted alike whichever version reads it.
TEST_F(DecodeOracleTest, WhatNobodyReadsIsPassedOverByItsBrackets) {
  const struct {
    const char* member;
    bool accepted;
  } rows[] = {
      {R"("x":tru)", true},      {R"("x":[1}})", false},
      {R"("x":[1})", true},      {R"("x":[1 2,,:"a"])", true},
      {R"("x":"\ud800")", true}, {R"("x":"y":1})", true},
      {R"("x":})", true},        {R"("x":,"model":2})", true},
      {R"("x":"y" 1)", false},   {R"("x" "y")", false},
      {R"("x")", false},         {R"(x:1)", false},
      {R"("\ud800":1)", false},  {R"("x":[[1])", false},
      {R"("x":1,)", false},
  };
  for (const auto& row : rows) {
    for (const DataFirst first : {DataFirst::kNo, DataFirst::kYes}) {
      const auto& event = decode(envelope(fmt::format(R"({{{},"model":"m"}})", row.member), first));
      EXPECT_EQ(event.reject == RejectReason::kNone, row.accepted) << row.member << event.detail;
      if (!row.accepted || event.reject != RejectReason::kNone) continue;
      EXPECT_EQ(event.slots[1].text, "m") << row.member;
    }
  }
}

// What is no JSON is read alike wherever it stands, and nothing outside of `data` is taken for it.
TEST_F(DecodeOracleTest, TheOrderOfMembersDecidesNothing) {
  static const std::array<const char*, 12> kTokens = {
      "{", "}", "[", "]", ":", ",", R"("x")", R"("model")", R"("usage")", "1", "null", R"("\n")"};
  std::mt19937 dice(7);
  for (int i = 0; i < kRecords; ++i) {
    std::string data = "{";
    for (auto tokens = dice() % 9; tokens > 0; --tokens)
      data += kTokens.at(dice() % kTokens.size());
    data += '}';
    const auto verdict = [&](DataFirst first) {
      const DecodedEvent& event = decode(envelope(data, first));
      std::string text(to_string(event.reject));
      if (event.reject != RejectReason::kNone) return text;
      for (const Slot& slot : event.slots) text += fmt::format(" '{}'", slot.text);
      return text;
    };
    EXPECT_EQ(verdict(DataFirst::kNo), verdict(DataFirst::kYes)) << data;
  }
}

// Its data seems to go on through the envelope, whose long names are then unescaped once more.
TEST_F(DecodeOracleTest, ARecordThatIsReadTwiceIsRejected) {
  for (const std::size_t length : {10U, 1'000U, 3'000U}) {
    const auto& event =
        decode(R"({"data":{"x":"a":1},"specversion":"1.0","id":"r1","source":"api","type":"llm",)"
               R"("subject":"acme","\n)" +
               std::string(length, 'n') + R"(":1,"model":"m"})");
    EXPECT_EQ(event.reject, RejectReason::kMalformedJson) << length;
  }
}

TEST_F(DecodeOracleTest, EveryTruncationIsReadWithinItsBytes) {
  const std::string event =
      envelope(R"({"model":"\u0061","usage":{"cached":null},"a_long_name":true})", DataFirst::kNo);
  for (std::size_t size = 1; size < event.size(); ++size) {
    for (std::size_t from = 0; from < size; ++from) {
      const std::string_view part = std::string_view(event).substr(from, size - from);
      EXPECT_NE(decode(part).reject, RejectReason::kNone) << part;
    }
  }
  EXPECT_EQ(decode(event).reject, RejectReason::kNone);
}

}  // namespace
}  // namespace tally::aggregator
