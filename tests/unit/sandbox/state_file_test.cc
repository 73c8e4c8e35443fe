#include "tests/unit/sandbox/sandbox_fixture.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tally::sandbox {
namespace {

class StateFileTest : public SandboxTest {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "sandbox_state." + std::to_string(::getpid());
    start(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

TEST_F(StateFileTest, EverythingSurvivesARestart) {
  const std::string id = meter();
  ASSERT_EQ(event("a", "1.5", "", "k").status, 200);
  ASSERT_EQ(event("b", "2").status, 200);
  call("POST", "/v1/billing/meter_event_adjustments",
       "event_name=tokens&type=cancel&cancel[identifier]=b");
  call("POST", "/sandbox/clock", R"({"now":1800000030})");
  const auto before = totals();
  start(path_);
  EXPECT_EQ(totals(), before);
  EXPECT_EQ(totals()["tokens"]["total"], "1.5");
  EXPECT_EQ(event("a", "1.5", "", "k").header("Idempotent-Replayed"), "true");
  EXPECT_EQ(event("a", "1.5").status, 400);
  EXPECT_EQ(json(call("GET", "/sandbox/clock"))["now"], 1'800'000'030);
  call("POST", "/v1/billing/meters/" + id + "/deactivate");
  start(path_);
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
  start(path_);
  EXPECT_EQ(json(call("GET", "/sandbox/settings"))["error_samples"], 2);
  EXPECT_EQ(totals()["tokens"]["total"], "2");
  EXPECT_EQ(totals()["tokens"]["rejected"], 1);
  EXPECT_EQ(totals()["tokens"]["pending"], 1);
  EXPECT_EQ(json(call("GET", "/v1/customers/cus_1"))["deleted"], true);
  now_ += 10;
  const auto reports = json(call("GET", "/sandbox/notifications"));
  ASSERT_EQ(reports["notifications"].size(), 1U);
  start(path_);
  EXPECT_EQ(json(call("GET", "/sandbox/notifications")), reports) << "reported once";
  now_ += 100;
  EXPECT_EQ(totals()["tokens"]["rejected"], 2);
  EXPECT_EQ(json(call("GET", "/sandbox/notifications"))["notifications"].size(), 2U);
}

TEST_F(StateFileTest, TheCommandLinesSettingsWin) {
  set({{"error_samples", 2}, {"seed", 9}});
  start(path_, 250);
  const auto shown = json(call("GET", "/sandbox/settings"));
  EXPECT_EQ(shown["answer_delay_ms"], 250);
  EXPECT_EQ(shown["seed"], 9);
}

TEST_F(StateFileTest, TornLastLineIsCutOff) {
  meter();
  ASSERT_EQ(event("a", "1").status, 200);
  std::ofstream(path_, std::ios::app) << "{\"event\":{\"cust";
  start(path_);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
  ASSERT_EQ(event("b", "1").status, 200);
  start(path_);
  EXPECT_EQ(totals()["tokens"]["total"], "2");
}

TEST_F(StateFileTest, NonsenseInTheMiddleIsAnError) {
  meter();
  std::ofstream(path_, std::ios::app) << "nonsense\n";
  std::ofstream(path_, std::ios::app) << "{}\n";
  EXPECT_THROW(start(path_), std::runtime_error);
  EXPECT_THROW(start("/nowhere/at/all"), std::runtime_error);
  std::ofstream(path_) << "{\"event\":{\"customer\":\"cus_1\"}}\n";
  EXPECT_THROW(start(path_), std::runtime_error) << "of another version";
}

}  // namespace
}  // namespace tally::sandbox
