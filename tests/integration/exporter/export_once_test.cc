// Promise P5 on real processes: whatever happens between the exporter and Stripe, Stripe's totals
// are the totals in Postgres, to the last digit.
#include "tests/integration/support/export_stage.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

namespace tally::integration {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// One sum meter, known at Stripe, and tenants t1 … tN with N different totals.
class ExportOnce : public testing::Test {
 protected:
  void set_up_tenants(int count) {
    stage_.add_meter("tokens", "sum", 2);
    stage_.add_stripe_meter("tokens", "sum");
    for (int i = 1; i <= count; ++i) {
      stage_.add_tenant(name(i));
      stage_.add_usage(name(i), "tokens", std::to_string(i) + ".25");
    }
    tenants_ = count;
  }
  static std::string name(int i) { return "t" + std::to_string(i); }

  void expect_all_at_stripe(const std::string& fraction = ".25") {
    for (int i = 1; i <= tenants_; ++i) {
      EXPECT_EQ(stage_.oracle("tokens", "cus_" + name(i)), std::to_string(i) + fraction);
    }
    EXPECT_EQ(stage_.count("tally.outbox WHERE state NOT IN ('delivered', 'rejected')"), 0);
    // The second side of the same books.
    EXPECT_EQ(stage_.count(
                  "tally.export_period p WHERE planned <> (SELECT coalesce(sum(value::numeric), 0)"
                  " FROM tally.outbox o WHERE (o.tenant, o.meter, o.period_start)"
                  " = (p.tenant, p.meter, p.period_start) AND o.state <> 'rejected'"
                  " AND o.formula = 'sum')"),
              0);
  }

  ExportStage stage_;
  int tenants_ = 0;
};

TEST_F(ExportOnce, SendsEveryTotalAndASecondRunHasNothingToDo) {
  set_up_tenants(30);
  stage_.add_meter("seats", "latest", 0);
  stage_.add_stripe_meter("seats", "last");
  stage_.set_gauge("t1", "seats", R"({"host":"a"})", "3");
  stage_.set_gauge("t1", "seats", R"({"host":"b"})", "4");

  const ExportRun dry = stage_.export_once({}, {"--once=false", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.errors;
  EXPECT_EQ(json::parse(dry.output)["rows"].size(), 31U);
  EXPECT_EQ(stage_.count("tally.outbox"), 0);

  const ExportRun first = stage_.export_once();
  EXPECT_EQ(first.exit_code, 0) << first.output << first.errors;
  EXPECT_EQ(json::parse(first.output)["delivered"], 31);
  expect_all_at_stripe();
  EXPECT_EQ(stage_.oracle("seats", "cus_t1"), "7");

  const ExportRun second = stage_.export_once();
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_EQ(json::parse(second.output)["rows_planned"], 0);
  EXPECT_EQ(stage_.oracle_events("tokens"), 30);
}

TEST_F(ExportOnce, GrowthAndCorrectionsAreIncrements) {
  set_up_tenants(3);
  ASSERT_EQ(stage_.export_once().exit_code, 0);
  for (int i = 1; i <= 3; ++i) stage_.add_usage(name(i), "tokens", "0.5");
  ASSERT_EQ(stage_.export_once().exit_code, 0);
  expect_all_at_stripe(".75");
  for (int i = 1; i <= 3; ++i) stage_.add_usage(name(i), "tokens", "-0.7");
  ASSERT_EQ(stage_.export_once().exit_code, 0);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(stage_.oracle("tokens", "cus_" + name(i)),
              i == 1 ? "1.05" : std::to_string(i) + ".05");
  }
  EXPECT_EQ(stage_.oracle_events("tokens"), 9);
}

TEST_F(ExportOnce, LargestReadingsAndUniqueCountsGoAsIncrements) {
  for (const auto& [meter, aggregation] :
       {std::pair("peak", "max"), std::pair("users", "unique_count"), std::pair("floor", "min")}) {
    stage_.add_meter(meter, aggregation, 0);
    stage_.add_stripe_meter(meter, "sum");
  }
  stage_.add_tenant("t1");
  stage_.set_gauge("t1", "peak", R"({"host":"a"})", "3");
  stage_.set_gauge("t1", "peak", R"({"host":"b"})", "4");
  stage_.set_gauge("t1", "floor", "{}", "2");
  stage_.add_unique("t1", "users", R"({"host":"a"})", {1, 2, 3});
  stage_.add_unique("t1", "users", R"({"host":"b"})", {3, 4});
  ASSERT_EQ(stage_.export_once().exit_code, 0);
  EXPECT_EQ(stage_.oracle("peak", "cus_t1"), "7");
  EXPECT_EQ(stage_.oracle("users", "cus_t1"), "4") << "3 was seen under both";

  stage_.set_gauge("t1", "peak", R"({"host":"a"})", "8");
  stage_.add_unique("t1", "users", R"({"host":"b"})", {1, 9});
  ASSERT_EQ(stage_.export_once().exit_code, 0);
  EXPECT_EQ(stage_.oracle("peak", "cus_t1"), "12");
  EXPECT_EQ(stage_.oracle("users", "cus_t1"), "5");
  EXPECT_EQ(stage_.oracle_events("peak"), 2);
  EXPECT_EQ(stage_.oracle_events("floor"), 0) << "what falls is no increment";
}

TEST_F(ExportOnce, MoreThan15DigitsArriveInParts) {
  stage_.add_meter("tokens", "sum", 3);
  stage_.add_stripe_meter("tokens", "sum");
  stage_.add_tenant("big");
  stage_.add_usage("big", "tokens", "1234567890123456.789");
  const ExportRun run = stage_.export_once();
  EXPECT_EQ(run.exit_code, 0) << run.output << run.errors;
  EXPECT_EQ(stage_.oracle("tokens", "cus_big"), "1234567890123456.789");
  EXPECT_EQ(stage_.oracle_events("tokens"), 3);
}

TEST_F(ExportOnce, LostAnswersAndErrorsLoseNothingAndDoubleNothing) {
  set_up_tenants(60);
  stage_.faults(R"([{"kind":"drop_after","count":9,"match":"meter_events"},
                    {"kind":"drop_before","count":5,"match":"meter_events"},
                    {"kind":"status_500","count":3,"match":"meter_events"},
                    {"kind":"status_500_after","count":3,"match":"meter_events"},
                    {"kind":"status_503","count":2,"match":"meter_events"},
                    {"kind":"status_409","count":4,"match":"meter_events"},
                    {"kind":"status_429","count":4,"match":"meter_events"}])");
  const ExportRun run = stage_.export_once();
  EXPECT_EQ(run.exit_code, 0) << run.output << run.errors;
  expect_all_at_stripe();
  EXPECT_EQ(stage_.oracle_events("tokens"), 60);
  EXPECT_GE(stage_.count("tally.export_attempt WHERE outcome = 'unknown'"), 9);
  EXPECT_GE(stage_.count("tally.outbox WHERE key_number > 1"), 1) << "a stored 500 needs a new key";
}

TEST_F(ExportOnce, KilledAtEachStepTheNextRunEndsWithTheSameTotals) {
  set_up_tenants(200);
  std::int64_t unknown = 0;
  for (const char* failpoint : {"exporter.before_send=kill@2", "exporter.after_send=kill@3",
                                "exporter.after_delivered=kill"}) {
    const ExportRun killed = stage_.export_once({{"TALLY_FAILPOINTS", failpoint}});
    EXPECT_EQ(killed.exit_code, -SIGKILL) << failpoint << killed.errors;
    unknown += stage_.count("tally.outbox WHERE state = 'sending'");
  }
  EXPECT_GT(unknown, 0) << "no kill left a row of unknown outcome";
  const ExportRun last = stage_.export_once();
  EXPECT_EQ(last.exit_code, 0) << last.output << last.errors;
  expect_all_at_stripe();
  EXPECT_EQ(stage_.oracle_events("tokens"), 200);
}

TEST_F(ExportOnce, AKeyThatIsRefusedStopsEverythingAndKeepsTheRows) {
  set_up_tenants(3);
  const ExportRun run = stage_.export_once({{"TALLY_STRIPE_KEY", "not-a-key"}});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.output.find("check stripe-key"), std::string::npos) << run.output;
  EXPECT_EQ(run.output.find("not-a-key"), std::string::npos);
  EXPECT_EQ(stage_.count("tally.outbox WHERE state = 'planned' AND first_sent_at IS NULL"), 3);
  EXPECT_EQ(stage_.export_once().exit_code, 0);
  expect_all_at_stripe();
}

TEST_F(ExportOnce, ARejectedRowsQuantityIsPlannedAnewWithANewIdentifier) {
  stage_.add_meter("tokens", "sum", 2);
  stage_.add_tenant("t1");
  stage_.add_usage("t1", "tokens", "1.25");
  tenants_ = 1;
  const ExportRun refused = stage_.export_once();
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(json::parse(refused.output)["rejected"], 1);
  EXPECT_EQ(
      stage_.count("tally.outbox WHERE state = 'rejected' AND reason LIKE '%No active meter%'"), 1);
  stage_.add_stripe_meter("tokens", "sum");
  const ExportRun good = stage_.export_once();
  EXPECT_EQ(good.exit_code, 0) << good.output;
  expect_all_at_stripe();
  EXPECT_EQ(
      stage_.count("(SELECT DISTINCT identifier, idempotency_key, event_time FROM tally.outbox) o"),
      2);
}

TEST_F(ExportOnce, NumbersBeyondTheRangeAreHeldWithAReason) {
  set_up_tenants(1);
  stage_.add_tenant("huge");
  stage_.add_usage("huge", "tokens", "999999999999999999999999999999999");
  const ExportRun run = stage_.export_once();
  EXPECT_EQ(run.exit_code, 1);
  const json account = json::parse(run.output);
  EXPECT_EQ(account["held"], 1);
  EXPECT_EQ(account["delivered"], 1);
  EXPECT_EQ(stage_.count("tally.export_period WHERE tenant = 'huge' AND hold_reason IS NOT NULL"),
            1);
  EXPECT_EQ(stage_.count("tally.outbox WHERE tenant = 'huge'"), 0);
}

// The answer is lost, the row stays `sending`; then a day passes.
constexpr const char* kADayLater =
    "UPDATE tally.outbox SET first_sent_at = first_sent_at - interval '24 hours',"
    " last_sent_at = last_sent_at - interval '24 hours'";

TEST_F(ExportOnce, AnUnknownOutcomeOlderThan23HoursIsReadBackAndNeverSentAgain) {
  set_up_tenants(1);
  ASSERT_EQ(stage_.export_once({{"TALLY_FAILPOINTS", "exporter.after_send=kill"}}).exit_code,
            -SIGKILL);
  stage_.sql().exec(kADayLater);
  stage_.add_usage("t1", "tokens", "5");
  const ExportRun doubtful = stage_.export_once();
  EXPECT_EQ(doubtful.exit_code, 1);
  EXPECT_EQ(json::parse(doubtful.output)["uncertain"], 1);
  EXPECT_EQ(json::parse(doubtful.output)["attempts"], 0);
  EXPECT_EQ(json::parse(doubtful.output)["rows_planned"], 0) << "use does not pass the open row";

  const ExportRun read = stage_.export_once();
  EXPECT_EQ(read.exit_code, 0) << read.output << read.errors;
  EXPECT_EQ(json::parse(read.output)["read_back_delivered"], 1);
  EXPECT_EQ(json::parse(read.output)["rows_planned"], 1);
  EXPECT_EQ(stage_.oracle("tokens", "cus_t1"), "6.25");
  EXPECT_EQ(stage_.oracle_events("tokens"), 2);
}

TEST_F(ExportOnce, WhatTwoReadingsDoNotShowIsPlannedAnew) {
  set_up_tenants(1);
  ASSERT_EQ(stage_.export_once({{"TALLY_FAILPOINTS", "exporter.before_send=kill"}}).exit_code,
            -SIGKILL);
  stage_.sql().exec(kADayLater);
  EXPECT_EQ(json::parse(stage_.export_once().output)["uncertain"], 1);
  for (int early = 0; early < 2; ++early) {
    const ExportRun first = stage_.export_once();
    EXPECT_EQ(json::parse(first.output)["uncertain"], 1) << first.output << first.errors;
    EXPECT_EQ(json::parse(first.output)["rows_planned"], 0);
  }
  EXPECT_EQ(stage_.count("tally.outbox WHERE read_at IS NOT NULL AND read_value IS NULL"), 1);
  stage_.sql().exec("UPDATE tally.outbox SET read_at = read_at - interval '10 minutes'");
  const ExportRun second = stage_.export_once();
  EXPECT_EQ(second.exit_code, 0) << second.output << second.errors;
  EXPECT_EQ(json::parse(second.output)["read_back_absent"], 1);
  expect_all_at_stripe();
  EXPECT_EQ(stage_.oracle_events("tokens"), 1);
  EXPECT_EQ(stage_.count("tally.outbox WHERE state = 'rejected'"), 1);
}

TEST_F(ExportOnce, OnlyOneExporterWorksOnADatabase) {
  set_up_tenants(1);
  Process first(stage_.exporter_command({"--once"}),
                {{"TALLY_FAILPOINTS", "exporter.before_send=sleep:60000"}}, stage_.path("first"));
  while (stage_.count("tally.outbox WHERE state = 'sending'") == 0)
    std::this_thread::sleep_for(20ms);
  const ExportRun second = stage_.export_once({}, {"--lock-wait-seconds", "0"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.errors.find("another tally-exporter"), std::string::npos) << second.errors;
}

TEST_F(ExportOnce, ScheduledItBecomesReadyAndEndsOnSigterm) {
  set_up_tenants(5);
  Process service(stage_.exporter_command(
                      {"--listen", "127.0.0.1:0", "--port-file", stage_.path("health").string()}),
                  {}, stage_.path("service"));
  while (stage_.oracle_events("tokens") < 5) std::this_thread::sleep_for(20ms);
  std::string port;
  std::ifstream(stage_.path("health")) >> port;
  runtime::http::Client client("http://127.0.0.1:" + port);
  runtime::http::Request ready;
  ready.target = "/readyz";
  while (client.send(ready, 5s).response.status != 200) std::this_thread::sleep_for(20ms);
  runtime::http::Request metrics;
  metrics.target = "/metrics";
  const std::string text = client.send(metrics, 5s).response.body;
  EXPECT_NE(text.find("tally_exporter_answers_total{outcome=\"delivered\"} 5"), std::string::npos)
      << text;
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait(), 0);
  expect_all_at_stripe();
}

TEST_F(ExportOnce, NothingIsSentAfterTheTimeThatUntilNames) {
  set_up_tenants(2);
  const ExportRun late = stage_.export_once({}, {"--until", "2026-01-01T00:00:00Z"});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_NE(late.output.find("--until"), std::string::npos) << late.output << late.errors;
  EXPECT_EQ(stage_.oracle_events("tokens"), 0);
  EXPECT_NE(stage_.export_once({}, {"--until", "tomorrow"}).errors.find("RFC 3339"),
            std::string::npos);
  EXPECT_EQ(stage_.export_once({}, {"--until", "2100-01-01T00:00:00Z"}).exit_code, 0);
  expect_all_at_stripe();
}

TEST_F(ExportOnce, AScheduleThatIsNoneIsRefusedBeforeAnything) {
  set_up_tenants(1);
  const ExportRun run = stage_.export_once({}, {"--schedule", "61 * * * *"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_NE(run.errors.find("--schedule '61 * * * *': '61' is no minute"), std::string::npos)
      << run.errors;
  EXPECT_EQ(stage_.oracle_events("tokens"), 0);
}

TEST_F(ExportOnce, WithoutAKeyNothingLeavesTheMachine) {
  const ExportRun run = stage_.export_once({}, {"--stripe-url", "https://192.0.2.1"});
  EXPECT_NE(run.exit_code, 0);
  EXPECT_NE(run.errors.find("only this machine"), std::string::npos) << run.errors;
}

}  // namespace
}  // namespace tally::integration
