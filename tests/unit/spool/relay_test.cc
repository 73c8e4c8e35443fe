// The relay against a scripted broker: what it refuses, forgets or delays, and how it dies.
#include "producer/spool/relay.h"

#include "producer/spool/spool.h"
#include "tests/unit/spool/rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace tally::producer::spool {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;
constexpr milliseconds kLong{20'000};

// A broker of one process: takes batches, answers when flushed or asked for room.
class Broker {
 public:
  // The reason for which a batch is refused; empty: it is taken.
  std::function<std::string(const std::vector<std::string>& keys)> judge =
      [](const std::vector<std::string>&) { return ""; };
  std::function<Enqueued(const std::string& key)> at_the_door = [](const std::string&) {
    return Enqueued::kQueued;
  };
  std::size_t batch_records = 10;
  std::size_t queue_records = 40;

  [[nodiscard]] std::vector<std::string> taken() const {
    const std::scoped_lock lock(mutex_);
    return taken_;
  }
  [[nodiscard]] std::size_t opened() const {
    const std::scoped_lock lock(mutex_);
    return opened_;
  }
  [[nodiscard]] std::string value(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    return values_.at(key);
  }
  OpenOutlet opener() {
    return [this](OnDelivery on_delivery) -> core::Result<std::unique_ptr<Outlet>> {
      const std::scoped_lock lock(mutex_);
      ++opened_;
      return std::unique_ptr<Outlet>(std::make_unique<Line>(*this, std::move(on_delivery)));
    };
  }

 private:
  // One producer's connection.
  class Line final : public Outlet {
   public:
    Line(Broker& broker, OnDelivery on_delivery)
        : broker_(broker), on_delivery_(std::move(on_delivery)) {}
    ~Line() override {
      for (const auto& [key, tag] : queue_) end(key, tag, "_PURGE_QUEUE");
    }
    Enqueued produce(std::string_view key, std::string_view value, std::uint64_t tag) override {
      const std::string name(key);
      if (is_fatal_) return Enqueued::kFatal;
      const Enqueued verdict = broker_.at_the_door(name);
      is_fatal_ = verdict == Enqueued::kFatal;
      if (verdict != Enqueued::kQueued) return verdict;
      if (queue_.size() >= broker_.queue_records) return Enqueued::kQueueFull;
      {
        const std::scoped_lock lock(broker_.mutex_);
        broker_.values_[name] = value;
      }
      queue_.emplace_back(name, tag);
      return Enqueued::kQueued;
    }
    void wait_for_room(milliseconds) override { serve(); }
    std::size_t flush(milliseconds) override {
      serve();
      return queue_.size();
    }
    [[nodiscard]] std::optional<std::string> fatal_error() const override {
      if (!is_fatal_) return std::nullopt;
      return "fenced";
    }

   private:
    void serve() {
      if (is_fatal_) return;
      const std::size_t count = std::min(queue_.size(), broker_.batch_records);
      std::vector<std::string> keys;
      for (std::size_t i = 0; i < count; ++i) keys.push_back(queue_[i].first);
      const std::string reason = broker_.judge(keys);
      for (std::size_t i = 0; i < count; ++i) {
        const auto [key, tag] = queue_.front();
        queue_.pop_front();
        if (reason.empty()) {
          const std::scoped_lock lock(broker_.mutex_);
          broker_.taken_.push_back(key);
        }
        end(key, tag, reason);
      }
    }
    void end(const std::string& key, std::uint64_t tag, const std::string& reason) {
      Delivery delivery;
      delivery.tag = tag;
      delivery.key = key;
      delivery.delivered = reason.empty();
      delivery.reason = reason;
      on_delivery_(delivery);
    }

    Broker& broker_;
    OnDelivery on_delivery_;
    std::deque<std::pair<std::string, std::uint64_t>> queue_;
    bool is_fatal_ = false;
  };

  mutable std::mutex mutex_;
  std::vector<std::string> taken_;
  std::map<std::string, std::string> values_;
  std::size_t opened_ = 0;
};

class RelayTest : public ::testing::Test {
 protected:
  void SetUp() override { open_spool(); }
  void open_spool() {
    spool_.reset();
    SpoolOptions options;
    options.limits = {1'000'000, 20'000};
    auto spool = Spool::open(disk_.folder(), options);
    ASSERT_TRUE(spool) << spool.error().message;
    spool_ = std::move(spool.value());
  }
  void keep(int from, int to) {
    for (int i = from; i < to; ++i) {
      const Event one = event(i, 100);
      ASSERT_EQ(spool_->offer({one.first, one.second, 0}), Offered::kAccepted);
    }
    ASSERT_TRUE(spool_->flush(kLong));
  }
  // From here on nothing reaches the disk, as if the process were gone.
  void kill() {
    disk_.fail_when([](std::string_view) -> std::optional<Trouble> { return Trouble::kBroken; });
  }
  void restart() {
    spool_.reset();
    disk_.restart(MemoryDisk::End::kKill);
  }
  std::unique_ptr<Relay> relay(std::size_t in_flight = 64) {
    RelayOptions options;
    options.open = broker_.opener();
    options.max_in_flight = in_flight;
    options.first_retry = milliseconds(1);
    options.longest_retry = milliseconds(4);
    auto relay = Relay::open(spool_->store(), options);
    EXPECT_TRUE(relay);
    return std::move(relay.value());
  }
  static std::vector<std::string> names(int from, int to) {
    std::vector<std::string> names;
    for (int i = from; i < to; ++i) names.push_back("id-" + std::to_string(i));
    return names;
  }
  static std::vector<std::string> once(std::vector<std::string> keys) {
    std::set<std::string> seen;
    std::erase_if(keys, [&](const std::string& key) { return !seen.insert(key).second; });
    return keys;
  }

  MemoryDisk disk_{1};
  Broker broker_;
  std::unique_ptr<Spool> spool_;
};

TEST_F(RelayTest, SendsEverythingInOrderOnceAndRemovesTheSegments) {
  keep(0, 1'000);
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  keep(1'000, 1'100);
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(broker_.taken(), names(0, 1'100));
  EXPECT_EQ(broker_.value("id-7"), event(7, 100).second);
  EXPECT_EQ(running->counts().delivered, 1'100U);
  EXPECT_EQ(spool_->store().figures().waiting_records, 0U);
  EXPECT_EQ(spool_->store().figures().waiting_bytes, 0U);
}

TEST_F(RelayTest, GoesBackToTheFirstWithoutAnAck) {
  keep(0, 500);
  std::atomic<int> batches{0};
  broker_.judge = [&](const auto&) -> std::string {
    return ++batches % 3 == 0 ? "_MSG_TIMED_OUT" : "";
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  auto taken = broker_.taken();
  // None twice: what was acked before the failure is not sent again.
  EXPECT_EQ(taken.size(), 500U);
  std::sort(taken.begin(), taken.end());
  auto all = names(0, 500);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(taken, all);
  EXPECT_GT(running->counts().sent_again, 0U);
  EXPECT_FALSE(running->problem());
}

TEST_F(RelayTest, ARecordThatIsRefusedAloneIsSetAsideAndTheRestGoesOn) {
  keep(0, 600);
  const std::set<std::string> bad = {"id-3", "id-4", "id-411"};
  broker_.judge = [&](const std::vector<std::string>& keys) -> std::string {
    const bool has_bad =
        std::any_of(keys.begin(), keys.end(), [&](const auto& key) { return bad.contains(key); });
    return has_bad ? "MSG_SIZE_TOO_LARGE" : "";
  };
  const auto running = relay(512);
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().delivered, 597U);
  EXPECT_EQ(running->counts().refused, 3U);
  auto taken = broker_.taken();
  EXPECT_EQ(once(taken).size(), taken.size());
  const std::string refused = disk_.files().at("refused.ndjson");
  EXPECT_EQ(std::count(refused.begin(), refused.end(), '\n'), 3);
  EXPECT_NE(refused.find(R"("reason":"MSG_SIZE_TOO_LARGE","sequence":411,"key":"id-411")"),
            std::string::npos)
      << refused;
}

TEST_F(RelayTest, TooLargeForTheClientIsSetAside) {
  keep(0, 10);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-5" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().delivered, 9U);
  EXPECT_EQ(running->counts().refused, 1U);
}

TEST_F(RelayTest, AFullDiskDoesNotKeepARefusedRecordInTheWay) {
  keep(0, 10);
  broker_.at_the_door = [](const std::string& key) {
    return key == "id-5" ? Enqueued::kTooLarge : Enqueued::kQueued;
  };
  disk_.fail_when([](std::string_view call) -> std::optional<Trouble> {
    return call == "create" ? std::optional(Trouble::kFull) : std::nullopt;
  });
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().refused, 1U);
  EXPECT_FALSE(disk_.files().contains("refused.ndjson"));
}

TEST_F(RelayTest, AFatalErrorMeansANewProducer) {
  keep(0, 300);
  std::atomic<int> offers{0};
  broker_.at_the_door = [&](const std::string&) {
    return ++offers % 90 == 0 ? Enqueued::kFatal : Enqueued::kQueued;
  };
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(once(broker_.taken()), names(0, 300));
  EXPECT_GT(broker_.opened(), 2U);
}

TEST_F(RelayTest, WhatWasNotAckedIsSentByTheNextProcess) {
  keep(0, 200);
  std::atomic<int> batches{0};
  broker_.judge = [&](const auto&) -> std::string { return ++batches <= 7 ? "" : "_TRANSPORT"; };
  {
    const auto running = relay();
    while (running->counts().delivered < 70) std::this_thread::yield();
    kill();
  }
  restart();
  open_spool();
  batches = -1'000;
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(once(broker_.taken()), names(0, 200));
}

TEST_F(RelayTest, LossInTheMiddleIsCountedAndPassed) {
  keep(0, 500);
  kill();
  restart();
  std::string bytes = disk_.files().at(segment_name(2));
  bytes[200] = static_cast<char>(~bytes[200]);
  disk_.put(segment_name(2), bytes);
  open_spool();
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(running->counts().lost, 1U);
  EXPECT_EQ(running->counts().torn, 0U);
  EXPECT_EQ(running->counts().delivered, 499U);
}

TEST_F(RelayTest, APositionThatCannotBeStoredKeepsTheSegments) {
  keep(0, 500);
  const auto before = disk_.files().size();
  disk_.fail_when([](std::string_view call) -> std::optional<Trouble> {
    return call == "sync" ? std::optional(Trouble::kBroken) : std::nullopt;
  });
  const auto running = relay();
  ASSERT_TRUE(running->drain(kLong));
  EXPECT_EQ(disk_.files().size(), before);
  EXPECT_EQ(running->counts().delivered, 500U);
}

}  // namespace
}  // namespace tally::producer::spool
