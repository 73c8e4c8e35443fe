// Meter events by sessions and the stream: all but their shape is judged later.
#include "tests/unit/sandbox/sandbox_fixture.h"

#include <map>
#include <set>

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;

class StreamsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter();
    token_ = session()["authentication_token"];
  }
  runtime::http::Response json_call(const std::string& path, const std::string& body,
                                    const std::string& key, const std::string& once = "") {
    runtime::http::Request request{"POST", path, {}, body};
    request.headers.set("Authorization", "Bearer " + key);
    if (!once.empty()) request.headers.set("Idempotency-Key", once);
    request.headers.set("Content-Type", "application/json");
    return sandbox_->handle(request);
  }
  Json session() {
    const auto made = json_call("/v2/billing/meter_event_session", "{}", "sk_test_1");
    EXPECT_EQ(made.status, 200) << made.body;
    return json(made);
  }
  runtime::http::Response stream(const std::vector<Json>& events, const std::string& once = "") {
    return json_call("/v2/billing/meter_event_stream", Json{{"events", events}}.dump(), token_,
                     once);
  }
  static Json one(const std::string& identifier, const std::string& value,
                  const std::string& name = "tokens") {
    return {{"event_name", name},
            {"identifier", identifier},
            {"payload", {{"stripe_customer_id", "cus_1"}, {"value", value}}}};
  }
  // The codes of all reports.
  std::map<std::string, int> reported() {
    now_ += 20;
    std::map<std::string, int> codes;
    const Json all = json(call("GET", "/sandbox/notifications"))["notifications"];
    for (const Json& thin : all) {
      const std::string id = thin["id"];
      const Json types =
          json(call("GET", "/v2/core/events/" + id))["data"]["reason"]["error_types"];
      for (const Json& type : types) codes[type["code"]] += type["error_count"].get<int>();
    }
    return codes;
  }
  std::string token_;
};

TEST_F(StreamsTest, ASessionsTokenLetsEventsIn) {
  Json at = one("b", "2.5");
  at["timestamp"] = "2027-01-15T07:59:30.250Z";
  Json elsewhere = one("c", "4");
  elsewhere["timestamp"] = "2027-01-15T09:29:40+01:30";
  const auto taken = stream({one("a", "1"), at, elsewhere});
  EXPECT_EQ(taken.status, 200) << taken.body;
  EXPECT_EQ(json(taken), Json::object());
  EXPECT_EQ(totals()["tokens"]["total"], "7.5");
  const Json events = json(call("GET", "/sandbox/oracle/events"))["events"];
  EXPECT_EQ(events[0]["timestamp"], kStart);
  EXPECT_EQ(events[1]["timestamp"], kStart - 30);
  EXPECT_EQ(events[2]["timestamp"], kStart - 20);
}

TEST_F(StreamsTest, ATokenLivesFifteenMinutes) {
  const Json made = session();
  EXPECT_EQ(made["object"], "v2.billing.meter_event_session");
  EXPECT_EQ(made["expires_at"], "2027-01-15T08:15:00.000Z");
  now_ += 899;
  EXPECT_EQ(stream({one("a", "1")}).status, 200);
  now_ += 1;
  const auto over = stream({one("b", "1")});
  EXPECT_EQ(over.status, 401);
  EXPECT_EQ(code(over), "billing_meter_event_session_expired");
  EXPECT_EQ(json(over)["error"]["type"], "temporary_session_expired");
  for (const char* wrong : {"sk_test_1", "", "mes_test_00000001_0", "mes_test_00000001"}) {
    token_ = wrong;
    EXPECT_EQ(code(stream({one("c", "1")})), "invalid_authentication") << wrong;
  }
  EXPECT_EQ(json_call("/v2/billing/meter_event_session", "{}", made["authentication_token"]).status,
            401)
      << "a token is no key";
  EXPECT_EQ(totals()["tokens"]["total"], "1");
}

TEST_F(StreamsTest, WhatIsWrongWithAnEventIsReportedLater) {
  call("DELETE", "/v1/customers/cus_gone");
  Json gone = one("gone", "1");
  gone["payload"]["stripe_customer_id"] = "cus_gone";
  Json old = one("old", "1");
  old["timestamp"] = "2026-01-01T00:00:00Z";
  Json nobody = one("nobody", "1");
  nobody["payload"].erase("stripe_customer_id");
  EXPECT_EQ(stream({one("good", "7"), one("text", "x"), one("other", "1", "unknown"), gone, old,
                    nobody, one("long", "1234567890123456")})
                .status,
            200);
  EXPECT_EQ(totals()["tokens"]["total"], "7");
  EXPECT_EQ(reported(), (std::map<std::string, int>{{"meter_event_invalid_value", 1},
                                                    {"no_meter", 1},
                                                    {"meter_event_customer_not_found", 1},
                                                    {"timestamp_too_far_in_past", 1},
                                                    {"meter_event_no_customer_defined", 1},
                                                    {"meter_event_value_too_many_digits", 1}}));
}

// One key stands for a hundred events: only its identifier says which of them is meant.
TEST_F(StreamsTest, AReportNamesAnEventByItsIdentifierThoughTheCallHadAKey) {
  set({{"error_request", "idempotency_key"}});
  EXPECT_EQ(stream({one("first", "x"), one("good", "1"), one("second", "y")}, "key").status, 200);
  now_ += 20;
  const Json thin = json(call("GET", "/sandbox/notifications"))["notifications"];
  ASSERT_EQ(thin.size(), 1U);
  const std::string id = thin[0]["id"];
  std::set<std::string> named;
  const Json type = json(call("GET", "/v2/core/events/" + id))["data"]["reason"]["error_types"][0];
  for (const Json& sample : type["sample_errors"]) named.insert(sample["request"]["identifier"]);
  EXPECT_EQ(named, (std::set<std::string>{"first", "second"}));
}

TEST_F(StreamsTest, AKnownIdentifierIsCountedOnceAndReportedByNobody) {
  EXPECT_EQ(stream({one("a", "1"), one("a", "1")}).status, 200);
  EXPECT_EQ(event("a", "1").status, 400) << "one memory of identifiers for both versions";
  EXPECT_EQ(event("b", "2").status, 200);
  now_ += 86'399;
  token_ = session()["authentication_token"];
  EXPECT_EQ(stream({one("b", "2")}).status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "3");
  now_ += 1;
  EXPECT_EQ(stream({one("b", "2")}).status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "5") << "24 hours after the first, not the last";
  EXPECT_TRUE(reported().empty());
}

TEST_F(StreamsTest, ACallIsTakenWholeOrNotAtAll) {
  std::vector<Json> many;
  for (int i = 0; i < 101; ++i) many.push_back(one(std::to_string(i), "1"));
  EXPECT_EQ(stream(many).status, 400);
  Json without_name = one("x", "1");
  without_name.erase("event_name");
  Json number = one("x", "1");
  number["payload"]["value"] = 1;
  Json surprise = one("x", "1");
  surprise["surprise"] = "x";
  Json long_key = one("x", "1");
  long_key["payload"][std::string(101, 'k')] = "1";
  const Json long_value = one("x", std::string(101, '1'));
  for (const Json& wrong :
       {without_name, number, surprise, long_key, long_value, Json(1), Json::object()}) {
    EXPECT_EQ(stream({one("good", "1"), wrong}).status, 400) << wrong;
  }
  for (const char* when :
       {"yesterday", "2027-13-01T00:00:00Z", "2027-02-29T00:00:00Z", "2027-01-15T99:99:00Z",
        "2027-01-15T07:59:60Z", "2027-01-15T07:59:30", "2027-01-15T07:59:30+24:00",
        "2027-01-15T07:59:30+1:00", "2027-01-15T07:59:30.5+0100"}) {
    Json wrong = one("x", "1");
    wrong["timestamp"] = when;
    EXPECT_EQ(stream({one("good", "1"), wrong}).status, 400) << when;
  }
  EXPECT_EQ(stream({}).status, 400);
  EXPECT_EQ(json_call("/v2/billing/meter_event_stream", "{", token_).status, 400);
  EXPECT_EQ(totals()["tokens"]["events"], 0);
  many.pop_back();
  EXPECT_EQ(stream(many).status, 200);
  EXPECT_EQ(totals()["tokens"]["events"], 100);
}

TEST_F(StreamsTest, TenThousandEventsASecondApartFromAllElse) {
  const auto hundred = [&](int first) {
    std::vector<Json> events;
    for (int i = 0; i < 100; ++i) events.push_back(one(std::to_string(first + i), "1"));
    return stream(events);
  };
  set({{"rate_limits", "live"}});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(hundred(100 * i).status, 200);
  const auto over = stream({one("more", "1")});
  EXPECT_EQ(over.status, 429);
  EXPECT_EQ(over.header("Stripe-Rate-Limited-Reason"), "endpoint-rate");
  EXPECT_EQ(event("v1", "1").status, 200);
  steady_ += std::chrono::seconds(1);
  EXPECT_EQ(stream({one("more", "1")}).status, 200);
  set({{"stream_rate", "requests"}});
  for (int i = 100; i < 110; ++i) EXPECT_EQ(hundred(100 * i).status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "11002");
}

TEST_F(StreamsTest, AFaultAfterTheWorkLosesTheAnswerOnly) {
  faults(R"({"match":"meter_event_stream","kind":"drop_after"})");
  EXPECT_TRUE(stream({one("a", "1")}).drop_connection);
  EXPECT_EQ(stream({one("a", "1")}).status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "1");
}

// The first version replays a 500 for 24 hours; the second does the work anew.
TEST_F(StreamsTest, AKeyKeepsNoFailureAndASuccessForThirtyDays) {
  for (const std::string kind : {"status_500", "status_500_after"}) {
    faults(Json{{"match", "meter_event_stream"}, {"kind", kind}}.dump());
    EXPECT_EQ(stream({one(kind, "1")}, kind).status, 500);
    const auto again = stream({one(kind, "1")}, kind);
    EXPECT_EQ(again.status, 200) << kind;
    EXPECT_EQ(again.header("Idempotent-Replayed"), "") << kind;
    EXPECT_EQ(stream({one(kind, "1")}, kind).header("Idempotent-Replayed"), "true");
  }
  EXPECT_EQ(totals()["tokens"]["total"], "2");
  const auto made = [&](const std::string& key) {
    return json_call("/v2/billing/meter_event_session", "{}", "sk_test_1", key);
  };
  const std::string first = made("k").body;
  EXPECT_EQ(call("POST", "/v1/customers", "name=n", "v1").status, 200);
  now_ += 30 * 86'400 - 1;
  EXPECT_EQ(made("k").body, first);
  EXPECT_EQ(call("POST", "/v1/customers", "name=other", "v1").status, 200) << "24 hours there";
  now_ += 1;
  EXPECT_NE(made("k").body, first);
}

TEST_F(StreamsTest, OneEventOfACallIsRejectedLaterOnRequest) {
  const std::string fault = R"({"match":"meter_event_stream","kind":"reject_later"})";
  faults(fault);
  std::vector<Json> events;
  for (int i = 0; i < 10; ++i) events.push_back(one("a" + std::to_string(i), "1"));
  EXPECT_EQ(stream(events).status, 200);
  EXPECT_EQ(totals()["tokens"]["total"], "9");
  EXPECT_EQ(counters()["faults"]["reject_later"], 1);
  EXPECT_EQ(reported(), (std::map<std::string, int>{{"meter_event_invalid_value", 1}}));
  faults(fault);
  EXPECT_EQ(stream(events).status, 200) << "all known, so that nothing is rejected";
  EXPECT_EQ(counters()["faults_missed"]["reject_later"], 1);
}

}  // namespace
}  // namespace tally::sandbox
