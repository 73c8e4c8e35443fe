// Many requests at once: the sender over lanes that answer out of order, and the lanes' threads.
#include "exporter/lanes.h"

#include "tests/unit/exporter/sender_fixture.h"

#include <atomic>
#include <stdexcept>
#include <thread>

namespace tally::exporter {
namespace {

using namespace std::chrono_literals;

// Answers the request that was started last, once all lanes are busy or nobody starts more.
class LastFirst final : public Lanes {
 public:
  LastFirst(std::size_t count, Clock& clock) : count_(count), clock_(clock) {}
  [[nodiscard]] std::size_t count() const override { return count_; }
  void start(Sending sending) override {
    EXPECT_LT(under_way.size(), count_);
    for (const Sending& other : under_way)
      EXPECT_NE(other.event.stripe_customer, sending.event.stripe_customer) << "two at once";
    started.push_back(clock_.time);
    under_way.push_back(std::move(sending));
    most = std::max(most, under_way.size());
  }
  std::optional<Answered> next(std::chrono::milliseconds time) override {
    (void)time;
    if (under_way.empty()) return std::nullopt;
    clock_.time = Timestamp::from_micros(clock_.time.micros() + 1'000);
    Answered answered{under_way.back().tag, ok()};
    answered.answer.identifier = under_way.back().event.identifier;
    under_way.pop_back();
    return answered;
  }
  std::vector<Sending> under_way;
  std::vector<Timestamp> started;
  std::size_t most = 0;

 private:
  std::size_t count_;
  Clock& clock_;
};

class AtOnceTest : public SenderTest {
 protected:
  void add_of(std::int64_t id, const std::string& customer) {
    add(id);
    rows.back().stripe_customer = customer;
  }
  SendCounts run_on(Lanes& lanes) {
    Sender sender(lanes, log, clock, options);
    return sender.run(rows);
  }
};

TEST_F(AtOnceTest, AsManyAsThereAreLanesAndOneOfACustomer) {
  for (int i = 0; i < 60; ++i) add_of(i, "cus_" + std::to_string(i / 3));
  LastFirst lanes(4, clock);
  EXPECT_EQ(run_on(lanes).delivered, 60U);
  EXPECT_EQ(lanes.most, 4U);
  for (const auto& [id, entry] : log.entries) EXPECT_EQ(entry.state, RowState::kDelivered) << id;
}

TEST_F(AtOnceTest, ACustomersRowsLeaveTheOtherLanesToOthers) {
  for (int i = 0; i < 20; ++i) add_of(i, "cus_large");
  for (int i = 20; i < 40; ++i) add(i);
  LastFirst lanes(3, clock);
  EXPECT_EQ(run_on(lanes).delivered, 40U);
  EXPECT_EQ(lanes.most, 3U);
}

// It makes up for a commit that took long, but never by more than the limit of any second.
TEST_F(AtOnceTest, NoSecondHasMoreThanTheLimit) {
  class SlowLog final : public DeliveryLog {
   public:
    explicit SlowLog(Clock& clock) : clock_(clock) {}
    void commit(const Report& report, const std::vector<OutboxRow*>& rows, Timestamp now) override {
      (void)report, (void)rows, (void)now;
      clock_.time = Timestamp::from_micros(clock_.time.micros() + 300'000);
    }

   private:
    Clock& clock_;
  };
  for (int i = 0; i < 1'000; ++i) add(i);
  options.requests_per_second = 200;
  SlowLog slow(clock);
  LastFirst lanes(16, clock);
  const Timestamp before = clock.time;
  Sender sender(lanes, slow, clock, options);
  EXPECT_EQ(sender.run(rows).delivered, 1'000U);
  EXPECT_LT(clock.time.micros() - before.micros(), 5'900'000);
  for (std::size_t i = 200; i < lanes.started.size(); ++i)
    ASSERT_GE(lanes.started[i].micros() - lanes.started[i - 200].micros(), 1'000'000) << i;
}

// The rows in the sender's hands are another's afterwards; an answer that came later was counted
// for a row of the next export.
TEST_F(AtOnceTest, NothingIsUnderWayAfterTheDatabaseFailed) {
  class FailingLog final : public DeliveryLog {
   public:
    void commit(const Report& report, const std::vector<OutboxRow*>& rows, Timestamp now) override {
      (void)report, (void)rows, (void)now;
      if (++commits == 2) throw std::runtime_error("gone");
    }
    int commits = 0;
  };
  for (int i = 0; i < 20; ++i) add(i);
  options.group_rows = 5;
  FailingLog failing;
  LastFirst lanes(4, clock);
  Sender sender(lanes, failing, clock, options);
  EXPECT_THROW((void)sender.run(rows), std::runtime_error);
  EXPECT_GT(lanes.most, 0U);
  EXPECT_TRUE(lanes.under_way.empty());
}

// Answers 200 once as many requests as `wanted` are in it at the same time.
class Meeting final : public MeterEventApi {
 public:
  Meeting(std::atomic<int>& here, int wanted) : here_(here), wanted_(wanted) {}
  ApiAnswer send(const MeterEvent& event) override {
    (void)event;
    ++here_;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (here_ < wanted_ && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    return answered(here_ >= wanted_ ? 200 : 500);
  }
  MinuteReading read_minute(const MinuteQuery& query) override {
    ADD_FAILURE() << "nobody reads " << query.event_name;
    return {};
  }

 private:
  std::atomic<int>& here_;
  int wanted_;
};

Timestamp noon() { return Timestamp::from_seconds(1'800'000'000); }

TEST(ThreadLanes, EachCarriesARequestAtTheSameTime) {
  std::atomic<int> here{0};
  ThreadLanes lanes(3, [&] { return std::make_unique<Meeting>(here, 3); }, noon);
  EXPECT_EQ(lanes.count(), 3U);
  EXPECT_FALSE(lanes.next(0ms).has_value());
  for (std::size_t tag = 0; tag < 3; ++tag) lanes.start({tag, {}, noon()});
  std::set<std::size_t> tags;
  for (int i = 0; i < 3; ++i) {
    const auto answered = lanes.next(60s);
    ASSERT_TRUE(answered.has_value());
    EXPECT_EQ(answered->answer.status, 200);
    tags.insert(answered->tag);
  }
  EXPECT_EQ(tags, (std::set<std::size_t>{0, 1, 2}));
}

TEST(ThreadLanes, WhatStoodStillForTooLongIsNotSent) {
  std::atomic<int> here{0};
  ThreadLanes lanes(1, [&] { return std::make_unique<Meeting>(here, 1); }, noon);
  lanes.start({7, {}, Timestamp::from_micros(noon().micros() - 1)});
  const auto answered = lanes.next(60s);
  ASSERT_TRUE(answered.has_value());
  EXPECT_EQ(answered->answer.reply, Reply::kNotSent);
  EXPECT_EQ(here, 0);
}

TEST(ThreadLanes, AnExceptionIsAnUnknownOutcome) {
  ThreadLanes lanes(
      1, []() -> std::unique_ptr<MeterEventApi> { throw std::runtime_error("no memory"); }, noon);
  lanes.start({7, {}, noon()});
  const auto answered = lanes.next(60s);
  ASSERT_TRUE(answered.has_value());
  EXPECT_EQ(answered->answer.reply, Reply::kNoAnswer);
  EXPECT_EQ(answered->answer.message, "no memory");
}

}  // namespace
}  // namespace tally::exporter
