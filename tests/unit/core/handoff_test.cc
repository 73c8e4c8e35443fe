#include "core/handoff.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace tally::core {
namespace {

HandoffRecord record_with(std::string_view key, std::string_view value) {
  HandoffRecord record;
  record.key = key;
  record.value = value;
  return record;
}

TEST(CoreHandoff, EveryFieldComesBack) {
  const std::string value("a\0b", 3);
  const std::vector<HandoffHeader> headers = {{"ce_id", "r1"}, {"", std::string_view("\0", 1)}};
  HandoffRecord record = record_with("key", value);
  record.partition = 1023;
  record.offset = 1LL << 40;
  record.log_time_ms = 1'795'219'200'123;
  record.admission = Admission::kReadmitted;
  record.headers = headers;
  std::string block;
  append_handoff(record, block);
  append_handoff(HandoffRecord{}, block);

  HandoffReader reader(block);
  const auto first = reader.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->admission, Admission::kReadmitted);
  EXPECT_EQ(first->partition, 1023);
  EXPECT_EQ(first->offset, 1LL << 40);
  EXPECT_EQ(first->log_time_ms, 1'795'219'200'123);
  EXPECT_EQ(first->key, "key");
  EXPECT_EQ(first->value, value);
  ASSERT_EQ(first->headers.size(), 2U);
  EXPECT_EQ(first->headers[0].name, "ce_id");
  EXPECT_EQ(first->headers[1].value, std::string_view("\0", 1));
  const auto second = reader.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->admission, Admission::kLog);
  EXPECT_TRUE(second->headers.empty());
  EXPECT_FALSE(reader.next());
}

// The bytes are stored: another version of tally reads them.
TEST(CoreHandoff, TheFormatIsPinned) {
  const std::vector<HandoffHeader> headers = {{"h", "xy"}};
  HandoffRecord record = record_with("k", "vw");
  record.partition = 2;
  record.offset = 0x0102;
  record.log_time_ms = 3;
  record.admission = Admission::kReadmitted;
  record.headers = headers;
  std::string block;
  append_handoff(record, block);
  const std::string expected(
      "\x02\0\0\0"
      "\x02\x01\0\0\0\0\0\0"
      "\x03\0\0\0\0\0\0\0"
      "\x01"
      "\x01\0\0\0k"
      "\x02\0\0\0vw"
      "\x01\0"
      "\x01\0h"
      "\x02\0\0\0xy",
      43);
  EXPECT_EQ(block, expected);
}

// Anybody who may produce may send such a record, so it must not end the process.
TEST(CoreHandoff, HeadersOfAnyNumberAndLengthComeBack) {
  const std::string long_name(70'000, 'n');
  const std::vector<std::vector<HandoffHeader>> cases = {
      std::vector<HandoffHeader>(65'535, {"h", ""}),
      std::vector<HandoffHeader>(65'536, {"h", "v"}),
      std::vector<HandoffHeader>(500'000),
      {{long_name, "v"}, {"", long_name}}};
  for (const auto& headers : cases) {
    HandoffRecord record = record_with("k", "v");
    record.admission = Admission::kReadmitted;
    record.headers = headers;
    std::string block;
    append_handoff(record, block);
    append_handoff(record_with("next", ""), block);
    HandoffReader reader(block);
    const auto back = reader.next();
    ASSERT_TRUE(back);
    EXPECT_EQ(back->admission, Admission::kReadmitted);
    ASSERT_EQ(back->headers.size(), headers.size());
    for (std::size_t i = 0; i < headers.size(); ++i) {
      ASSERT_EQ(back->headers[i].name, headers[i].name);
      ASSERT_EQ(back->headers[i].value, headers[i].value);
    }
    EXPECT_EQ(reader.next()->key, "next");
  }
}

TEST(CoreHandoff, HeadersStoredWiderThanNeededAreRefused) {
  std::string block;
  append_handoff(record_with("", ""), block);
  block[20] = static_cast<char>(0x80);
  block += std::string(2, '\0');
  HandoffReader reader(block);
  EXPECT_THROW(static_cast<void>(reader.next()), std::runtime_error);
}

TEST(CoreHandoff, ABlockThatIsCutAnywhereIsRefused) {
  std::string block;
  append_handoff(record_with("key", "value"), block);
  for (std::size_t size = 1; size < block.size(); ++size) {
    HandoffReader reader(std::string_view(block).substr(0, size));
    EXPECT_THROW(static_cast<void>(reader.next()), std::runtime_error) << size;
  }
}

TEST(CoreHandoff, AFirstCopyCanHaveComeAsEarlyAsItsTimeLets) {
  const auto log_time = Timestamp::from_seconds(1'000'000);
  const auto earliest = [&](std::optional<std::int64_t> seconds) {
    std::optional<Timestamp> time;
    if (seconds) time = Timestamp::from_seconds(*seconds);
    return earliest_copy(time, log_time).seconds();
  };
  EXPECT_EQ(earliest(std::nullopt), 1'000'000);
  EXPECT_EQ(earliest(600'000), 513'600);  // a day: the largest bound that ever was
  EXPECT_EQ(earliest(1'000'200), 913'800);
  EXPECT_EQ(earliest(1'086'401), 1'000'000);  // ahead of the log: it came before its time
  EXPECT_EQ(earliest(86'399), 0);
}

// Blocks of versions that knew no unchecked readmission hold 0 and 1.
TEST(CoreHandoff, AnAdmissionKeepsItsNumber) {
  const std::vector<Admission> admissions = {Admission::kLog, Admission::kReadmitted,
                                             Admission::kReadmittedUnchecked};
  for (std::size_t i = 0; i < admissions.size(); ++i) {
    std::string block;
    append_handoff(record_with("key", "value"), block);
    block.at(20) = static_cast<char>(i);
    HandoffReader reader(block);
    EXPECT_EQ(reader.next()->admission, admissions[i]);
    HandoffRecord record = record_with("key", "value");
    record.admission = admissions[i];
    std::string again;
    append_handoff(record, again);
    EXPECT_EQ(again, block);
  }
}

TEST(CoreHandoff, AnAdmissionOfANewerVersionIsRefused) {
  std::string block;
  append_handoff(record_with("key", "value"), block);
  block.at(20) = 3;
  HandoffReader reader(block);
  EXPECT_THROW(static_cast<void>(reader.next()), std::runtime_error);
}

}  // namespace
}  // namespace tally::core
