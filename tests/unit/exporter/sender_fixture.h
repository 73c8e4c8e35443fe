// The sender's surroundings in tests: a scripted Stripe, a log in memory and a clock of its own.
#pragma once

#include "exporter/sender.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::exporter {

using core::Timestamp;

inline ApiAnswer answered(int status, const std::string& message = {}) {
  ApiAnswer answer;
  answer.reply = Reply::kAnswered;
  answer.status = status;
  answer.message = message;
  answer.is_stripe_error = status >= 400 && status < 500;
  if (answer.is_stripe_error) answer.error_type = "invalid_request_error";
  return answer;
}
inline ApiAnswer lost() {
  ApiAnswer answer;
  answer.reply = Reply::kNoAnswer;
  answer.message = "connection reset";
  return answer;
}
inline ApiAnswer not_sent() {
  ApiAnswer answer;
  answer.reply = Reply::kNotSent;
  answer.message = "connection refused";
  return answer;
}
inline ApiAnswer ok() { return answered(200); }  // the script fills the identifier in
inline ApiAnswer duplicate() {
  return answered(400, "An event already exists with identifier id1.");
}

// What the table tally.outbox would hold, and the rule that matters most: nothing is sent that is
// not committed as sending under the same key.
class MemoryLog final : public DeliveryLog {
 public:
  struct Entry {
    RowState state = RowState::kPlanned;
    std::string key;
    std::string reason;
    bool unsent = true;  // first_sent_at is NULL
    int attempts = 0;
  };
  void commit(const Report& report, const std::vector<OutboxRow*>& rows, Timestamp now) override {
    (void)now;
    ++commits;
    for (const Attempt& attempt : report.attempts) {
      EXPECT_TRUE(attempts.emplace(attempt.outbox_id, attempt.number).second) << "attempt twice";
      outcomes.emplace_back(attempt.outcome);
    }
    for (const Transition& transition : report.transitions) {
      Entry& entry = entries.at(transition.id);
      EXPECT_EQ(entry.state, RowState::kSending) << "a final row moved";
      EXPECT_EQ(entry.attempts, transition.attempts) << "another sender's";
      entry.state = transition.state;
      entry.reason = transition.reason;
      entry.key = transition.idempotency_key;
      if (transition.state == RowState::kPlanned) entry.unsent = true;
    }
    for (const OutboxRow* row : rows) {
      Entry& entry = entries.at(row->id);
      EXPECT_TRUE(entry.state == RowState::kPlanned || entry.state == RowState::kSending);
      entry.state = RowState::kSending;
      entry.unsent = false;
      EXPECT_EQ(entry.attempts, row->attempts) << "another sender's";
      ++entry.attempts;
    }
  }
  std::map<std::int64_t, Entry> entries;
  std::set<std::pair<std::int64_t, int>> attempts;
  std::vector<std::string> outcomes;
  int commits = 0;
};

class Clock final : public SenderClock {
 public:
  Timestamp now() override { return time; }
  bool wait(std::chrono::milliseconds duration) override {
    time = Timestamp::from_micros(time.micros() + duration.count() * 1000);
    return !stop_asked;
  }
  Timestamp time = Timestamp::from_seconds(1'800'000'000);
  bool stop_asked = false;
};

class ScriptedStripe final : public MeterEventApi {
 public:
  ScriptedStripe(MemoryLog& log, Clock& clock) : log_(log), clock_(clock) {}
  ApiAnswer send(const MeterEvent& event) override {
    sent.push_back(event);
    const auto id = std::stoll(event.identifier.substr(2));
    EXPECT_EQ(log_.entries.at(id).state, RowState::kSending) << "sent before it was committed";
    EXPECT_EQ(log_.entries.at(id).key, event.idempotency_key) << "this key is not in the outbox";
    clock_.time = Timestamp::from_micros(clock_.time.micros() + 10'000);
    if (on_send) on_send();
    ApiAnswer answer = otherwise;
    if (!script.empty()) {
      answer = script.front();
      script.pop_front();
    }
    if (answer.reply == Reply::kAnswered && answer.status == 200 && !answer.identifier) {
      answer.identifier = event.identifier;
    }
    return answer;
  }
  MinuteReading read_minute(const MinuteQuery& query) override {
    ADD_FAILURE() << "the sender reads nothing: " << query.event_name;
    return {};
  }
  std::deque<ApiAnswer> script;
  ApiAnswer otherwise = ok();
  std::vector<MeterEvent> sent;
  std::function<void()> on_send;

 private:
  MemoryLog& log_;
  Clock& clock_;
};

// One request at a time, answered as soon as it is sent.
class OneLane final : public Lanes {
 public:
  OneLane(MeterEventApi& api, SenderClock& clock) : api_(api), clock_(clock) {}
  [[nodiscard]] std::size_t count() const override { return 1; }
  void start(Sending sending) override {
    ASSERT_FALSE(answered_.has_value());
    answered_ = {sending.tag, send_in_time(api_, [this] { return clock_.now(); }, sending)};
  }
  std::optional<Answered> next(std::chrono::milliseconds time) override {
    (void)time;
    return std::exchange(answered_, std::nullopt);
  }

 private:
  MeterEventApi& api_;
  SenderClock& clock_;
  std::optional<Answered> answered_;
};

class SenderTest : public testing::Test {
 protected:
  void add(std::int64_t id, RowState state = RowState::kPlanned) {
    OutboxRow row;
    row.id = id;
    row.identifier = "id" + std::to_string(id);
    row.idempotency_key = row.identifier;
    row.stripe_customer = "cus_" + std::to_string(id);
    row.value = "5";
    row.state = state;
    if (state == RowState::kSending) row.first_sent_at = clock.time;
    log.entries[id] = {state, row.idempotency_key, {}, state == RowState::kPlanned, 0};
    rows.push_back(row);
  }
  SendCounts run() {
    OneLane lane(stripe, clock);
    SendPace pace(0, 1);
    Sender sender(lane, pace, log, clock, options);
    return sender.run(rows);
  }
  std::vector<OutboxRow> rows;
  MemoryLog log;
  Clock clock;
  ScriptedStripe stripe{log, clock};
  SenderOptions options;
};

}  // namespace tally::exporter
