// The spool before Kafka's client: what one takes, the other must take too.
#include "producer/spool/spooled_sink.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace tally::producer::spool {
namespace {

constexpr const char* kNobody = "127.0.0.1:9";

TEST(SpooledSink, WhatTheClientWouldNotTakeIsNotKept) {
  std::string root = (std::filesystem::temp_directory_path() / "tally-sink-XXXXXX").string();
  ASSERT_NE(::mkdtemp(root.data()), nullptr);
  {
    auto sink = SpooledSink::open(
        {.folder = root + "/spool",
         .kafka = {{"bootstrap.servers", kNobody}, {"message.max.bytes", "20000"}}});
    ASSERT_TRUE(sink) << sink.error().message;
    EXPECT_EQ(sink.value()->offer({"id", std::string(19'980, 'v'), 1}), Offered::kTooLarge);
    EXPECT_EQ(sink.value()->offer({"id", std::string(19'000, 'v'), 1}), Offered::kAccepted);
  }
  std::filesystem::remove_all(root);
}

TEST(SpooledSink, TheClientTakesTheLargestEventThatIsKept) {
  const auto open =
      kafka_outlet({.topic = "t",
                    .content_type = "application/cloudevents+json",
                    .settings = {{"bootstrap.servers", kNobody},
                                 {"message.max.bytes", std::to_string(core::kMaxRecordBytes)}}});
  auto outlet = open([](const runtime::kafka::Delivery&) {});
  ASSERT_TRUE(outlet) << outlet.error().message;
  const std::string key(core::kMaxRequestIdBytes, 'k');
  const auto produce = [&](std::size_t bytes) {
    return outlet.value()->produce(key, std::string(bytes - key.size(), 'v'), 0);
  };
  EXPECT_EQ(produce(core::kMaxSpoolEventBytes), runtime::kafka::Enqueued::kQueued);
  EXPECT_EQ(produce(core::kMaxRecordBytes), runtime::kafka::Enqueued::kTooLarge);
}

}  // namespace
}  // namespace tally::producer::spool
