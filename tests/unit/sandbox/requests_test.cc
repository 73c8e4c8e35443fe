// What every /v1 request meets before its endpoint: key, version, form, and the shape of refusals.
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {
namespace {

using testing::HasSubstr;
using testing::Not;

class RequestsTest : public SandboxTest {
 protected:
  runtime::http::Response with(const std::string& name, const std::string& value,
                               const std::string& body = "") {
    runtime::http::Request request{body.empty() ? "GET" : "POST", "/v1/billing/meters", {}, body};
    request.headers.set("Authorization", "Bearer sk_test_1");
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    request.headers.set(name, value);
    return sandbox_->handle(request);
  }
};

TEST_F(RequestsTest, KeysAreAskedFor) {
  const auto none = with("Authorization", "");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.header("WWW-Authenticate"), "Basic realm=\"Stripe\"");
  const auto wrong = with("Authorization", "Bearer sk_live_secret");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_EQ(json(wrong)["error"]["type"], "invalid_request_error");
  EXPECT_THAT(wrong.body, Not(HasSubstr("secret"))) << "the key is not said back";
  EXPECT_EQ(with("Authorization", "Bearer sk_test_").status, 401);
  EXPECT_EQ(with("Authorization", "Bearer rk_test_1").status, 200) << "a restricted key";
  EXPECT_EQ(with("Authorization", "Basic c2tfdGVzdF8xOg==").status, 200);  // sk_test_1:
  EXPECT_EQ(with("Authorization", "Basic c2tfdGVzdF8xOnB3").status, 200);  // sk_test_1:pw
  EXPECT_EQ(with("Authorization", "bearer sk_test_1").status, 200) << "schemes have no case";
  EXPECT_EQ(with("Authorization", "Bearer rk_test_forbidden").status, 403);
  EXPECT_EQ(with("Authorization", "Bearer sk_test_forbidden_1").status, 403);
}

TEST_F(RequestsTest, RefusalsNameParameterCodeAndRequest) {
  meter();
  const auto refused = event("a", "1", "&surprise=1");
  EXPECT_EQ(refused.status, 400);
  const auto error = json(refused)["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "surprise");
  EXPECT_EQ(error["code"], "parameter_unknown");
  EXPECT_EQ(error["doc_url"], "https://stripe.com/docs/error-codes/parameter-unknown");
  EXPECT_THAT(error["request_log_url"].get<std::string>(),
              HasSubstr(std::string(refused.header("Request-Id"))));
  EXPECT_FALSE(json(event("b", "x"))["error"].contains("param"));
}

TEST_F(RequestsTest, RequestIdsDiffer) {
  const auto first = call("GET", "/v1/billing/meters");
  const auto second = call("GET", "/v1/billing/meters");
  EXPECT_THAT(std::string(first.header("Request-Id")), testing::StartsWith("req_"));
  EXPECT_NE(first.header("Request-Id"), second.header("Request-Id"));
}

TEST_F(RequestsTest, VersionIsCheckedAndEchoed) {
  EXPECT_EQ(with("Stripe-Version", "2026-10-28.endive").header("Stripe-Version"),
            "2026-10-28.endive");
  EXPECT_EQ(with("Stripe-Version", "2024-06-20").status, 200);
  EXPECT_FALSE(call("GET", "/v1/billing/meters").header("Stripe-Version").empty());
  const auto wrong = with("Stripe-Version", "newest");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(message(wrong), HasSubstr("Invalid Stripe API version: newest"));
  set({{"version_echo", false}});
  EXPECT_TRUE(with("Stripe-Version", "2024-06-20").header("Stripe-Version").empty());
}

TEST_F(RequestsTest, AnswersAreDatedByTheSandboxesClock) {
  EXPECT_EQ(call("GET", "/v1/billing/meters").header("Date"), "Fri, 15 Jan 2027 08:00:00 GMT");
  EXPECT_EQ(call("GET", "/v1/nothing").header("Date"), "Fri, 15 Jan 2027 08:00:00 GMT");
  now_ -= 86'400 * 14;
  EXPECT_EQ(event("b", "x").header("Date"), "Fri, 01 Jan 2027 08:00:00 GMT");
}

TEST_F(RequestsTest, IdempotencyKeyIsSaidBack) {
  meter();
  EXPECT_EQ(event("a", "1", "", "k 1").header("Idempotency-Key"), "k 1");
  EXPECT_EQ(event("b", "bad", "", "k2").header("Idempotency-Key"), "k2") << "on errors too";
  EXPECT_TRUE(event("c", "1").header("Idempotency-Key").empty());
}

TEST_F(RequestsTest, EmptyValuesCannotUnset) {
  meter();
  const auto refused = event("", "1");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(code(refused), "parameter_invalid_empty");
  EXPECT_EQ(json(refused)["error"]["param"], "identifier");
  EXPECT_EQ(totals()["tokens"]["events"], 0);
}

TEST_F(RequestsTest, PayloadIsAFlatMapOfTexts) {
  meter();
  const auto nested = event("a", "1", "&payload[more][deep]=1");
  EXPECT_EQ(nested.status, 400);
  EXPECT_EQ(json(nested)["error"]["param"], "payload[more][deep]");
  EXPECT_EQ(event("a", "1", "&payload=1").status, 400);
  EXPECT_EQ(event("a", "1", "&payload[]=1").status, 400);
  EXPECT_EQ(event("a", "1", "&event_name[x]=1").status, 400);
  const auto escaped =
      call("POST", "/v1/billing/meter_events",
           "event_name=tokens&payload%5Bvalue%5D=2&payload%5bstripe_customer_id%5d=cus+1");
  EXPECT_EQ(escaped.status, 200) << escaped.body;
  EXPECT_EQ(totals()["tokens"]["customers"]["cus 1"], "2");
}

TEST_F(RequestsTest, UnverifiedErrorCodesCanBeReplaced) {
  meter();
  set({{"error_codes", {{"parameter_unknown", ""}, {"timestamp_in_future", "too_new"}}}});
  const auto unknown = event("a", "1", "&surprise=1");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_FALSE(json(unknown)["error"].contains("code"));
  EXPECT_FALSE(json(unknown)["error"].contains("doc_url"));
  EXPECT_EQ(code(event("a", "1", "&timestamp=" + std::to_string(kStart + 301))), "too_new");
}

TEST_F(RequestsTest, SettingsAreShownAndRefusedWhole) {
  set({{"answer_delay_ms", 7}, {"identifier_scope", "event_name"}});
  const auto shown = json(call("GET", "/sandbox/settings"));
  EXPECT_EQ(shown["answer_delay_ms"], 7);
  EXPECT_EQ(shown["identifier_scope"], "event_name");
  EXPECT_EQ(shown["identifier_window_s"], 86'400);
  EXPECT_EQ(shown["async_checks"], nlohmann::json::array({"customer"}));
  for (const auto& wrong : std::vector<nlohmann::json>{{{"surprise", 1}},
                                                       {{"answer_delay_ms", -1}},
                                                       {{"answer_delay_ms", "1"}},
                                                       {{"answer_delay_ms", 1.5}},
                                                       {{"identifier_scope", "galaxy"}},
                                                       {{"identifier_window_s", 86'399}},
                                                       {{"version_echo", 1}},
                                                       {{"async_checks", {"weather"}}},
                                                       {{"error_codes", {{"x", 1}}}},
                                                       nlohmann::json::array()}) {
    nlohmann::json wanted = wrong;
    if (wanted.is_object()) wanted["error_samples"] = 99;
    const auto refused = settings(wanted);
    EXPECT_EQ(refused.status, 400) << wanted;
    EXPECT_EQ(json(call("GET", "/sandbox/settings")), shown) << wanted;
  }
  EXPECT_THAT(message(settings({{"identifier_scope", "galaxy"}})),
              HasSubstr("account, event_name"));
}

TEST_F(RequestsTest, ParametersStandWhereStripeReadsThem) {
  meter();
  const std::string body =
      "event_name=tokens&payload[value]=1&payload[stripe_customer_id]=cus_1&identifier=q";
  const auto refused = call("POST", "/v1/billing/meter_events?surprise=1", body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(json(refused)["error"]["param"], "surprise");
  EXPECT_EQ(call("DELETE", "/v1/customers/cus_1", "surprise=1").status, 400);
  EXPECT_EQ(call("POST", "/v1/billing/meter_events?", body).status, 200);
}

// What is no text would be another text after a restart.
TEST_F(RequestsTest, WhatIsNoUtf8IsRefused) {
  meter();
  for (const char* wrong : {"%FF", "%C0%80", "%ED%A0%80", "%E2%82", "%F4%90%80%80", "a%80"}) {
    EXPECT_EQ(event(wrong, "1").status, 400) << wrong;
  }
  EXPECT_EQ(event("a", "1", "&payload[%FF]=1").status, 400);
  EXPECT_EQ(event("a", "1", "", "\xff").status, 400);
  for (const char* good : {"%C3%A9", "%E2%82%AC", "%F0%9F%98%80", "%EF%BF%BD"}) {
    EXPECT_EQ(event(good, "1").status, 200) << good;
  }
}

}  // namespace
}  // namespace tally::sandbox
