#include "exporter/stripe/meter_events.h"

#include "runtime/http/server.h"
#include "tests/support/stripe_script.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace tally::exporter::stripe {
namespace {

using testsupport::stripe_answer;

TEST(MeterEvents, WritesTheForm) {
  const std::string form =
      form_of({"ai tokens", "cus_1&x", "-0.5", 1'800'000'000, "id/1", "id/1/2"});
  EXPECT_EQ(form,
            "event_name=ai%20tokens&identifier=id%2F1&timestamp=1800000000"
            "&payload[stripe_customer_id]=cus_1%26x&payload[value]=-0.5");
}

TEST(MeterEvents, ReadsAnswersAndErrors) {
  const ApiAnswer good = answer_of(stripe_answer(
      200, R"({"object":"billing.meter_event","identifier":"id1"})", {{"Request-Id", "req_1"}}));
  EXPECT_EQ(good.identifier, "id1");
  EXPECT_EQ(good.request_id, "req_1");

  const ApiAnswer bad = answer_of(stripe_answer(
      429, R"({"error":{"type":"invalid_request_error","code":"lock_timeout","message":"busy"}})",
      {{"Retry-After", "7"},
       {"stripe-should-retry", "true"},
       {"Idempotent-Replayed", "true"},
       {"Stripe-Rate-Limited-Reason", "global-rate"}}));
  EXPECT_TRUE(bad.is_stripe_error);
  EXPECT_EQ(bad.error_code, "lock_timeout");
  EXPECT_EQ(bad.message, "busy");
  EXPECT_EQ(bad.retry_after_seconds, 7);
  EXPECT_EQ(bad.should_retry, true);
  EXPECT_TRUE(bad.replayed);
  EXPECT_EQ(bad.rate_limited_reason, "global-rate");

  const ApiAnswer page =
      answer_of(stripe_answer(503, "<html>down</html>", {{"Retry-After", "soon"}}));
  EXPECT_FALSE(page.is_stripe_error);
  EXPECT_FALSE(page.retry_after_seconds.has_value());
  EXPECT_NE(page.message.find("<html>"), std::string::npos);
  EXPECT_FALSE(answer_of(stripe_answer(200, "[]")).identifier.has_value());
}

// A double would have shown 0.1 + 0.2 as something else, and 15 digits are what Stripe takes.
TEST(MeterEvents, SummariesAreReadAsTheyAreWritten) {
  const auto values = summary_values_of(
      R"({"object":"list","data":[{"aggregated_value":123456789012.345,"id":"mtrusg_1"},)"
      R"({"meter":"mtr_1","aggregated_value":-7}],"has_more":false})");
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ(*values, (std::vector<std::string>{"123456789012.345", "-7"}));
  EXPECT_EQ(summary_values_of(R"({"object":"list","data":[]})")->size(), 0U);
  for (const char* other :
       {"", "<html>", "{}", R"({"object":"list"})", R"({"object":"list","data":[{"id":"x"}]})",
        R"({"object":"list","data":[{"aggregated_value":"7"}]})"}) {
    EXPECT_FALSE(summary_values_of(other).has_value()) << other;
  }
}

// Of an account without the meter, and of one that has it and shows nothing.
TEST(MeterEvents, AMinuteWithoutAMeterIsNotAnEmptyOne) {
  const std::string list = R"({"object":"list","has_more":false,"data":[)";
  const runtime::http::Server server({}, [&](const runtime::http::Request& request) {
    const bool meters = request.target.find("summaries") == std::string::npos;
    runtime::http::Response response;
    response.body = list + (meters ? R"({"id":"mtr_1","event_name":"there"})" : "") + "]}";
    return response;
  });
  MeterEvents events(
      {.url = fmt::format("http://127.0.0.1:{}", server.port()), .key = "sk_test_1"});
  const MinuteReading empty = events.read_minute({"there", "cus_1", 1'800'000'000});
  EXPECT_TRUE(empty.answered && empty.has_meter && !empty.value.has_value()) << empty.problem;
  const MinuteReading none = events.read_minute({"another", "cus_1", 1'800'000'000});
  EXPECT_TRUE(none.answered && !none.has_meter && !none.value.has_value()) << none.problem;
}

// The Idempotency-Key is the row's own and changes apart from the identifier.
TEST(MeterEvents, AnEventIsPostedOnceWithItsOwnIdempotencyKey) {
  std::vector<runtime::http::Request> seen;
  const runtime::http::Server server({}, [&](const runtime::http::Request& request) {
    seen.push_back(request);
    runtime::http::Response response;
    response.body = R"({"object":"billing.meter_event","identifier":"id/1"})";
    return response;
  });
  MeterEvents events(
      {.url = fmt::format("http://127.0.0.1:{}", server.port()), .key = "sk_test_1"});
  const MeterEvent event{"tokens", "cus_1", "7", 1'800'000'000, "id/1", "id/1/2"};
  const ApiAnswer answer = events.send(event);
  EXPECT_EQ(answer.reply, Reply::kAnswered);
  EXPECT_EQ(answer.identifier, "id/1");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].method, "POST");
  EXPECT_EQ(seen[0].target, "/v1/billing/meter_events");
  EXPECT_EQ(seen[0].header("Idempotency-Key"), "id/1/2");
  EXPECT_EQ(seen[0].header("Authorization"), "Bearer sk_test_1");
  EXPECT_EQ(seen[0].body, form_of(event));
}

// Who took the row may be inactive by now, and on a later page; what is of another name, or of
// none, neither counts nor stops it.
TEST(MeterEvents, AMinuteIsReadFromAllMetersOfItsNameActiveOrNot) {
  const runtime::http::Server server({}, [](const runtime::http::Request& request) {
    runtime::http::Response response;
    const bool second = request.target.find("starting_after=mtr_1") != std::string::npos;
    if (request.target.find("/mtr_1/event_summaries?") != std::string::npos) {
      response.body = R"({"object":"list","data":[{"aggregated_value":0.1}]})";
    } else if (request.target.find("/mtr_3/event_summaries?") != std::string::npos) {
      response.body = R"({"object":"list","data":[{"aggregated_value":0.2}]})";
    } else if (request.target.find("event_summaries") != std::string::npos) {
      response.status = 500;
    } else if (second) {
      response.body = R"({"object":"list","has_more":false,"data":[{"id":"mtr_2"},)"
                      R"({"id":"mtr_3","event_name":"tokens","status":"inactive"},)"
                      R"({"id":"mtr_4","event_name":"token","status":"active"}]})";
    } else {
      response.body = R"({"object":"list","has_more":true,"data":[)"
                      R"({"id":"mtr_1","event_name":"tokens","status":"active"}]})";
    }
    return response;
  });
  MeterEvents events(
      {.url = fmt::format("http://127.0.0.1:{}", server.port()), .key = "sk_test_1"});
  const MinuteReading reading = events.read_minute({"tokens", "cus_1", 1'800'000'000});
  EXPECT_TRUE(reading.answered && reading.has_meter) << reading.problem;
  EXPECT_EQ(reading.value, "0.3");
}

}  // namespace
}  // namespace tally::exporter::stripe
