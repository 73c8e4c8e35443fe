// Publishing with a Kafka client of the test's own, whose end does not tell of every message.
#include "producer/publish/publisher.h"
#include "runtime/kafka/producer.h"
#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// In place of runtime/kafka/producer.cc. Every second message is delivered at once; of the others
// nobody tells what became of them.
namespace tally::runtime::kafka {

struct Producer::Impl {
  ProducerOptions options;
  int produced = 0;
};

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Producer::~Producer() = default;

core::Result<std::unique_ptr<Producer>> Producer::open(ProducerOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  return std::make_unique<Producer>(std::move(impl));
}

Enqueued Producer::produce(std::string_view key, std::string_view value, std::uint64_t tag) {
  if (impl_->produced++ % 2 == 0) {
    Delivery delivery;
    delivery.tag = tag;
    delivery.key = key;
    delivery.value_bytes = value.size();
    delivery.delivered = true;
    impl_->options.on_delivery(delivery);
  }
  return Enqueued::kQueued;
}

void Producer::wait_for_room(std::chrono::milliseconds) {}
std::size_t Producer::flush(std::chrono::milliseconds) { return 0; }
std::size_t Producer::outstanding() const { return 0; }
std::optional<std::string> Producer::fatal_error() const { return std::nullopt; }
std::optional<std::string> Producer::last_problem() const { return std::nullopt; }

}  // namespace tally::runtime::kafka

namespace tally::producer::publish {
namespace {

// It was taken for a bug, and the program aborted.
TEST(Publisher, WhatTheClientsEndDoesNotTellOfHasFailed) {
  const Scratch scratch;
  std::string text;
  for (const char* id : {"a", "b", "c", "d", "e"}) {
    text += std::string(R"({"specversion":"1.0","id":")") + id +
            R"(","source":"/s","type":"t","subject":"acme","data":{"n":1}})" + "\n";
  }
  scratch.write("events", text);
  Input input(scratch.path("events"));
  NdjsonRecipe recipe;
  const auto account = publish_records(input, recipe, {});
  ASSERT_TRUE(account) << account.error().message;
  EXPECT_EQ(account.value().lines, 5U);
  EXPECT_EQ(account.value().delivered, 3U);
  EXPECT_EQ(account.value().failed, 2U);
  EXPECT_EQ(account.value().failed_by_reason.at("UNKNOWN"), 2U);
  EXPECT_FALSE(account.value().whole());
}

}  // namespace
}  // namespace tally::producer::publish
