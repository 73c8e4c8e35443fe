#include "tests/unit/sandbox/state_file_fixture.h"

#include <algorithm>
#include <fstream>

namespace tally::sandbox {
namespace {

TEST_F(StateFileTest, EverythingSurvivesARestart) {
  const std::string id = meter();
  ASSERT_EQ(event("a", "1.5", "", "k").status, 200);
  ASSERT_EQ(event("b", "2").status, 200);
  call("POST", "/v1/billing/meter_event_adjustments",
       "event_name=tokens&type=cancel&cancel[identifier]=b");
  call("POST", "/sandbox/clock", R"({"now":1800000030})");
  const auto before = totals();
  restart();
  EXPECT_EQ(totals(), before);
  EXPECT_EQ(totals()["tokens"]["total"], "1.5");
  EXPECT_EQ(event("a", "1.5", "", "k").header("Idempotent-Replayed"), "true");
  EXPECT_EQ(event("a", "1.5").status, 400);
  EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], 1'800'000'030);
  call("POST", "/v1/billing/meters/" + id + "/deactivate");
  restart();
  EXPECT_EQ(json(call("GET", "/v1/billing/meters/" + id))["status"], "inactive");
}

TEST_F(StateFileTest, WhatWaitsAndWhatWasRejectedSurvivesARestart) {
  meter();
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}, {"error_samples", 2}});
  event("counted", "2");
  now_ += 60;
  EXPECT_EQ(totals()["tokens"]["total"], "2");
  call("DELETE", "/v1/customers/cus_1");
  event("rejected", "4");
  now_ += 60;
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  event("waits", "8");
  restart();
  EXPECT_EQ(json(call("GET", "/sandbox/settings"))["error_samples"], 2);
  EXPECT_EQ(totals()["tokens"]["total"], "2");
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  EXPECT_EQ(totals()["tokens"]["pending"], 1);
  EXPECT_EQ(json(call("GET", "/v1/customers/cus_1"))["deleted"], true);
  now_ += 10;
  const auto reports = json(call("GET", "/sandbox/notifications"));
  ASSERT_EQ(reports["notifications"].size(), 1U);
  restart();
  EXPECT_EQ(json(call("GET", "/sandbox/notifications")), reports) << "reported once";
  now_ += 100;
  EXPECT_EQ(totals()["tokens"]["rejected"], 2);
  EXPECT_EQ(json(call("GET", "/sandbox/notifications"))["notifications"].size(), 2U);
}

// What a report says was decided with its rejection, whatever the next start is told.
TEST_F(StateFileTest, AReportIsThatOfTheSettingsUnderWhichItWasRejected) {
  meter();
  set({{"unknown_customers", "reject"}, {"error_codes", {{"no_meter", "mine"}}}});
  ASSERT_EQ(event("named", "1", "", "key").status, 200);
  start_with({{"error_request", "idempotency_key"},
              {"error_codes", {{"meter_event_customer_not_found", "other"}}}},
             path_);
  now_ += 20;
  const auto thin = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(thin.size(), 1U);
  const std::string id = thin[0]["id"];
  const auto type = json(call("GET", "/v2/core/events/" + id))["data"]["reason"]["error_types"][0];
  EXPECT_EQ(type["code"], "meter_event_customer_not_found");
  EXPECT_EQ(type["sample_errors"][0]["request"]["identifier"], "named");
}

TEST_F(StateFileTest, AnAccountIsThatOfItsFileUnlessToldOtherwise) {
  const auto account = [&] { return json(call("GET", "/v1/account"))["id"].get<std::string>(); };
  const std::string first = account();
  EXPECT_THAT(first, testing::MatchesRegex("acct_test_[0-9a-f]{16}"));
  restart();
  EXPECT_EQ(account(), first);
  start_with({{"account", "acct_test_other"}}, path_);
  EXPECT_EQ(account(), "acct_test_other");
  restart();
  EXPECT_EQ(account(), first) << "the command line's is not kept";
  set({{"account", "acct_test_moved"}});
  restart();
  EXPECT_EQ(account(), "acct_test_moved");
  for (const char* wrong : {"", "acct_", "cus_1", "acct_a b"}) {
    EXPECT_EQ(settings({{"account", wrong}}).status, 400) << wrong;
  }
  start_with(nlohmann::json::object(), "");
  const std::string second = account();
  start_with(nlohmann::json::object(), "");
  EXPECT_NE(account(), second) << "another book, another account";
  EXPECT_EQ(json(call("GET", "/v1/account"))["object"], "account");
  EXPECT_EQ(call("GET", "/v1/account?surprise=1").status, 400);
}

TEST_F(StateFileTest, TheCommandLinesSettingsWin) {
  set({{"answer_delay_ms", 70}, {"seed", 9}});
  start_with({{"answer_delay_ms", 250}}, path_);
  const auto shown = json(call("GET", "/sandbox/settings"));
  EXPECT_EQ(shown["answer_delay_ms"], 250);
  EXPECT_EQ(shown["seed"], 9);
}

TEST_F(StateFileTest, CustomersSurviveARestart) {
  const auto made = call("POST", "/v1/customers", "name=N");
  call("POST", "/sandbox/customers", R"({"id":"cus_mine"})");
  set({{"unknown_customers", "reject"}});
  restart();
  const std::string id = json(made)["id"];
  EXPECT_EQ(json(call("GET", "/v1/customers/" + id))["name"], "N");
  EXPECT_EQ(call("GET", "/v1/customers/cus_mine").status, 200);
}

TEST_F(StateFileTest, AMovedClockAndAKeptHeaderSurviveARestart) {
  meter();
  call("POST", "/sandbox/clock", R"({"advance_seconds":77})");
  event("a", "1");
  EXPECT_EQ(event("a", "1", "", "k").header("Stripe-Should-Retry"), "false");
  restart();
  EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], kStart + 77);
  const auto replayed = event("a", "1", "", "k");
  EXPECT_EQ(replayed.header("Idempotent-Replayed"), "true");
  EXPECT_EQ(replayed.header("Stripe-Should-Retry"), "false");
}

TEST_F(StateFileTest, RequestIdsDifferFromThoseBeforeTheRestart) {
  const std::string before(call("GET", "/v1/billing/meters").header("Request-Id"));
  restart();
  EXPECT_NE(call("GET", "/v1/billing/meters").header("Request-Id"), before);
}

TEST_F(StateFileTest, TornLastLineIsCutOff) {
  meter();
  ASSERT_EQ(event("a", "1").status, 200);
  std::ofstream(path_, std::ios::app) << "{\"event\":{\"cust";
  restart();
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  ASSERT_EQ(event("b", "1").status, 200);
  restart();
  EXPECT_EQ(totals()["tokens"]["total"], "2");
}

// The file as it is, and as the next start finds it.
TEST_F(StateFileTest, AFileThatIsNoneOfOursIsRefusedAndLeftAsItIs) {
  for (const std::string foreign :
       {"not ours", "not ours\n", "{}\n", "[1]\n", "{\"sandbox_state\":1}\n"}) {
    write(foreign);
    EXPECT_THROW(restart(), std::runtime_error) << foreign;
    EXPECT_EQ(text(), foreign);
  }
  EXPECT_THROW(start_with(gentle(), "/nowhere/at/all"), std::runtime_error);
}

TEST_F(StateFileTest, AnEmptyFileAndOneTornAtItsStartAreNew) {
  for (const std::string begun : {"", "{\"sand"}) {
    write(begun);
    restart();
    meter();
    restart();
    EXPECT_TRUE(totals().contains("tokens"));
  }
}

// Each is refused by a runtime_error that names the file and the line, and nothing is changed.
TEST_F(StateFileTest, LinesThatCannotBeReadAreNamed) {
  meter();
  ASSERT_EQ(event("a", "1").status, 200);
  sandbox_.reset();
  const std::string good = text();
  const auto lines = std::count(good.begin(), good.end(), '\n');
  const std::string place = path_ + ":" + std::to_string(lines + 1);
  for (const std::string wrong :
       {"nonsense", "{}", "[]", "[{}]", "[[]]", R"({"settings":{}})", R"([{"subscription":{}}])",
        R"([{"cancel":5}])", R"([{"cancel":"x"}])", R"([{"event":{"customer":"cus_1"}}])",
        R"([{"settings":{"surprise":1}}])", R"([{"settings":{}},{}])",
        R"([{"clock":{"frozen":1.5,"offset":0}}])",
        R"([{"report":{"created":"x","related_object":null}}])"}) {
    write(good + wrong + "\n");
    EXPECT_THAT(refusal(), testing::HasSubstr(place)) << wrong;
    EXPECT_EQ(text(), good + wrong + "\n");
  }
  write(good + settled_line(good) + settled_line(good));
  EXPECT_THAT(refusal(), testing::HasSubstr(place)) << "an event is settled once";
  std::string other = good;
  other.replace(other.find("\"sum\""), 5, "\"max\"");
  write(other);
  EXPECT_THAT(refusal(), testing::HasSubstr("max"));
}

TEST_F(StateFileTest, OneProcessAtATime) {
  EXPECT_THROW((Journal{path_, [](const nlohmann::json&) {}}), std::runtime_error);
  sandbox_.reset();
  EXPECT_NO_THROW((Journal{path_, [](const nlohmann::json&) {}}));
}

}  // namespace
}  // namespace tally::sandbox
