// Faults by a seeded plan.
#include "tests/unit/sandbox/faults_fixture.h"

#include <set>

namespace tally::sandbox {
namespace {

using std::chrono::milliseconds;

TEST_F(FaultsTest, WrongPlansAreRefused) {
  for (const char* wrong : {R"({"seed":1})", R"({"seed":1,"faults":[{"kind":"drop_after"}]})",
                            R"({"seed":1,"faults":[{"kind":"drop_after","rate":1.1}]})",
                            R"({"seed":1,"faults":[{"kind":"drop_after","rate":-0.1}]})",
                            R"({"seed":1,"faults":[{"kind":"delay_ms","rate":0.6}]})",
                            R"({"seed":1,"faults":[{"kind":"drop_after","rate":0.5,"count":3}]})",
                            R"({"faults":[{"kind":"drop_after","rate":0.5}]})"}) {
    EXPECT_EQ(call("POST", "/sandbox/fault_plan", wrong).status, 400) << wrong;
  }
  EXPECT_TRUE(json(call("GET", "/sandbox/fault_plan"))["faults"].empty());
}

// What each of 400 requests meets at each of its first two tries: the status, "cut" or "slow".
class FaultPlanTest : public FaultsTest {
 protected:
  static constexpr const char* kPlan = R"({"seed":7,"faults":[
    {"match":"meter_events","kind":"drop_before","rate":0.1},
    {"match":"meter_events","kind":"status_500_unstored","rate":0.1},
    {"match":"meter_events","kind":"status_503","rate":0.1,"should_retry":"true"}]})";

  std::string fate(int number) {
    const std::string key = "k" + std::to_string(number);
    const auto response = event("i" + std::to_string(number), "1", "", key);
    return response.drop_connection ? "cut" : std::to_string(response.status);
  }
  std::map<int, std::vector<std::string>> fates(bool backwards) {
    start();
    meter();
    plan(kPlan);
    std::map<int, std::vector<std::string>> out;
    for (int i = 0; i < 400; ++i) {
      const int number = backwards ? 399 - i : i;
      out[number].push_back(fate(number));
      out[number].push_back(fate(number));
    }
    return out;
  }
};

TEST_F(FaultPlanTest, StrikesAtItsRates) {
  plan(kPlan);
  std::map<std::string, int> seen;
  for (int i = 0; i < 2'000; ++i) ++seen[fate(i)];
  for (const char* kind : {"cut", "500", "503"}) {
    EXPECT_GT(seen[kind], 120) << kind;
    EXPECT_LT(seen[kind], 260) << kind;
  }
  EXPECT_EQ(counters()["faults"]["drop_before"], seen["cut"]);
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200) << "only what matches is struck";
}

TEST_F(FaultPlanTest, IsTheSameForEachRequestWhateverComesBetween) {
  const auto forwards = fates(false);
  EXPECT_EQ(fates(true), forwards);
  std::set<std::string> second;
  for (const auto& [number, tries] : forwards) {
    if (tries[0] != "200") second.insert(tries[1]);
  }
  EXPECT_GT(second.size(), 1U) << "another try draws anew";
}

TEST_F(FaultPlanTest, MayBeThereFromTheStart) {
  SandboxOptions options;
  options.fault_plan =
      nlohmann::json::parse(R"({"seed":1,"faults":[{"kind":"status_502","rate":1}]})");
  sandbox_ = std::make_unique<Sandbox>(options);
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 502);
  for (const char* wrong : {"[]", R"({"seed":-1,"faults":[]})", R"({"seed":1,"faults":[{}]})",
                            R"({"seed":1,"faults":[{"kind":7,"rate":1}]})"}) {
    options.fault_plan = nlohmann::json::parse(wrong);
    EXPECT_THROW(Sandbox{options}, std::runtime_error) << wrong;
  }
}

TEST_F(FaultPlanTest, EndsWhenRemovedAndComesAfterWhatWasAskedFor) {
  plan(R"({"seed":1,"faults":[{"kind":"status_503","rate":1}]})");
  faults(R"({"kind":"drop_before"})");
  EXPECT_EQ(fate(1), "cut");
  EXPECT_EQ(fate(1), "503");
  EXPECT_EQ(json(call("GET", "/sandbox/fault_plan"))["seed"], 1);
  call("DELETE", "/sandbox/fault_plan");
  EXPECT_EQ(fate(1), "200");
}

// Each kind is drawn in turn at its own rate, and the first that strikes wins.
TEST_F(FaultPlanTest, EveryFaultMayHaveATenth) {
  nlohmann::json all = nlohmann::json::array();
  for (const char* kind :
       {"status_500", "status_500_after", "status_500_unstored", "status_500_after_unstored",
        "status_502", "status_502_after", "status_503", "status_503_after", "status_429",
        "status_409", "drop_before", "drop_after", "reset_before", "reset_after", "timeout_before",
        "timeout_after"}) {
    all.push_back({{"match", "meter_events"}, {"kind", kind}, {"rate", 0.1}});
  }
  all.push_back({{"match", "meter_events"}, {"kind", "delay_ms"}, {"rate", 0.1}, {"value", 5}});
  plan(nlohmann::json{{"seed", 3}, {"faults", all}}.dump());
  int untouched = 0;
  for (int i = 0; i < 2'000; ++i) {
    const auto response = event("i" + std::to_string(i), "1");
    if (response.status == 200 && response.delay.count() == 0 && !response.drop_connection) {
      ++untouched;
    }
    steady_ += milliseconds(5);  // past what delay_ms holds
  }
  EXPECT_NEAR(untouched, 334, 60) << "0.9 to the 17th of 2,000";
  EXPECT_EQ(counters()["faults"].size(), all.size()) << "each has struck";
}

TEST_F(FaultPlanTest, AFaultElsewhereTakesNothingFromTheOthers) {
  plan(R"({"seed":1,"faults":[{"match":"customers","kind":"status_503","rate":1},
                              {"match":"meter_events","kind":"drop_before","rate":1}]})");
  EXPECT_EQ(fate(1), "cut");
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
}

// Stripe's SDKs make a new key for each call: what an event meets hangs on its identifier.
TEST_F(FaultPlanTest, IsTheSameUnderOtherKeys) {
  const auto statuses = [&](const std::string& keys) {
    start();
    meter();
    plan(kPlan);
    std::vector<int> out;
    for (int i = 0; i < 200; ++i) {
      const std::string number = std::to_string(i);
      const auto response = event("i" + number, "1", "", keys + number);
      out.push_back(response.drop_connection ? 0 : response.status);
    }
    return out;
  };
  const auto with_keys = statuses("k");
  EXPECT_EQ(statuses("other"), with_keys);
  EXPECT_THAT(with_keys, testing::Contains(503));
}

TEST_F(FaultPlanTest, LeavesNoSeedBehind) {
  plan(R"({"seed":9,"faults":[{"kind":"status_503","rate":1}]})");
  call("DELETE", "/sandbox/fault_plan");
  EXPECT_EQ(json(call("GET", "/sandbox/fault_plan"))["seed"], 0);
}

}  // namespace
}  // namespace tally::sandbox
