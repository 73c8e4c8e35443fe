#include "aggregator/record_digest.h"

#include <gtest/gtest.h>

namespace tally::aggregator {
namespace {

runtime::kafka::Record record(std::int64_t offset, std::int64_t log_time_ms, std::string_view key,
                              std::string_view value) {
  runtime::kafka::Record record;
  record.offset = offset;
  record.log_time_ms = log_time_ms;
  record.key = key;
  record.value = value;
  return record;
}

TEST(RecordDigest, TellsRecordsApart) {
  const RecordDigest digest = record_digest(record(5, 1000, "key", "value"));
  EXPECT_EQ(digest, record_digest(record(5, 1000, "key", "value")));
  EXPECT_NE(digest, record_digest(record(6, 1000, "key", "value")));
  EXPECT_NE(digest, record_digest(record(5, 1001, "key", "value")));
  EXPECT_NE(digest, record_digest(record(5, 1000, "keyv", "alue")));
  EXPECT_NE(digest, record_digest(record(5, 1000, "key", "valve")));
  EXPECT_NE(digest, record_digest(record(5, 1000, "", "")));
}

}  // namespace
}  // namespace tally::aggregator
