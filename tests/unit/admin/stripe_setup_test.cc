#include "admin/stripe_setup.h"

#include "tests/support/stripe_script.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tally::admin {
namespace {

using core::Aggregation;
using core::MeteredItem;
using core::MeterFit;
using runtime::stripe::Answer;
using testing::HasSubstr;
using testing::Not;
using testsupport::stripe_answer;
using testsupport::StripeCall;
using testsupport::StripeScript;

core::Meter meter_of(const std::string& slug, Aggregation aggregation = Aggregation::kSum) {
  core::Meter meter;
  meter.slug = slug;
  meter.aggregation = aggregation;
  meter.stripe = core::StripeMapping{slug, core::Decimal::from_int(1), 0, core::Rounding::kHalfUp};
  return meter;
}

std::string meter_json(const std::string& id, const std::string& event_name,
                       const std::string& formula = "sum") {
  return fmt::format(
      R"({{"id":"{}","event_name":"{}","status":"active","default_aggregation":{{"formula":"{}"}},)"
      R"("value_settings":{{"event_payload_key":"value"}},)"
      R"("customer_mapping":{{"event_payload_key":"stripe_customer_id","type":"by_id"}}}})",
      id, event_name, formula);
}

std::string list(const std::string& data) {
  return fmt::format(R"({{"object":"list","has_more":false,"data":[{}]}})", data);
}

// A Stripe whose meters, items and answers to the making the test sets.
struct Stage {
  Stage()
      : api([this](const StripeCall& call) {
          if (call.method == "POST") return made.at(std::min(posts++, made.size() - 1));
          if (call.target.starts_with("/v1/subscriptions")) return subscriptions;
          return posts > 0 && meters_when_posted ? *meters_when_posted : meters;
        }) {}

  core::Result<void> apply(const SetupRequest& request = {.confirm = [] { return true; }}) {
    out.str("");
    posts = 0;
    return apply_to_stripe(wanted, api, request, out);
  }

  std::vector<core::Meter> wanted = {meter_of("tokens"), meter_of("seats", Aggregation::kLatest)};
  Answer meters = stripe_answer(200, list(meter_json("mtr_1", "tokens")));
  std::optional<Answer> meters_when_posted;
  Answer subscriptions = stripe_answer(200, list(""));
  std::vector<Answer> made = {stripe_answer(200, meter_json("mtr_2", "seats", "last"))};
  std::size_t posts = 0;
  StripeScript api;
  std::ostringstream out;
};

TEST(StripeSetup, MakesWhatIsMissingAndNothingElse) {
  Stage stage;
  const auto done = stage.apply();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(stage.out.str(), HasSubstr("1 to create, 1 ready, 0 refused"));
  EXPECT_THAT(stage.out.str(), HasSubstr("created mtr_2 for seats"));
  const StripeCall& post = stage.api.calls.back();
  EXPECT_EQ(post.target, "/v1/billing/meters");
  EXPECT_EQ(post.form,
            "display_name=seats&event_name=seats&default_aggregation[formula]=last"
            "&customer_mapping[event_payload_key]=stripe_customer_id&customer_mapping[type]=by_id"
            "&value_settings[event_payload_key]=value");
  EXPECT_EQ(stage.posts, 1U);
}

TEST(StripeSetup, TheKeyComesFromTheContent) {
  const core::MeterCheck seats{"seats", "seats", core::StripeFormula::kLast, {}, {}, {}};
  core::MeterCheck other = seats;
  other.formula = core::StripeFormula::kSum;
  const std::string form = meter_form(seats);
  EXPECT_EQ(meter_key(form, 1), meter_key(meter_form(seats), 1));
  EXPECT_NE(meter_key(form, 1), meter_key(meter_form(other), 1));
  EXPECT_NE(meter_key(form, 1), meter_key(form, 2));
  EXPECT_LE(meter_key(form, 1).size(), 255U);
}

TEST(StripeSetup, ARunThatIsDryOrNotConfirmedMakesNothing) {
  Stage stage;
  EXPECT_TRUE(stage.apply({.mode = SetupRequest::Mode::kDryRun}));
  EXPECT_THAT(stage.out.str(), HasSubstr("nothing was created"));
  const auto refused = stage.apply({.confirm = [] { return false; }});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("nothing was created"));
  const auto nobody = stage.apply({});
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("--yes"));
  EXPECT_EQ(stage.posts, 0U);
}

TEST(StripeSetup, ThePlanIsShownBeforeItIsConfirmed) {
  Stage stage;
  std::string seen;
  EXPECT_TRUE(stage.apply({.confirm = [&] {
    seen = stage.out.str();
    return true;
  }}));
  EXPECT_THAT(seen, HasSubstr("seats   seats       last                create\n"));
  EXPECT_THAT(seen, Not(HasSubstr("created")));
}

TEST(StripeSetup, WhereAllIsThereNobodyIsAsked) {
  Stage stage;
  stage.wanted = {meter_of("tokens"), meter_of("low", Aggregation::kMin)};
  stage.wanted.push_back(meter_of("internal"));
  stage.wanted.back().stripe.reset();
  const auto done = stage.apply({});
  EXPECT_TRUE(done);
  EXPECT_THAT(stage.out.str(), HasSubstr("Nothing to do"));
  EXPECT_THAT(stage.out.str(), HasSubstr("not exported"));
  EXPECT_THAT(stage.out.str(), Not(HasSubstr("internal")));
}

// All or nothing: a mistake in one mapping is often one in others too.
TEST(StripeSetup, AMeterThatBillsSomethingElseStopsTheOthersToo) {
  Stage stage;
  stage.meters = stripe_answer(200, list(meter_json("mtr_1", "tokens", "count")));
  const auto refused = stage.apply();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, core::ErrorKind::kConflict);
  EXPECT_THAT(stage.out.str(), HasSubstr("refused: tokens: mtr_1 has the formula \"count\""));
  EXPECT_EQ(stage.posts, 0U);
  EXPECT_FALSE(stage.apply({.mode = SetupRequest::Mode::kDryRun}));
}

TEST(StripeSetup, TwoItemsOfOneCustomerOnOneMeterAreRefused) {
  const auto subscription = [](const std::string& id, const std::string& customer) {
    return fmt::format(
        R"({{"id":"sub_{0}","customer":"{1}","status":"active","items":{{"object":"list","data":)"
        R"([{{"id":"si_{0}","price":{{"recurring":{{"meter":"mtr_1"}}}}}}]}}}})",
        id, customer);
  };
  Stage stage;
  stage.subscriptions =
      stripe_answer(200, list(subscription("1", "cus_1") + "," + subscription("2", "cus_2") + "," +
                              subscription("3", "cus_1")));
  const auto refused = stage.apply();
  ASSERT_FALSE(refused);
  EXPECT_THAT(stage.out.str(), HasSubstr("refused: tokens: customer cus_1 has 2 items on mtr_1: "
                                         "si_1 of sub_1, si_3 of sub_3"));
  EXPECT_THAT(stage.out.str(), Not(HasSubstr("cus_2")));
  EXPECT_EQ(stage.posts, 0U);
}

TEST(StripeSetup, ItemsOnMetersOfOthersAreNoneOfItsBusiness) {
  const std::vector<core::Meter> meters = {meter_of("tokens")};
  const std::vector<core::StripeMeter> at_stripe = {
      {"mtr_1", "tokens", "sum", "", "by_id", "stripe_customer_id", "value", true}};
  const MeteredItem ours{"cus_1", "sub_1", "si_1", "mtr_1"};
  const MeteredItem others{"cus_1", "sub_1", "si_2", "mtr_9"};
  const std::vector<MeteredItem> fine = {ours, others, others};
  EXPECT_TRUE(plan_setup(meters, at_stripe, fine).clashes.empty());
  const std::vector<MeteredItem> twice = {ours, ours};
  EXPECT_EQ(plan_setup(meters, at_stripe, twice).clashes.size(), 1U);
}

TEST(StripeSetup, WhatCannotBeReadIsNotGuessed) {
  Stage meters;
  meters.meters = stripe_answer(401, R"({"error":{"message":"Invalid API Key"}})");
  EXPECT_THAT(meters.apply().error().message, HasSubstr("check the key"));
  Stage subscriptions;
  subscriptions.subscriptions = stripe_answer(403, R"({"error":{"message":"no"}})");
  EXPECT_THAT(subscriptions.apply().error().message, HasSubstr("permission"));
  EXPECT_EQ(subscriptions.posts, 0U);
  Stage none;
  none.subscriptions = stripe_answer(404, R"({"error":{"message":"Unrecognized request URL"}})");
  const auto refused = none.apply({.format = Format::kJson, .confirm = [] { return true; }});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("subscriptions cannot be read"));
  EXPECT_EQ(none.out.str(), "");
  EXPECT_EQ(none.posts, 0U);
}

// Also of a meter that does not fit yet, and where none fits.
TEST(StripeSetup, ItemsAreLookedAtWhicheverMetersFit) {
  Stage stage;
  stage.wanted = {meter_of("tokens")};
  stage.meters = stripe_answer(200, list(meter_json("mtr_1", "tokens", "count")));
  const std::string items = R"([{"id":"si_1","price":{"recurring":{"meter":"mtr_1"}}},)"
                            R"({"id":"si_2","price":{"recurring":{"meter":"mtr_1"}}}])";
  stage.subscriptions =
      stripe_answer(200, list(R"({"id":"sub_1","customer":"cus_1","status":"active","items":)"
                              R"({"object":"list","data":)" +
                              items + "}}"));
  const SetupRequest dry{.mode = SetupRequest::Mode::kDryRun, .format = Format::kJson};
  EXPECT_FALSE(stage.apply(dry));
  EXPECT_THAT(stage.out.str(), HasSubstr(R"("clashes":["tokens: customer cus_1 has 2 items)"));
  stage.meters = stripe_answer(200, list(""));
  stage.subscriptions = stripe_answer(403, R"({"error":{"message":"no"}})");
  EXPECT_FALSE(stage.apply(dry)) << "what was not looked at is not called checked";
}

// A kept 200 tells of a meter that may be gone by now; a lost one hides a meter that is there.
TEST(StripeSetup, WhatIsThereCountsAndNotAKeptOrALostAnswer) {
  Stage gone;
  gone.wanted = {meter_of("seats", Aggregation::kLatest)};
  gone.made = {
      stripe_answer(200, meter_json("mtr_old", "seats", "last"), {{"Idempotent-Replayed", "true"}}),
      stripe_answer(200, meter_json("mtr_new", "seats", "last"))};
  EXPECT_TRUE(gone.apply());
  EXPECT_THAT(gone.out.str(), HasSubstr("created mtr_new"));
  EXPECT_THAT(gone.out.str(), Not(HasSubstr("mtr_old")));
  for (const Answer& lost :
       {stripe_answer(500, R"({"error":{"message":"ill"}})", {{"Idempotent-Replayed", "true"}}),
        testsupport::no_stripe_answer(runtime::http::Fate::kUnknown, "timed out")}) {
    Stage stage;
    stage.made = {lost};
    stage.meters_when_posted = stripe_answer(
        200, list(meter_json("mtr_1", "tokens") + "," + meter_json("mtr_2", "seats", "last")));
    const auto done = stage.apply();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(stage.out.str(), HasSubstr("created mtr_2 for seats"));
    EXPECT_EQ(stage.posts, 1U);
  }
}

TEST(StripeSetup, AKeptRefusalIsAskedAgainWithAnotherKey) {
  Stage stage;
  const std::string error = R"({"error":{"message":"old"}})";
  stage.made = {stripe_answer(400, error, {{"Idempotent-Replayed", "true"}}), stage.made.front()};
  const auto done = stage.apply();
  ASSERT_TRUE(done) << done.error().message;
  std::vector<StripeCall> posts;
  for (const StripeCall& call : stage.api.calls) {
    if (call.method == "POST") posts.push_back(call);
  }
  ASSERT_EQ(posts.size(), 2U);
  EXPECT_EQ(posts[0].form, posts[1].form);
  EXPECT_NE(posts[0].idempotency_key, posts[1].idempotency_key);

  stage.made = {stripe_answer(400, error)};
  const auto fresh = stage.apply();
  ASSERT_FALSE(fresh);
  EXPECT_THAT(fresh.error().message, HasSubstr("seats: 400 old"));
  EXPECT_EQ(stage.posts, 1U);
}

TEST(StripeSetup, WhatStripeMadeIsLookedAt) {
  Stage stage;
  stage.made = {stripe_answer(200, meter_json("mtr_2", "seats", "sum"))};
  EXPECT_EQ(stage.apply().error().kind, core::ErrorKind::kConflict);
  stage.made = {stripe_answer(200, "<html>")};
  EXPECT_FALSE(stage.apply());
}

TEST(StripeSetup, JsonIsOneObjectAlsoWhenItFails) {
  Stage stage;
  const SetupRequest yes{.format = Format::kJson, .confirm = [] { return true; }};
  EXPECT_TRUE(stage.apply(yes));
  EXPECT_EQ(
      stage.out.str(),
      R"({"result":"created","created":1,"meters":[{"meter":"tokens","event_name":"tokens",)"
      R"("formula":"sum","action":"ready","stripe_meter":"mtr_1","faults":[]},{"meter":"seats",)"
      R"("event_name":"seats","formula":"last","action":"created","stripe_meter":"mtr_2",)"
      R"("faults":[]}],"clashes":[],"subscriptions":"checked"})"
      "\n");
  stage.made = {stripe_answer(400, R"({"error":{"message":"no"}})")};
  EXPECT_FALSE(stage.apply(yes));
  EXPECT_THAT(stage.out.str(), HasSubstr(R"({"result":"failed","created":0)"));
}

}  // namespace
}  // namespace tally::admin
