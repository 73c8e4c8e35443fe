// The oracle: exact totals of any span of event times, and lists that can be read piece by piece.
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

class OracleTest : public SandboxTest {
 protected:
  void at(const std::string& identifier, std::int64_t offset, const std::string& value) {
    const auto taken = event(identifier, value, "&timestamp=" + std::to_string(kStart + offset));
    ASSERT_EQ(taken.status, 200) << taken.body;
  }
  nlohmann::json totals_of(std::int64_t start, std::int64_t end) {
    const auto response =
        call("GET", "/sandbox/oracle/totals?start=" + std::to_string(kStart + start) +
                        "&end=" + std::to_string(kStart + end));
    EXPECT_EQ(response.status, 200) << response.body;
    return json(response)["meters"];
  }
};

TEST_F(OracleTest, TotalsOfASpanCountByTheEventsTime) {
  meter();
  at("a", -7'201, "1");
  at("b", -7'200, "2.000000000001");
  at("c", -3'601, "4");
  at("d", -3'600, "8");
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["total"], "6.000000000001");
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["customers"]["cus_1"], "6.000000000001");
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["events"], 2);
  EXPECT_EQ(totals_of(-3'600, 0)["tokens"]["total"], "8");
  EXPECT_EQ(totals_of(0, 60)["tokens"]["total"], "0");
  const std::string from = "/sandbox/oracle/totals?start=" + std::to_string(kStart - 3'601);
  EXPECT_EQ(json(call("GET", from))["meters"]["tokens"]["total"], "12") << "open to one side";
  EXPECT_EQ(totals()["tokens"]["total"], "15.000000000001");
}

TEST_F(OracleTest, OfASpanAlsoTheLastTheWaitingAndTheRejected) {
  meter("tokens", "last");
  at("a", -7'200, "5");
  at("b", -3'600, "7");
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["total"], "5");
  call("DELETE", "/v1/customers/cus_1");
  at("c", -3'600, "1");
  set({{"apply_delay_min_s", 60}, {"apply_delay_max_s", 60}});
  at("d", -7'200, "1");
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["pending"], 1);
  EXPECT_EQ(totals_of(-7'200, -3'600)["tokens"]["rejected"], 0);
  EXPECT_EQ(totals_of(-3'600, 0)["tokens"]["pending"], 0);
  EXPECT_EQ(totals_of(-3'600, 0)["tokens"]["rejected"], 1);
}

TEST_F(OracleTest, ListsAreReadPieceByPiece) {
  meter();
  for (int i = 0; i < 5; ++i) at(std::to_string(i), -60, "1");
  const auto piece = json(call("GET", "/sandbox/oracle/events?from=1&limit=2"))["events"];
  ASSERT_EQ(piece.size(), 2U);
  EXPECT_EQ(piece[0]["identifier"], "1");
  EXPECT_EQ(piece[1]["identifier"], "2");
  EXPECT_EQ(json(call("GET", "/sandbox/oracle/events?from=3"))["events"].size(), 2U);
  EXPECT_EQ(json(call("GET", "/sandbox/oracle/events?from=9"))["events"].size(), 0U);
  call("DELETE", "/v1/customers/cus_1");
  for (int i = 0; i < 3; ++i) {
    at("r" + std::to_string(i), -60, "1");
    now_ += 20;
    EXPECT_EQ(call("GET", "/v1/billing/meters").status, 200);
  }
  const auto all = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(all.size(), 3U);
  const auto second = json(call("GET", "/sandbox/notifications?from=1&limit=1"))["notifications"];
  EXPECT_EQ(second, nlohmann::json::array({all[1]}));
}

TEST_F(OracleTest, UnknownParametersAndWrongNumbersAreRefused) {
  for (const char* wrong :
       {"oracle/totals?begin=1", "oracle/totals?start=now", "oracle/events?from=-1",
        "oracle/events?limit=0", "notifications?start=1", "counters?x=1", "settings?x=1"}) {
    EXPECT_EQ(call("GET", std::string("/sandbox/") + wrong).status, 400) << wrong;
  }
}

}  // namespace
}  // namespace tally::sandbox
