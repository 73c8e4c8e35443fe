// The sender against a scripted Stripe, a log in memory and a clock of its own.
#include "tests/unit/exporter/sender_fixture.h"

#include <deque>
#include <string>
#include <vector>

namespace tally::exporter {
namespace {

TEST_F(SenderTest, GroupsShareTheirCommits) {
  options.group_rows = 64;
  for (int i = 1; i <= 1000; ++i) add(i);
  EXPECT_EQ(run().delivered, 1000U);
  EXPECT_LE(log.commits, 1000 / 64 + 2);
  for (const auto& [id, entry] : log.entries) EXPECT_EQ(entry.state, RowState::kDelivered);
}

TEST_F(SenderTest, ALostAnswerIsAskedAgainWithTheSameIdentifierAndKey) {
  add(1);
  stripe.script = {lost(), lost(), duplicate()};
  const SendCounts counts = run();
  EXPECT_EQ(counts.delivered, 1U);
  EXPECT_EQ(counts.duplicates, 1U);
  ASSERT_EQ(stripe.sent.size(), 3U);
  for (const MeterEvent& event : stripe.sent) {
    EXPECT_EQ(event.identifier, "id1");
    EXPECT_EQ(event.idempotency_key, "id1");
  }
  EXPECT_EQ(log.outcomes, (std::vector<std::string>{"unknown", "unknown", "duplicate"}));
}

TEST_F(SenderTest, AStored500GetsANewKeyAndTheSameIdentifier) {
  add(1);
  ApiAnswer replay = answered(500);
  replay.replayed = true;
  stripe.script = {answered(500), replay, replay, ok()};
  EXPECT_EQ(run().delivered, 1U);
  ASSERT_EQ(stripe.sent.size(), 4U);
  EXPECT_EQ(stripe.sent[1].idempotency_key, "id1");
  EXPECT_EQ(stripe.sent[2].idempotency_key, "id1/2");
  EXPECT_EQ(stripe.sent[3].idempotency_key, "id1/3");
  EXPECT_EQ(stripe.sent[3].identifier, "id1");
}

// An answer was lost, the next one said "no active meter", and the row was rejected and planned
// anew: the first send had been counted, and the customer was billed twice.
TEST_F(SenderTest, ARefusalAfterAnUnknownSendIsUncertainNotRejected) {
  ApiAnswer replay = answered(500);
  replay.replayed = true;
  for (const ApiAnswer& unknown : {lost(), answered(502), replay}) {
    rows.clear();
    add(1);
    stripe.script = {unknown, answered(400, "No active meter found for event name \"x\".")};
    EXPECT_EQ(run().uncertain, 1U);
    EXPECT_EQ(log.entries[1].state, RowState::kUncertain);
    log.attempts.clear();
  }
}

// A process that was stopped after it marked its rows sent them when it went on, days later: Stripe
// had forgotten the identifier by then.
TEST_F(SenderTest, WhatWasMarkedLongAgoIsMarkedAgainBeforeItIsSent) {
  for (int i = 1; i <= 3; ++i) add(i);
  stripe.on_send = [this] {
    if (stripe.sent.size() == 1) clock.time = Timestamp::from_seconds(clock.time.seconds() + 601);
  };
  EXPECT_EQ(run().delivered, 3U);
  EXPECT_EQ(stripe.sent.size(), 3U);
  EXPECT_EQ(log.entries[1].attempts, 1);
  EXPECT_EQ(log.entries[2].attempts, 2);
}

TEST_F(SenderTest, ARefusalIsFinalAndDoesNotTouchOthers) {
  add(1);
  add(2);
  stripe.script = {answered(400, "No active meter found for event name \"x\"."), ok()};
  const SendCounts counts = run();
  EXPECT_EQ(counts.rejected, 1U);
  EXPECT_EQ(counts.delivered, 1U);
  EXPECT_NE(log.entries[1].reason.find("No active meter"), std::string::npos);
  EXPECT_EQ(stripe.sent.size(), 2U);
}

TEST_F(SenderTest, AnOutageLeavesRowsPlannedForTheirTwentyThreeHoursHaveNotBegun) {
  for (int i = 1; i <= 500; ++i) add(i);
  stripe.otherwise = not_sent();
  const Timestamp before = clock.time;
  EXPECT_EQ(run().left, 500U);
  for (const auto& [id, entry] : log.entries) {
    EXPECT_EQ(entry.state, RowState::kPlanned);
    EXPECT_TRUE(entry.unsent);
  }
  EXPECT_LT(clock.time.seconds() - before.seconds(), 2 * options.retry_window_seconds);
  EXPECT_LT(stripe.sent.size(), 100U) << "an outage is probed, not hammered";
}

TEST_F(SenderTest, ARowOfUnknownOutcomeStaysSendingWhenItIsLeft) {
  add(1);
  stripe.otherwise = lost();
  EXPECT_EQ(run().left, 1U);
  EXPECT_EQ(log.entries[1].state, RowState::kSending);
  EXPECT_FALSE(log.entries[1].unsent);
}

TEST_F(SenderTest, TwentyThreeHoursAfterTheFirstSendItIsUncertainAndNeverSent) {
  add(1, RowState::kSending);
  add(2, RowState::kSending);
  rows[0].first_sent_at = Timestamp::from_seconds(clock.time.seconds() - kBlindResendSeconds - 1);
  rows[1].first_sent_at = Timestamp::from_seconds(clock.time.seconds() - kBlindResendSeconds + 60);
  const SendCounts counts = run();
  EXPECT_EQ(counts.uncertain, 1U);
  EXPECT_EQ(counts.delivered, 1U);
  ASSERT_EQ(stripe.sent.size(), 1U);
  EXPECT_EQ(stripe.sent[0].identifier, "id2");
}

TEST_F(SenderTest, ARefusedKeyStopsEverythingAndKeepsEveryRow) {
  for (int i = 1; i <= 10; ++i) add(i);
  add(11, RowState::kSending);
  stripe.otherwise = answered(401, "Invalid API Key provided");
  const SendCounts counts = run();
  EXPECT_EQ(counts.left, 11U);
  EXPECT_EQ(stripe.sent.size(), 1U);
  EXPECT_NE(counts.stopped_because.find("check stripe-key"), std::string::npos);
  EXPECT_EQ(log.entries[1].state, RowState::kPlanned);
  EXPECT_EQ(log.entries[10].state, RowState::kPlanned);
  EXPECT_EQ(log.entries[11].state, RowState::kSending) << "unknown before, unknown now";
}

TEST_F(SenderTest, RetryAfterAndShouldRetryAreHonoured) {
  add(1);
  ApiAnswer slow = answered(429);
  slow.rate_limited_reason = "global-rate";
  slow.retry_after_seconds = 20;
  stripe.script = {slow, ok()};
  const Timestamp before = clock.time;
  EXPECT_EQ(run().delivered, 1U);
  EXPECT_GE(clock.time.seconds() - before.seconds(), 20);

  add(2);
  rows.erase(rows.begin());
  stripe.sent.clear();
  ApiAnswer no = answered(409);
  no.should_retry = false;
  stripe.script = {no};
  EXPECT_EQ(run().left, 1U);
  EXPECT_EQ(stripe.sent.size(), 1U);
  EXPECT_EQ(log.entries[2].state, RowState::kPlanned);
}

// 25 calls in any second are what Stripe allows in test mode; this worker could make 100.
TEST_F(SenderTest, ItSlowsDownToWhatStripeTakesAndNotMuchFurther) {
  for (int i = 1; i <= 1'000; ++i) add(i);
  std::deque<Timestamp> passed;
  int refused = 0;
  stripe.on_send = [&] {
    while (!passed.empty() && clock.time.micros() - passed.front().micros() >= 1'000'000)
      passed.pop_front();
    if (passed.size() < 25) return passed.push_back(clock.time);
    ++refused;
    ApiAnswer slow = answered(429, "Request rate limit exceeded.");
    slow.rate_limited_reason = "endpoint-rate";
    stripe.script = {slow};
  };
  const Timestamp before = clock.time;
  EXPECT_EQ(run().delivered, 1'000U);
  EXPECT_LT(clock.time.seconds() - before.seconds(), 1'000 / 25 * 3 / 2);
  EXPECT_LT(refused, 200) << "a limit is probed, not hammered";
}

TEST_F(SenderTest, AStopBetweenRequestsLeavesTheRest) {
  for (int i = 1; i <= 3; ++i) add(i);
  clock.stop_asked = true;
  EXPECT_EQ(run().left, 3U);
  EXPECT_TRUE(stripe.sent.empty());
}

TEST(DeliveryRules, TheTableOfAnswers) {
  struct Row {
    const char* name;
    ApiAnswer answer;
    Verdict verdict;
    bool maybe_applied;
  };
  ApiAnswer ours = ok();
  ours.identifier = "id1";
  ApiAnswer other = ok();
  other.identifier = "id2";
  ApiAnswer coded = answered(400, "whatever");
  coded.error_code = "duplicate_meter_event";
  ApiAnswer proxy = answered(400, "bad gateway page");
  proxy.is_stripe_error = false;
  ApiAnswer again = answered(400, "try again");
  again.should_retry = true;
  ApiAnswer key_reuse = answered(400, "Keys for idempotent requests …");
  key_reuse.error_type = "idempotency_error";
  const std::vector<Row> table{
      {"200", ours, Verdict::kDelivered, true},
      {"200 of a proxy", ok(), Verdict::kRetry, true},
      {"200 that names another event", other, Verdict::kRetry, true},
      {"duplicate", duplicate(), Verdict::kDuplicate, true},
      {"duplicate by code", coded, Verdict::kDuplicate, true},
      {"duplicate of another identifier",
       answered(400, "An event already exists with identifier id77."), Verdict::kRejected, false},
      {"400", answered(400, "bad value"), Verdict::kRejected, false},
      {"404", answered(404, "No such meter"), Verdict::kRejected, false},
      {"400 of a proxy", proxy, Verdict::kRetry, true},
      {"400 with Should-Retry", again, Verdict::kRetry, false},
      {"idempotency_error", key_reuse, Verdict::kHeld, true},
      {"401", answered(401), Verdict::kStop, false},
      {"403", answered(403), Verdict::kStop, false},
      {"302", answered(302), Verdict::kStop, false},
      {"409", answered(409), Verdict::kRetry, false},
      {"429", answered(429), Verdict::kRetry, false},
      {"500", answered(500), Verdict::kRetry, true},
      {"503", answered(503), Verdict::kRetry, true},
      {"no answer", lost(), Verdict::kRetry, true},
      {"no connection", not_sent(), Verdict::kRetry, false},
  };
  for (const Row& row : table) {
    const Decision decision = decide(row.answer, "id1", Before::kNoneArrived);
    EXPECT_EQ(decision.verdict, row.verdict) << row.name;
    EXPECT_EQ(decision.maybe_applied, row.maybe_applied) << row.name;
  }
}

// A 502 page with an umlaut across the cut made the whole report impossible to store, and with it
// the deliveries of other customers.
TEST(DeliveryRules, WhatOthersSaidIsStorableWhereverItIsCut) {
  ApiAnswer page = answered(502, std::string(499, 'x') + "\xc3\xa9 \xe9 " + '\0' + " page");
  page.is_stripe_error = false;
  const std::string reason = decide(page, "id1", Before::kNoneArrived).reason;
  EXPECT_LE(reason.size(), 500U);
  for (const char c : reason) EXPECT_TRUE(c >= 0x20 && c <= 0x7e) << static_cast<int>(c);
  const std::string latin = decide(answered(400, "caf\xe9"), "id1", Before::kNoneArrived).reason;
  EXPECT_EQ(latin, "400 caf?");
}

}  // namespace
}  // namespace tally::exporter
