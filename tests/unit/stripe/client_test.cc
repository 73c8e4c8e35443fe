#include "runtime/stripe/client.h"

#include "runtime/http/server.h"
#include "tests/support/stripe_script.h"

#include <gtest/gtest.h>

namespace tally::runtime::stripe {
namespace {

using testsupport::stripe_answer;

TEST(StripeClient, TheKeyIsInOneHeaderAndNowhereElse) {
  const auto request = post_request("/v1/billing/meters", "a=b", "key-1", "sk_test_secret");
  EXPECT_EQ(request.header("authorization"), "Bearer sk_test_secret");
  EXPECT_EQ(request.header("idempotency-key"), "key-1");
  EXPECT_EQ(request.header("content-type"), "application/x-www-form-urlencoded");
  EXPECT_EQ(request.header("stripe-version"), kVersion);
  EXPECT_EQ(request.target.find("sk_test"), std::string::npos);
  EXPECT_EQ(request.body, "a=b");
  const auto read = get_request("/v1/account", "sk_test_secret");
  EXPECT_EQ(read.method, "GET");
  EXPECT_EQ(read.header("idempotency-key"), "");
}

TEST(StripeClient, ReadsWhatAnAnswerSays) {
  const Answer bad = stripe_answer(
      429, R"({"error":{"type":"invalid_request_error","code":"lock_timeout","message":"busy"}})",
      {{"Retry-After", "7"},
       {"stripe-should-retry", "true"},
       {"Idempotent-Replayed", "true"},
       {"Request-Id", "req_1\n"},
       {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"},
       {"Stripe-Rate-Limited-Reason", "global-rate"}});
  EXPECT_TRUE(bad.is_stripe_error);
  EXPECT_FALSE(bad.is_ok());
  EXPECT_EQ(bad.error_code, "lock_timeout");
  EXPECT_EQ(bad.retry_after_seconds, 7);
  EXPECT_EQ(bad.should_retry, true);
  EXPECT_TRUE(bad.is_replayed);
  EXPECT_EQ(bad.request_id, "req_1?");
  EXPECT_EQ(bad.date, core::Timestamp::from_seconds(784'111'777));
  EXPECT_EQ(problem_of(bad), "429 busy");

  const Answer page = stripe_answer(503, "<html>down\n</html>", {{"Retry-After", "soon"}});
  EXPECT_FALSE(page.is_stripe_error);
  EXPECT_FALSE(page.retry_after_seconds.has_value());
  EXPECT_EQ(problem_of(page), "503 not an answer of Stripe: <html>down?</html>");
  EXPECT_TRUE(stripe_answer(200, "{}").is_ok());
  EXPECT_EQ(problem_of(testsupport::no_stripe_answer(http::Fate::kUnknown, "timed out")),
            "timed out");
}

TEST(StripeClient, DatesInTheOneFormThatHttpHas) {
  EXPECT_EQ(parse_http_date("Mon, 23 Nov 2026 02:30:00 GMT"),
            core::parse_rfc3339("2026-11-23T02:30:00Z").value());
  for (const char* other :
       {"", "Mon, 23 Nov 2026 02:30:00 UTC", "Mon, 31 Feb 2026 02:30:00 GMT",
        "Mon, 23 Nix 2026 02:30:00 GMT", "Monday, 23-Nov-26 02:30:00 GMT",
        "Mon  23 Nov 2026 02:30:00 GMT", "2026-11-23T02:30:00Z", "Mon, 23 Nov 2026 25:30:00 GMT"}) {
    EXPECT_FALSE(parse_http_date(other).has_value()) << other;
  }
}

TEST(StripeClient, SpeaksToAServer) {
  const http::Server server({}, [](const http::Request& request) {
    http::Response response;
    response.status = request.header("Authorization") == "Bearer sk_test_1" ? 200 : 401;
    response.body = request.method + " " + request.target + " " + request.body;
    return response;
  });
  Client client({.url = "http://127.0.0.1:" + std::to_string(server.port()), .key = "sk_test_1"});
  EXPECT_EQ(client.get("/v1/account").body, "GET /v1/account ");
  EXPECT_EQ(client.post("/v1/x", "a=b", "k").body, "POST /v1/x a=b");
}

// Stripe masks what it repeats; a proxy need not. 107 characters are a live key's length, more than
// what is shown of a body that is not Stripe's.
TEST(StripeClient, AKeyThatIsRepeatedIsHiddenBeforeAnythingIsCut) {
  const std::string secret(99, 'x');
  const std::string key = "sk_live_" + secret;
  const http::Server server({}, [&](const http::Request& request) {
    const std::string said(request.header("Authorization"));
    http::Response response;
    response.status = request.target == "/v1/page" ? 502 : 401;
    response.headers.add("Request-Id", said);
    response.body =
        request.target == "/v1/page"
            ? "<html>" + said + " " + said + "</html>"
            : R"({"error":{"code":")" + said + R"(","message":"Invalid API Key: )" + said + "\"}}";
    if (request.target == "/v1/escaped")
      response.body = R"({"error":{"message":"Invalid: \u0073k_live_)" + secret + "\"}}";
    if (request.target == "/v1/list") {
      response.status = 200;
      response.body = said;
    }
    return response;
  });
  Client client({.url = "http://127.0.0.1:" + std::to_string(server.port()), .key = key});
  for (const char* target : {"/v1/error", "/v1/page", "/v1/escaped", "/v1/list"}) {
    const Answer answer = client.get(target);
    ASSERT_EQ(answer.fate, http::Fate::kAnswered) << answer.message;
    // An escaped one hides in a body that is not shown: it is an error of Stripe's.
    const std::string body = answer.status == 401 ? std::string() : answer.body;
    EXPECT_EQ((body + answer.message + answer.error_code + answer.request_id).find("xxx"),
              std::string::npos)
        << target << ": " << answer.body << answer.message;
  }
  EXPECT_EQ(problem_of(client.post("/v1/error", "a=b", "k")),
            "401 Invalid API Key: Bearer [hidden]");
  EXPECT_EQ(problem_of(client.get("/v1/page")),
            "502 not an answer of Stripe: <html>Bearer [hidden] Bearer [hidden]</html>");
}

TEST(StripeClient, AUrlThatIsNoneIsSeenAtStart) {
  EXPECT_THROW(Client({.url = "api.stripe.com", .key = "sk_test_1"}), std::invalid_argument);
}

}  // namespace
}  // namespace tally::runtime::stripe
