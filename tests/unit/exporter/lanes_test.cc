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
class LastFirst : public Lanes {
 public:
  LastFirst(std::size_t count, Clock& clock) : count_(count), clock_(clock) {}
  [[nodiscard]] std::size_t count() const override { return count_; }
  void start(Sending sending) override {
    EXPECT_LT(under_way.size(), count_);
    for (const Sending& other : under_way)
      EXPECT_NE(other.event.stripe_customer, sending.event.stripe_customer) << "two at once";
    started.push_back(clock_.time);
    latest.push_back(sending.not_after);
    answers_.push_back(answer_of(sending));  // Stripe decides as it comes
    under_way.push_back(std::move(sending));
    most = std::max(most, under_way.size());
  }
  std::optional<Answered> next(std::chrono::milliseconds time) override {
    (void)time;
    if (under_way.empty()) return std::nullopt;
    clock_.time = Timestamp::from_micros(clock_.time.micros() + 1'000);
    Answered answered{under_way.back().tag, std::move(answers_.back())};
    under_way.pop_back();
    answers_.pop_back();
    return answered;
  }
  std::function<ApiAnswer(const Sending&)> answer_of = [](const Sending& sending) {
    ApiAnswer answer = ok();
    answer.identifier = sending.event.identifier;
    return answer;
  };
  std::vector<Sending> under_way;
  std::vector<Timestamp> started;
  std::vector<Timestamp> latest;
  std::size_t most = 0;

 private:
  std::size_t count_;
  Clock& clock_;
  std::vector<ApiAnswer> answers_;  // of those under way
};

class AtOnceTest : public SenderTest {
 protected:
  void add_of(std::int64_t id, const std::string& customer) {
    add(id);
    rows.back().stripe_customer = customer;
  }
  std::int64_t requests_per_second = 0;
  SendCounts run_on(Lanes& lanes) {
    SendPace pace(requests_per_second, lanes.count());
    Sender sender(lanes, pace, log, clock, options);
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
  SlowLog slow(clock);
  LastFirst lanes(16, clock);
  SendPace pace(200, 16);
  const Timestamp before = clock.time;
  Sender sender(lanes, pace, slow, clock, options);
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
  SendPace pace(0, 4);
  Sender sender(lanes, pace, failing, clock, options);
  EXPECT_THROW((void)sender.run(rows), std::runtime_error);
  EXPECT_GT(lanes.most, 0U);
  EXPECT_TRUE(lanes.under_way.empty());
}

// It waited for ever for the answer of a request that no lane had taken.
TEST_F(AtOnceTest, ALaneThatTakesNothingEndsTheExport) {
  class Broken final : public LastFirst {
   public:
    using LastFirst::LastFirst;
    void start(Sending sending) override {
      if (started.size() == 2) throw std::runtime_error("no memory");
      LastFirst::start(std::move(sending));
    }
  };
  for (int i = 0; i < 9; ++i) add(i);
  Broken lanes(3, clock);
  EXPECT_THROW((void)run_on(lanes), std::runtime_error);
  EXPECT_TRUE(lanes.under_way.empty());
}

// 32 answers at one moment were five failures in a row, and their pause as long as the time after
// which the other side counts as away.
TEST_F(AtOnceTest, OneMomentOfRefusalsIsNoOutage) {
  for (int i = 0; i < 132; ++i) add(i);
  LastFirst lanes(32, clock);
  int answers = 0;
  lanes.answer_of = [&](const Sending& sending) {
    ApiAnswer answer = ok();
    answer.identifier = sending.event.identifier;
    if (++answers > 32) return answer;
    answer = answered(429, "Request rate limit exceeded.");
    answer.rate_limited_reason = "global-rate";
    answer.retry_after_seconds = 60;
    return answer;
  };
  EXPECT_EQ(run_on(lanes).delivered, 100U);
}

// Its rows were attempts, and failures, and the end of the export.
TEST_F(AtOnceTest, WhatStoodStillIsMarkedAnewAndCountsAsNothing) {
  for (int i = 0; i < 40; ++i) add(i);
  LastFirst lanes(16, clock);
  int answers = 0;
  lanes.answer_of = [&](const Sending& sending) {
    ApiAnswer answer = ok();
    answer.identifier = sending.event.identifier;
    if (++answers <= 16) answer.reply = Reply::kTooLate;
    return answer;
  };
  const SendCounts counts = run_on(lanes);
  EXPECT_EQ(counts.delivered, 40U);
  EXPECT_EQ(counts.attempts, 40U);
  EXPECT_EQ(log.outcomes.size(), 40U);
}

// The commit took until after the time that --until names, and what it had marked was sent.
TEST_F(AtOnceTest, WhatWasMarkedWhenTheTimeCameIsNotSent) {
  class LateLog final : public DeliveryLog {
   public:
    LateLog(Clock& clock, MemoryLog& log) : clock_(clock), log_(log) {}
    void commit(const Report& report, const std::vector<OutboxRow*>& rows, Timestamp now) override {
      log_.commit(report, rows, now);
      clock_.stop_asked = true;
    }

   private:
    Clock& clock_;
    MemoryLog& log_;
  };
  for (int i = 0; i < 10; ++i) add(i);
  LateLog late(clock, log);
  LastFirst lanes(4, clock);
  SendPace pace(0, 4);
  Sender sender(lanes, pace, late, clock, options);
  EXPECT_EQ(sender.run(rows).left, 10U);
  EXPECT_TRUE(lanes.started.empty());
  for (const auto& [id, entry] : log.entries) EXPECT_EQ(entry.state, RowState::kPlanned) << id;
}

TEST_F(AtOnceTest, NoLaneSendsAfterTheTimeThatUntilNames) {
  for (int i = 0; i < 4; ++i) add(i);
  options.until = Timestamp::from_seconds(clock.time.seconds() + 5);
  LastFirst lanes(4, clock);
  (void)run_on(lanes);
  ASSERT_EQ(lanes.latest.size(), 4U);
  for (const Timestamp latest : lanes.latest) EXPECT_EQ(latest, *options.until);
}

// Stripe takes 25 calls in any second of a test-mode key.
TEST_F(AtOnceTest, ItSlowsDownToWhatStripeTakesWithManyLanes) {
  for (int i = 0; i < 1'000; ++i) add(i);
  LastFirst lanes(32, clock);
  std::deque<Timestamp> passed;
  int refused = 0;
  lanes.answer_of = [&](const Sending& sending) {
    while (!passed.empty() && clock.time.micros() - passed.front().micros() >= 1'000'000)
      passed.pop_front();
    ApiAnswer answer = ok();
    answer.identifier = sending.event.identifier;
    if (passed.size() < 25) {
      passed.push_back(clock.time);
      return answer;
    }
    ++refused;
    answer = answered(429, "Request rate limit exceeded.");
    answer.rate_limited_reason = "endpoint-rate";
    return answer;
  };
  const Timestamp before = clock.time;
  EXPECT_EQ(run_on(lanes).delivered, 1'000U);
  EXPECT_LT(clock.time.seconds() - before.seconds(), 1'000 / 25 * 2);
  EXPECT_LT(refused, 120) << "a limit is probed, not hammered";
}

TEST_F(AtOnceTest, WhereTheNumberAtOnceIsRefusedFewerGo) {
  for (int i = 0; i < 600; ++i) add(i);
  LastFirst lanes(32, clock);
  int refused = 0;
  lanes.answer_of = [&](const Sending& sending) {
    ApiAnswer answer = ok();
    answer.identifier = sending.event.identifier;
    if (lanes.under_way.size() < 10) return answer;
    ++refused;
    answer = answered(429, "Too many concurrent requests.");
    answer.rate_limited_reason = "endpoint-concurrency";
    return answer;
  };
  EXPECT_EQ(run_on(lanes).delivered, 600U);
  EXPECT_LT(refused, 200);
}

// A row that was given up right behind a replayed 500 had two transitions in one report, which the
// table takes as the work of somebody else.
TEST_F(AtOnceTest, ARowHasOneTransitionInAReport) {
  class OneEach final : public DeliveryLog {
   public:
    explicit OneEach(MemoryLog& log) : log_(log) {}
    void commit(const Report& report, const std::vector<OutboxRow*>& rows, Timestamp now) override {
      std::set<std::int64_t> ids;
      for (const Transition& transition : report.transitions)
        EXPECT_TRUE(ids.insert(transition.id).second) << transition.id;
      log_.commit(report, rows, now);
    }

   private:
    MemoryLog& log_;
  };
  add(1);
  OneEach one_each(log);
  LastFirst lanes(1, clock);
  lanes.answer_of = [](const Sending&) {
    ApiAnswer replay = answered(500);
    replay.replayed = true;
    replay.should_retry = false;
    return replay;
  };
  SendPace pace(0, 1);
  Sender sender(lanes, pace, one_each, clock, options);
  EXPECT_EQ(sender.run(rows).left, 1U);
  EXPECT_EQ(log.entries[1].key, "id1/2");
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
  EXPECT_EQ(answered->answer.reply, Reply::kTooLate);
  EXPECT_EQ(here, 0);
}

TEST(ThreadLanes, WhoseClientCannotBeMadeHasSentNothing) {
  ThreadLanes lanes(
      1, []() -> std::unique_ptr<MeterEventApi> { throw std::runtime_error("no memory"); }, noon);
  lanes.start({7, {}, noon()});
  const auto answered = lanes.next(60s);
  ASSERT_TRUE(answered.has_value());
  EXPECT_EQ(answered->answer.reply, Reply::kNotSent);
  EXPECT_EQ(answered->answer.message, "no memory");
}

TEST(ThreadLanes, AnExceptionOfARequestIsAnUnknownOutcome) {
  class Throwing final : public MeterEventApi {
    ApiAnswer send(const MeterEvent& event) override {
      (void)event;
      throw std::runtime_error("no memory");
    }
    MinuteReading read_minute(const MinuteQuery& query) override {
      (void)query;
      return {};
    }
  };
  ThreadLanes lanes(1, [] { return std::make_unique<Throwing>(); }, noon);
  lanes.start({7, {}, noon()});
  const auto answered = lanes.next(60s);
  ASSERT_TRUE(answered.has_value());
  EXPECT_EQ(answered->answer.reply, Reply::kNoAnswer);
  EXPECT_EQ(answered->answer.message, "no memory");
}

}  // namespace
}  // namespace tally::exporter
