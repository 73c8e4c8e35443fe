#include "tests/unit/sandbox/sandbox_fixture.h"

#include <set>

namespace tally::sandbox {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class FaultsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter();
  }
  void strike(const std::string& kind) {
    faults(R"({"match":"meter_events","kind":")" + kind + "\"}");
  }
  std::string plan(const std::string& body) {
    const auto response = call("POST", "/sandbox/fault_plan", body);
    EXPECT_EQ(response.status, 200) << response.body;
    return response.body;
  }
  int counted() { return totals()["tokens"]["events"]; }
};

TEST_F(FaultsTest, StrikeTheirNumberOfTimes) {
  faults(R"([{"match":"meter_events","kind":"status_429","count":2,"should_retry":"true"}])");
  const auto limited = event("a", "1");
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.header("Stripe-Should-Retry"), "true");
  EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
  EXPECT_EQ(event("a", "1").status, 429);
  EXPECT_EQ(event("a", "1").status, 200);
  EXPECT_EQ(counted(), 1);
  EXPECT_EQ(counters()["faults"]["status_429"], 2);
}

TEST_F(FaultsTest, DroppedOrResetBeforeIsNotCountedAfterIs) {
  for (const std::string cut : {"drop", "reset"}) {
    const int before = counted();
    strike(cut + "_before");
    const auto lost = event(cut, "1");
    EXPECT_TRUE(lost.drop_connection);
    EXPECT_EQ(lost.reset_connection, cut == "reset");
    EXPECT_EQ(counted(), before);
    strike(cut + "_after");
    const auto lost_answer = event(cut, "1", "", "k" + cut);
    EXPECT_TRUE(lost_answer.drop_connection);
    EXPECT_EQ(lost_answer.reset_connection, cut == "reset");
    EXPECT_EQ(counted(), before + 1);
    EXPECT_THAT(message(event(cut, "1")), HasSubstr("already exists"));
    EXPECT_EQ(event(cut, "1", "", "k" + cut).header("Idempotent-Replayed"), "true");
  }
}

TEST_F(FaultsTest, TimeoutsHoldTheConnectionAndThenCutIt) {
  strike("timeout_before");
  const auto before = event("a", "1");
  EXPECT_EQ(before.delay, milliseconds(60'000)) << "unless told otherwise";
  EXPECT_TRUE(before.drop_connection);
  EXPECT_EQ(counted(), 0);
  faults(R"({"match":"meter_events","kind":"timeout_after","value":5000})");
  const auto after = event("a", "1", "", "k");
  EXPECT_EQ(after.delay, milliseconds(5000));
  EXPECT_TRUE(after.drop_connection);
  EXPECT_EQ(counted(), 1);
  const auto again = event("a", "1", "", "k");
  EXPECT_EQ(again.header("Idempotent-Replayed"), "true")
      << "Stripe was done long ago: only the answer is lost on its way";
}

TEST_F(FaultsTest, SlowAnswersStayInFlight) {
  faults(R"({"kind":"delay_ms","value":1500})");
  EXPECT_EQ(event("a", "1", "", "k").delay, milliseconds(1500));
  EXPECT_EQ(event("a", "1", "", "k").status, 409);
  steady_ += milliseconds(1500);
  EXPECT_EQ(event("a", "1", "", "k").status, 200);
}

TEST_F(FaultsTest, A500MayBeStoredOrNotAndBeforeTheWorkOrAfter) {
  struct Case {
    const char* kind;
    int work;
    int again;  // the status under the same key
    bool replayed;
  };
  for (const Case& one : {Case{"status_500", 0, 500, true}, Case{"status_500_after", 1, 500, true},
                          Case{"status_500_unstored", 0, 200, false},
                          Case{"status_500_after_unstored", 1, 400, false}}) {
    const std::string kind = one.kind;
    const int before = counted();
    strike(kind);
    const auto failed = event(kind, "1", "", kind);
    EXPECT_EQ(failed.status, 500) << kind;
    EXPECT_EQ(json(failed)["error"]["type"], "api_error");
    EXPECT_EQ(counted(), before + one.work) << kind;
    const auto again = event(kind, "1", "", kind);
    EXPECT_EQ(again.status, one.again) << kind;
    EXPECT_EQ(again.header("Idempotent-Replayed") == "true", one.replayed) << kind;
  }
}

TEST_F(FaultsTest, GatewaysAnswerInHtml) {
  for (const int status : {502, 503}) {
    const std::string kind = "status_" + std::to_string(status);
    faults(R"({"match":"meter_events","retry_after_s":7,"kind":")" + kind + "\"}");
    const auto down = event(kind, "1", "", kind);
    EXPECT_EQ(down.status, status);
    EXPECT_EQ(down.header("Retry-After"), "7");
    EXPECT_EQ(down.header("Content-Type"), "text/html");
    EXPECT_THAT(down.body, testing::StartsWith("<html>"));
    EXPECT_EQ(event(kind, "1", "", kind).header("Idempotent-Replayed"), "");
    strike(kind + "_after");
    EXPECT_EQ(event(kind + "x", "1", "", kind + "x").status, status);
    const auto again = event(kind + "x", "1", "", kind + "x");
    EXPECT_EQ(again.status, 200) << "behind the gateway it was done and kept";
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
  }
  EXPECT_EQ(counted(), 4);
}

TEST_F(FaultsTest, HeadersAreAsAsked) {
  faults(R"({"kind":"status_429","limit_reason":"resource-specific","should_retry":"false"})");
  const auto limited = event("a", "1");
  EXPECT_EQ(limited.header("Stripe-Rate-Limited-Reason"), "resource-specific");
  EXPECT_EQ(limited.header("Stripe-Should-Retry"), "false");
  EXPECT_TRUE(limited.header("Retry-After").empty());
  faults(R"({"kind":"status_500","should_retry":"true","retry_after_s":3})");
  const auto failed = event("a", "1");
  EXPECT_EQ(failed.header("Stripe-Should-Retry"), "true");
  EXPECT_EQ(failed.header("Retry-After"), "3");
}

TEST_F(FaultsTest, WrongOnesAreRefusedWhole) {
  for (const char* wrong :
       {R"([{"kind":"drop_after"},{"kind":"explode"}])", R"([{"kind":"drop_after","count":0}])",
        R"([{"kind":"drop_after","count":"x"}])", R"([{"kind":"drop_after","surprise":1}])",
        R"([{"kind":"status_429","should_retry":"maybe"}])", "[1]", "nonsense"}) {
    EXPECT_EQ(call("POST", "/sandbox/faults", wrong).status, 400) << wrong;
  }
  EXPECT_EQ(json(call("GET", "/sandbox/faults"))["faults"].size(), 0U);
  faults(R"({"kind":"drop_after"})");
  EXPECT_EQ(json(call("DELETE", "/sandbox/faults"))["faults"].size(), 0U);
}

TEST_F(FaultsTest, WrongPlansAreRefused) {
  for (const char* wrong :
       {R"({"seed":1})", R"({"seed":1,"faults":[{"kind":"drop_after"}]})",
        R"({"seed":1,"faults":[{"kind":"drop_after","rate":1.1}]})",
        R"({"seed":1,"faults":[{"kind":"drop_after","rate":-0.1}]})",
        R"({"seed":1,"faults":[{"kind":"drop_after","rate":0.6},{"kind":"delay_ms","rate":0.6}]})",
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
    EXPECT_GT(seen[kind], 140) << kind;
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
  for (const char* wrong : {"[]", R"({"seed":-1,"faults":[]})", R"({"seed":1,"faults":[{}]})"}) {
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

}  // namespace
}  // namespace tally::sandbox
