// The relay against a scripted broker, on a disk in memory.
#pragma once

#include "producer/spool/relay.h"
#include "producer/spool/segment_reader.h"
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
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace tally::producer::spool {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;
inline constexpr milliseconds kLong{20'000};

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
  bool forgets_at_its_end = false;  // a closed producer calls back for nothing

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
      if (broker_.forgets_at_its_end) return;
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
  // The calls in broken_ fail.
  void break_calls(Trouble trouble) {
    disk_.fail_when([this, trouble](std::string_view call) -> std::optional<Trouble> {
      const std::scoped_lock lock(broken_mutex_);
      return broken_.contains(std::string(call)) ? std::optional(trouble) : std::nullopt;
    });
  }
  template <class Reached>
  static void await(const Reached& reached) {
    const auto until = std::chrono::steady_clock::now() + kLong;
    while (!reached()) {
      ASSERT_LT(std::chrono::steady_clock::now(), until);
      std::this_thread::yield();
    }
  }
  static void await_problem(const Relay& relay, std::string_view words) {
    await([&] {
      const auto problem = relay.problem();
      return problem && problem->find(words) != std::string::npos;
    });
  }
  [[nodiscard]] std::string refused() const {
    const auto files = disk_.files();
    const auto found = files.find(std::string(RefusedFile::kName));
    return found == files.end() ? std::string() : found->second;
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
    options.read_tries = read_tries_;
    auto relay = Relay::open(spool_->store(), options);
    EXPECT_TRUE(relay);
    return std::move(relay.value());
  }
  // On disk the records [from, to) are bytes without meaning from now on; who has them open already
  // does not see it.
  void damage(std::uint64_t from, std::uint64_t to) {
    const auto folder = disk_.folder();
    for (const auto& [name, bytes] : disk_.files()) {
      const auto number = segment_number(name);
      if (!number) continue;
      SegmentReader reader(folder->open(name), spool_->store().spool(), *number);
      std::string changed = bytes;
      std::size_t begin = kSegmentHeaderBytes;
      while (const auto record = reader.next(0, UINT64_MAX, bytes.size())) {
        if (record->sequence >= from && record->sequence < to) {
          changed.replace(begin, record->end_offset - begin, record->end_offset - begin, '\xff');
        }
        begin = record->end_offset;
      }
      if (changed != bytes) disk_.put(name, changed);
    }
  }
  // found = delivered + refused + lost + torn, and what was delivered was sent.
  void expect_account(const RelayCounts& counts, std::uint64_t kept) {
    EXPECT_EQ(counts.delivered + counts.refused + counts.lost + counts.torn, kept);
    EXPECT_EQ(counts.delivered, once(broker_.taken()).size());
    EXPECT_EQ(spool_->store().figures().waiting_records, 0U);
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

  std::size_t read_tries_ = 1'000'000;
  std::mutex broken_mutex_;
  std::set<std::string> broken_;
  MemoryDisk disk_{1};
  Broker broker_;
  std::unique_ptr<Spool> spool_;
};

}  // namespace tally::producer::spool
