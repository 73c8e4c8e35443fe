#include "exporter/doctor/stripe_checks.h"

#include "tests/support/stripe_script.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace tally::exporter::doctor {
namespace {

using runtime::stripe::Answer;
using testsupport::stripe_answer;
using testsupport::StripeCall;
using testsupport::StripeScript;

constexpr const char* kForbidden = R"({"error":{"type":"invalid_request_error","message":"no"}})";

// A Stripe that has all that is needed; the test changes single answers, by the target's beginning.
struct Stripe {
  Stripe()
      : api([this](const StripeCall& call) {
          for (const auto& [target, answer] : changed) {
            if (call.target.find(target) != std::string::npos) return answer;
          }
          return standard(call);
        }) {}

  static Answer standard(const StripeCall& call) {
    const runtime::http::Headers date = {{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}};
    if (call.target == "/v1/account")
      return stripe_answer(200, R"({"object":"account","id":"acct_1","country":"DE"})", date);
    if (call.target.find("event_summaries") != std::string::npos) {
      return stripe_answer(404, R"({"error":{"code":"resource_missing","message":"no such cus"}})");
    }
    if (call.target.starts_with("/v1/billing/meters")) {
      return stripe_answer(
          200,
          R"({"object":"list","data":[{"id":"mtr_1","event_name":"tokens","status":"active",)"
          R"("default_aggregation":{"formula":"sum"},)"
          R"("value_settings":{"event_payload_key":"value"},)"
          R"("customer_mapping":{"event_payload_key":"stripe_customer_id","type":"by_id"}}]})");
    }
    return stripe_answer(200, R"({"object":"list","data":[]})");
  }

  Findings examine(const std::string& key = "sk_test_1") {
    std::vector<core::Meter> meters;
    for (const auto& [slug, aggregation] : wanted) {
      core::Meter meter;
      meter.slug = slug;
      meter.aggregation = aggregation;
      meter.stripe = core::StripeMapping{slug, core::Decimal::from_int(1), 0, {}};
      meters.push_back(meter);
    }
    return check_stripe(api, key, meters, [this] { return here; });
  }

  std::map<std::string, Answer> changed;
  std::map<std::string, core::Aggregation> wanted = {{"tokens", core::Aggregation::kSum}};
  core::Timestamp here = core::parse_rfc3339("1994-11-06T08:49:37Z").value();
  StripeScript api;
};

Finding named(const Findings& findings, const std::string& check) {
  for (const Finding& finding : findings) {
    if (finding.check == check) return finding;
  }
  ADD_FAILURE() << "no " << check << " in\n" << text_of(findings);
  return {};
}

TEST(DoctorStripe, AllIsWell) {
  Stripe stripe;
  const Findings findings = stripe.examine();
  EXPECT_EQ(worst(findings), Level::kOk) << text_of(findings);
  EXPECT_EQ(named(findings, "stripe account").says, "acct_1, DE");
  EXPECT_EQ(named(findings, "meter tokens").says, "mtr_1 (sum, raw, active)");
  for (const StripeCall& call : stripe.api.calls) EXPECT_EQ(call.method, "GET") << call.target;
}

TEST(DoctorStripe, ARefusedKeyEndsIt) {
  Stripe stripe;
  stripe.changed["/v1/account"] = stripe_answer(401, kForbidden);
  const Findings findings = stripe.examine();
  EXPECT_EQ(named(findings, "stripe account").level, Level::kFail);
  EXPECT_EQ(stripe.api.calls.size(), 1U);
}

TEST(DoctorStripe, WhatDoesNotAnswerOrIsNotStripeEndsIt) {
  Stripe away;
  away.changed["/"] = testsupport::no_stripe_answer(runtime::http::Fate::kNotSent, "refused");
  EXPECT_EQ(worst(away.examine()), Level::kFail);
  EXPECT_EQ(away.api.calls.size(), 1U);
  for (const Answer& answer : {stripe_answer(502, "<html>"), stripe_answer(200, "<html>")}) {
    Stripe proxy;
    proxy.changed["/"] = answer;
    const Findings findings = proxy.examine();
    EXPECT_EQ(named(findings, "stripe account").level, Level::kFail) << text_of(findings);
    EXPECT_EQ(proxy.api.calls.size(), 1U);
  }
}

TEST(DoctorStripe, AKeyThatMayNotReadTheAccountIsWarnedOfAndTheRestIsLookedAt) {
  Stripe stripe;
  stripe.changed["/v1/account"] = stripe_answer(403, kForbidden);
  const Findings findings = stripe.examine();
  EXPECT_EQ(named(findings, "stripe account").level, Level::kWarn);
  EXPECT_EQ(named(findings, "meter tokens").level, Level::kOk);
}

TEST(DoctorStripe, EachPermissionIsTried) {
  Stripe summaries;
  summaries.changed["event_summaries"] = stripe_answer(403, kForbidden);
  const Finding refused = named(summaries.examine("rk_test_1"), "read meter event summaries");
  EXPECT_EQ(refused.level, Level::kFail);
  EXPECT_NE(refused.next.find("permission"), std::string::npos);

  Stripe meters;
  meters.changed["/v1/billing/meters?"] = stripe_answer(403, kForbidden);
  const Findings findings = meters.examine();
  EXPECT_EQ(named(findings, "read billing meters").level, Level::kFail);
  for (const Finding& finding : findings) EXPECT_NE(finding.check, "meter tokens");
  EXPECT_THAT(text_of(findings), testing::Not(testing::HasSubstr("stripe apply\n")));

  Stripe subscriptions;
  subscriptions.changed["/v1/subscriptions"] = stripe_answer(403, kForbidden);
  EXPECT_EQ(worst(subscriptions.examine()), Level::kWarn);
  for (const int status : {400, 404, 500}) {
    Stripe none;
    none.changed["/v1/subscriptions"] = stripe_answer(status, kForbidden);
    EXPECT_EQ(named(none.examine(), "read subscriptions").level, Level::kFail) << status;
    Stripe old;
    old.changed["/v1/billing/meters?"] = stripe_answer(status, kForbidden);
    EXPECT_EQ(named(old.examine(), "read billing meters").level, Level::kFail) << status;
  }
  Stripe ill;
  ill.changed["event_summaries"] = stripe_answer(500, kForbidden);
  EXPECT_EQ(worst(ill.examine()), Level::kFail);
}

TEST(DoctorStripe, WhetherARestrictedKeyMayWriteIsNotTried) {
  Stripe stripe;
  EXPECT_EQ(named(stripe.examine("rk_live_1"), "write meter events").level, Level::kWarn);
  EXPECT_EQ(worst(stripe.examine("sk_live_1")), Level::kOk);
}

TEST(DoctorStripe, MetersThatAreNotThereOrAreOthers) {
  Stripe stripe;
  stripe.wanted = {{"tokens", core::Aggregation::kLatest},
                   {"seats", core::Aggregation::kLatest},
                   {"low", core::Aggregation::kMin}};
  const Findings findings = stripe.examine();
  EXPECT_EQ(named(findings, "meter tokens").level, Level::kFail);
  EXPECT_NE(named(findings, "meter tokens").says.find("formula"), std::string::npos);
  EXPECT_EQ(named(findings, "meter seats").next, "tally-admin stripe apply");
  EXPECT_EQ(named(findings, "meter low").level, Level::kWarn);
}

TEST(DoctorStripe, TwoItemsOfOneCustomerOnOneMeterFail) {
  const auto subscription = [](const char* customer, const char* items) {
    return fmt::format(R"({{"id":"sub_1","customer":"{}","status":"active","items":)"
                       R"({{"object":"list","data":[{}]}}}})",
                       customer, items);
  };
  const auto list = [](const std::string& data) {
    return stripe_answer(200, R"({"object":"list","data":[)" + data + "]}");
  };
  constexpr const char* kItem = R"({"id":"si_1","price":{"recurring":{"meter":"mtr_1"}}})";
  constexpr const char* kOther = R"({"id":"si_2","price":{"recurring":{"meter":"mtr_1"}}})";
  Stripe stripe;
  stripe.changed["/v1/subscriptions"] =
      list(subscription("cus_1", kItem) + "," + subscription("cus_2", kOther));
  EXPECT_EQ(named(stripe.examine(), "subscription items").level, Level::kOk);
  stripe.changed["/v1/subscriptions"] =
      list(subscription("cus_1", kItem) + "," + subscription("cus_1", kOther));
  const Finding twice = named(stripe.examine(), "subscription items");
  EXPECT_EQ(twice.level, Level::kFail);
  EXPECT_THAT(twice.says, testing::HasSubstr("customer cus_1 has 2 items on mtr_1"));
  stripe.changed["/v1/subscriptions"] = stripe_answer(403, kForbidden);
  for (const Finding& finding : stripe.examine()) EXPECT_NE(finding.check, "subscription items");
}

TEST(DoctorStripe, AClockThatIsOffFails) {
  Stripe stripe;
  stripe.here = core::parse_rfc3339("1994-11-06T08:55:00Z").value();
  const Finding clock = named(stripe.examine(), "stripe clock");
  EXPECT_EQ(clock.level, Level::kFail);
  EXPECT_NE(clock.says.find("ahead of Stripe's"), std::string::npos) << clock.says;
  Stripe silent;
  silent.changed["/v1/account"] = stripe_answer(200, R"({"object":"account","id":"acct_1"})");
  EXPECT_EQ(named(silent.examine(), "stripe clock").level, Level::kWarn);
}

TEST(DoctorKey, ItsKindIsShownAndNothingElseOfIt) {
  const std::string url(runtime::stripe::kRealUrl);
  const Finding test = check_key("sk_test_51abcdef", url);
  EXPECT_EQ(test.level, Level::kOk);
  EXPECT_EQ(test.says, "sk_test_... (16 characters): a secret key, test mode");
  EXPECT_NE(check_key("rk_live_51abcdef", url).says.find("restricted key, live"),
            std::string::npos);
  for (const char* wrong : {"pk_test_51abcdef", "51abcdef", "whsec_abcdef"}) {
    const Finding finding = check_key(wrong, url);
    EXPECT_EQ(finding.level, Level::kFail);
    EXPECT_EQ((finding.says + finding.next).find("abcdef"), std::string::npos);
  }
  EXPECT_EQ(check_key("", "http://127.0.0.1:1").level, Level::kWarn);
  EXPECT_EQ(check_key("sk_live_51abcdef", "http://127.0.0.1:1").level, Level::kWarn);
  EXPECT_EQ(check_key("sk_test_51abcdef", "http://127.0.0.1:1").level, Level::kOk);
}

TEST(DoctorUrl, StripesThisMachinesOrAnothers) {
  const auto level = [](const char* url) { return check_url({.url = url, .key = "k"}).level; };
  EXPECT_EQ(level("https://api.stripe.com"), Level::kOk);
  EXPECT_EQ(level("http://127.0.0.1:12111"), Level::kOk);
  EXPECT_EQ(level("https://api.stripe.com.example.org"), Level::kWarn);
}

}  // namespace
}  // namespace tally::exporter::doctor
