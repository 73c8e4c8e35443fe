// The producer against librdkafka's own mock cluster: real client code, no broker.
#include "runtime/kafka/producer.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tally::runtime::kafka {
namespace {

using std::chrono::milliseconds;

const ClientSettings kMock = {{"bootstrap.servers", "mock"}, {"test.mock.num.brokers", "1"}};
// Nothing listens on the discard port.
const ClientSettings kNobody = {{"bootstrap.servers", "127.0.0.1:9"}};

ClientSettings with(ClientSettings base, const std::string& name, const std::string& value) {
  base[name] = value;
  return base;
}

std::string refusal(const std::string& name, const std::string& value) {
  const auto opened = Producer::open({.topic = "t", .settings = with(kMock, name, value)});
  return opened ? "accepted" : opened.error().message;
}

TEST(KafkaProducer, RefusesSettingsThatBreakThePromise) {
  EXPECT_NE(refusal("acks", "1").find("acks=1"), std::string::npos);
  EXPECT_NE(refusal("request.required.acks", "0").find("acks=0"), std::string::npos);
  EXPECT_NE(refusal("enable.idempotence", "false").find("enable.idempotence"), std::string::npos);
  EXPECT_NE(refusal("partitioner", "random").find("murmur2"), std::string::npos);
  EXPECT_NE(refusal("transactional.id", "x").find("transactional.id"), std::string::npos);
  EXPECT_NE(refusal("no.such.setting", "x").find("no.such.setting"), std::string::npos);
  EXPECT_EQ(refusal("acks", "-1"), "accepted");
  EXPECT_EQ(refusal("linger.ms", "20"), "accepted");
}

TEST(KafkaProducer, NeverPrintsASecret) {
  const std::string said = refusal("ssl.key.pem", "hunter2-not-a-key");
  EXPECT_EQ(said.find("hunter2"), std::string::npos) << said;
}

TEST(KafkaProducer, NeedsBrokersAndATopic) {
  EXPECT_FALSE(Producer::open({.topic = "t"}));
  EXPECT_FALSE(Producer::open({.topic = "", .settings = kMock}));
}

TEST(KafkaProducer, CallsBackOnceForEachMessageWithItsTagAndKey) {
  std::mutex mutex;
  std::vector<std::pair<std::uint64_t, std::string>> ended;
  bool all_delivered = true;
  auto opened = Producer::open({
      .topic = "events",
      .content_type = "application/cloudevents+json",
      .settings = kMock,
      .on_delivery =
          [&](const Delivery& delivery) {
            const std::scoped_lock lock(mutex);
            ended.emplace_back(delivery.tag, delivery.key);
            all_delivered = all_delivered && delivery.delivered && delivery.offset >= 0;
          },
  });
  ASSERT_TRUE(opened) << opened.error().message;
  Producer& producer = *opened.value();
  constexpr std::uint64_t kMessages = 500;
  for (std::uint64_t tag = 0; tag < kMessages; ++tag) {
    ASSERT_EQ(producer.produce("key-" + std::to_string(tag), "value", tag), Enqueued::kQueued);
  }
  EXPECT_EQ(producer.flush(milliseconds(20'000)), 0U);
  const std::scoped_lock lock(mutex);
  EXPECT_TRUE(all_delivered);
  EXPECT_EQ(ended.size(), kMessages);
  std::set<std::uint64_t> tags;
  for (const auto& [tag, key] : ended) {
    EXPECT_EQ(key, "key-" + std::to_string(tag));
    tags.insert(tag);
  }
  EXPECT_EQ(tags.size(), kMessages);
}

TEST(KafkaProducer, SaysWhenTheQueueIsFullAndGivesUpTheRestWithAReason) {
  std::mutex mutex;
  std::multiset<std::string> reasons;
  auto opened = Producer::open({
      .topic = "events",
      .settings = with(kNobody, "queue.buffering.max.messages", "10"),
      .on_delivery =
          [&](const Delivery& delivery) {
            const std::scoped_lock lock(mutex);
            EXPECT_FALSE(delivery.delivered);
            reasons.emplace(delivery.reason);
          },
  });
  ASSERT_TRUE(opened) << opened.error().message;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(opened.value()->produce("k", "v"), Enqueued::kQueued);
  }
  EXPECT_EQ(opened.value()->produce("k", "v"), Enqueued::kQueueFull);
  EXPECT_EQ(opened.value()->flush(milliseconds(20)), 10U);
  opened.value().reset();
  EXPECT_EQ(reasons.count("_PURGE_QUEUE"), 10U);
}

// When the time was over the rest was given up without a word, because callbacks were slow.
TEST(KafkaProducer, ItsEndLastsAsLongAsTheCallbacks) {
  std::promise<void> begun;
  std::promise<void> may_end;
  std::atomic<int> ended{0};
  auto opened = Producer::open({
      .topic = "events",
      .settings = kMock,
      .on_delivery =
          [&, ready = may_end.get_future().share()](const Delivery&) {
            if (++ended == 1) begun.set_value();
            ready.wait();
          },
      .stuck_limit = milliseconds(1),
  });
  ASSERT_TRUE(opened) << opened.error().message;
  ASSERT_EQ(opened.value()->produce("first", "v"), Enqueued::kQueued);
  begun.get_future().wait();
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(opened.value()->produce("key-" + std::to_string(i), "v"), Enqueued::kQueued);
  }
  testing::internal::CaptureStderr();
  auto gone = std::async(std::launch::async, [&] { opened.value().reset(); });
  EXPECT_EQ(gone.wait_for(milliseconds(100)), std::future_status::timeout);
  may_end.set_value();
  gone.get();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(ended, 41);
}

// The deadline overflowed and had passed long ago.
TEST(KafkaProducer, TheLongestDeadlineIsForEver) {
  std::promise<void> begun;
  std::promise<void> may_end;
  auto opened = Producer::open({
      .topic = "events",
      .settings = kMock,
      .on_delivery =
          [&, ready = may_end.get_future().share()](const Delivery&) {
            begun.set_value();
            ready.wait();
          },
  });
  ASSERT_TRUE(opened) << opened.error().message;
  Producer& producer = *opened.value();
  ASSERT_EQ(producer.produce("k", "v"), Enqueued::kQueued);
  begun.get_future().wait();
  auto flushed =
      std::async(std::launch::async, [&] { return producer.flush(milliseconds::max()); });
  auto room = std::async(std::launch::async, [&] { producer.wait_for_room(milliseconds::max()); });
  EXPECT_EQ(flushed.wait_for(milliseconds(50)), std::future_status::timeout);
  EXPECT_EQ(room.wait_for(milliseconds(0)), std::future_status::timeout);
  may_end.set_value();
  EXPECT_EQ(flushed.get(), 0U);
  room.get();
}

TEST(KafkaProducer, KnowsTheLargestMessageToTheByte) {
  for (const std::string content_type : {"", "application/cloudevents+json"}) {
    const auto settings = with(kMock, "message.max.bytes", "2000");
    auto opened =
        Producer::open({.topic = "events", .content_type = content_type, .settings = settings});
    ASSERT_TRUE(opened) << opened.error().message;
    const auto most = max_message_bytes(settings, content_type);
    ASSERT_TRUE(most) << most.error().message;
    const std::string value(most.value() - 3, 'x');
    EXPECT_EQ(opened.value()->produce("key", value), Enqueued::kQueued);
    EXPECT_EQ(opened.value()->produce("key", value + "x"), Enqueued::kTooLarge);
  }
  EXPECT_GT(max_message_bytes({}, "").value(), 900'000U);
  EXPECT_FALSE(max_message_bytes(with({}, "message.max.bytes", "many"), ""));
}

TEST(KafkaProducer, RefusesAMessageOverTheLimit) {
  auto opened =
      Producer::open({.topic = "events", .settings = with(kMock, "message.max.bytes", "2000")});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened.value()->produce("k", std::string(3'000, 'x')), Enqueued::kTooLarge);
}

}  // namespace
}  // namespace tally::runtime::kafka
