// The life of a subscription: its periods, items, trial, end.
#include "tests/unit/sandbox/billing_fixture.h"

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class SubscriptionsTest : public BillingTest {
 protected:
  static std::pair<std::int64_t, std::int64_t> period_of(const Json& subscription) {
    const Json& item = subscription["items"]["data"][0];
    return {item["current_period_start"], item["current_period_end"]};
  }
};

TEST_F(SubscriptionsTest, APeriodIsExactToTheSecondAndTheNextBeginsWhereItEnds) {
  now_ += 17;
  const Json made = subscribe("&metadata[tally_tenant]=t1");
  EXPECT_EQ(made["status"], "active");
  EXPECT_EQ(made["metadata"]["tally_tenant"], "t1");
  EXPECT_EQ(period_of(made), std::pair(kStart + 17, kMonthOn + 17));
  now_ = kMonthOn + 16;
  EXPECT_EQ(period_of(subscription(made["id"])), std::pair(kStart + 17, kMonthOn + 17));
  now_ = kMonthOn + 17;
  EXPECT_EQ(period_of(subscription(made["id"])),
            std::pair(kMonthOn + 17, kMonthOn + 17 + 28 * kDay));
}

TEST_F(SubscriptionsTest, AnAnchorAheadMakesTheFirstPeriodShort) {
  const Json made = subscribe("&billing_cycle_anchor=" + std::to_string(kStart + 5 * kDay + 1));
  EXPECT_EQ(period_of(made), std::pair(kStart, kStart + 5 * kDay + 1));
  now_ = kStart + 6 * kDay;
  EXPECT_EQ(period_of(subscription(made["id"])),
            std::pair(kStart + 5 * kDay + 1, kStart + 36 * kDay + 1));
}

TEST_F(SubscriptionsTest, ABackdatedOnePicksUpUsageFromBefore) {
  use("4", kStart - kHour);
  const Json made = subscribe("&backdate_start_date=" + std::to_string(kStart - kHour));
  EXPECT_EQ(made["start_date"], kStart - kHour);
  EXPECT_EQ(period_of(made), std::pair(kStart - kHour, kMonthOn));
  use("5", kStart - kHour - 1);
  now_ = kMonthOn + kHour;
  EXPECT_EQ(invoices()[0]["lines"]["data"][0]["quantity_decimal"], "4");
  EXPECT_EQ(balance()["outside"], "5");
}

TEST_F(SubscriptionsTest, UsageOfATrialIsNotBilled) {
  const Json made = subscribe("&trial_end=" + std::to_string(kStart + kDay));
  EXPECT_EQ(made["status"], "trialing");
  use("3", kStart);
  now_ = kStart + kDay + 1;
  const Json after = subscription(made["id"]);
  EXPECT_EQ(after["status"], "active");
  EXPECT_EQ(period_of(after), std::pair(kStart + kDay, kStart + 32 * kDay));
  use("7", kStart + kDay);
  now_ = kStart + 32 * kDay + kHour;
  EXPECT_EQ(invoices()[0]["lines"]["data"][0]["quantity_decimal"], "7");
  EXPECT_EQ(balance()["billed"], "7");
  EXPECT_EQ(balance()["dropped"]["trial"], "3");
}

TEST_F(SubscriptionsTest, ATrialCanEndNowOrLater) {
  const std::string id = subscribe("&trial_period_days=3")["id"];
  const Json later = post("/v1/subscriptions/" + id, "trial_end=" + std::to_string(kStart + kDay));
  EXPECT_EQ(period_of(later).second, kStart + kDay);
  const Json ended = post("/v1/subscriptions/" + id, "trial_end=now");
  EXPECT_EQ(ended["status"], "active");
  EXPECT_EQ(period_of(ended), std::pair(kStart, kMonthOn));
  EXPECT_EQ(call("POST", "/v1/subscriptions/" + id, "trial_end=now").status, 400);
}

TEST_F(SubscriptionsTest, CancelledAtItsPeriodsEndTheLastInvoiceHasTheUsage) {
  const std::string id = subscribe()["id"];
  const Json told = post("/v1/subscriptions/" + id, "cancel_at_period_end=true");
  EXPECT_EQ(told["cancel_at"], kMonthOn);
  now_ = kMonthOn - 1;
  use("8", kMonthOn - 1);
  now_ = kMonthOn;
  const Json gone = subscription(id);
  EXPECT_EQ(gone["status"], "canceled");
  EXPECT_EQ(gone["ended_at"], kMonthOn);
  EXPECT_EQ(invoices()[0]["status"], "draft");
  EXPECT_THAT(events(), testing::Contains("customer.subscription.deleted"));
  now_ = kMonthOn + 40 * kDay;
  EXPECT_EQ(invoices().size(), 2U) << "the first and the last";
  EXPECT_EQ(balance()["billed"], "8");
  EXPECT_EQ(get("/v1/subscriptions")["data"].size(), 0U);
  EXPECT_EQ(get("/v1/subscriptions?status=all")["data"].size(), 1U);
}

TEST_F(SubscriptionsTest, OneMayBeMadeToEnd) {
  EXPECT_EQ(subscribe("&cancel_at_period_end=true")["cancel_at"], kMonthOn);
  const std::string other = subscribe("&cancel_at=" + std::to_string(kStart + kDay + 1))["id"];
  now_ = kStart + kDay;
  EXPECT_EQ(subscription(other)["status"], "active");
  now_ += 1;
  EXPECT_EQ(subscription(other)["status"], "canceled");
  now_ = kMonthOn;
  EXPECT_EQ(get("/v1/subscriptions")["data"].size(), 0U);
}

TEST_F(SubscriptionsTest, ACancellationCanBeTakenBack) {
  const std::string id = subscribe()["id"];
  post("/v1/subscriptions/" + id, "cancel_at=" + std::to_string(kStart + kDay));
  const Json back = post("/v1/subscriptions/" + id, "cancel_at_period_end=false");
  EXPECT_TRUE(back["cancel_at"].is_null());
  now_ = kStart + 2 * kDay;
  EXPECT_EQ(subscription(id)["status"], "active");
}

TEST_F(SubscriptionsTest, CancelledAtOnceItsUsageIsDroppedUnlessInvoicedNow) {
  for (const bool invoices_now : {false, true}) {
    SetUp();
    const std::string id = subscribe()["id"];
    use("8", kStart);
    now_ += kHour;
    const auto gone =
        call("DELETE", "/v1/subscriptions/" + id + (invoices_now ? "?invoice_now=true" : ""));
    EXPECT_EQ(json(gone)["status"], "canceled") << gone.body;
    EXPECT_EQ(invoices().size(), invoices_now ? 2U : 1U);
    EXPECT_EQ(balance()["billed"], invoices_now ? "8" : "0");
    EXPECT_EQ(balance()["dropped"].value("canceled", "0"), invoices_now ? "0" : "8");
    EXPECT_EQ(call("DELETE", "/v1/subscriptions/" + id).status, 400);
    now_ = kStart;
  }
}

TEST_F(SubscriptionsTest, ADeletedCustomerEndsThem) {
  const std::string id = subscribe()["id"];
  call("DELETE", "/v1/customers/cus_1");
  EXPECT_EQ(subscription(id)["status"], "canceled");
  EXPECT_THAT(events(),
              testing::IsSupersetOf({"customer.subscription.deleted", "customer.deleted"}));
}

TEST_F(SubscriptionsTest, TheUsageOfADeletedItemIsNotInvoiced) {
  const std::string other = price("usage_type=metered&meter=" + meter("bytes"));
  const Json made = subscribe("&items[1][price]=" + other);
  use("8", kStart);
  now_ += kHour;
  const std::string item = made["items"]["data"][0]["id"];
  const Json after = post("/v1/subscriptions/" + made["id"].get<std::string>(),
                          "items[0][id]=" + item + "&items[0][deleted]=true");
  EXPECT_EQ(after["items"]["data"].size(), 1U);
  now_ = kMonthOn + kHour;
  EXPECT_EQ(balance()["dropped"]["item_deleted"], "8");
  EXPECT_EQ(balance()["billed"], "0");
}

// Flexible bills what was used under the old price at the switch, classic loses it.
TEST_F(SubscriptionsTest, APriceSwitchBillsOrDropsWhatWasUsedBefore) {
  for (const std::string mode : {"flexible", "classic"}) {
    SetUp();
    const std::string dearer = price("usage_type=metered&meter=" + meter_, "0");
    const Json made = subscribe("&billing_mode[type]=" + mode);
    use("8", kStart);
    now_ += kHour;
    use("1", now_);
    const std::string item = made["items"]["data"][0]["id"];
    const Json after = post("/v1/subscriptions/" + made["id"].get<std::string>(),
                            "items[0][id]=" + item + "&items[0][price]=" + dearer);
    EXPECT_EQ(period_of(after), std::pair(kStart, kMonthOn)) << "the period goes on";
    now_ = kMonthOn + kHour;
    const Json last = invoices()[0]["lines"]["data"][0];
    EXPECT_EQ(last["quantity_decimal"], "1");
    EXPECT_EQ(last["period"]["start"], kStart + kHour) << "from the switch on";
    const bool flexible = mode == "flexible";
    EXPECT_EQ(balance()["billed"], flexible ? "9" : "1");
    EXPECT_EQ(balance()["dropped"].value("price_switch", "0"), flexible ? "0" : "8");
    EXPECT_EQ(invoices()[1]["billing_reason"],
              flexible ? "subscription_update" : "subscription_create");
    now_ = kStart;
  }
}

TEST_F(SubscriptionsTest, AnItemAddedLaterBillsFromThenOn) {
  const std::string bytes = meter("bytes");
  const std::string other = price("usage_type=metered&meter=" + bytes);
  const std::string id = subscribe()["id"];
  now_ += kDay;
  const Json after = post("/v1/subscriptions/" + id, "items[0][price]=" + other);
  EXPECT_EQ(after["items"]["data"].size(), 2U);
  EXPECT_NE(after["items"]["data"][0]["id"], after["items"]["data"][1]["id"]);
  EXPECT_EQ(periods()[1]["start"], kStart + kDay);
}

TEST_F(SubscriptionsTest, AnItemAddedToABackdatedOneInItsFirstSecondBillsFromThenOnToo) {
  const std::string other = price("usage_type=metered&meter=" + meter("bytes"));
  const std::string id = subscribe("&backdate_start_date=" + std::to_string(kStart - kDay))["id"];
  post("/v1/subscriptions/" + id, "items[0][price]=" + other);
  EXPECT_EQ(periods()[0]["start"], kStart - kDay);
  EXPECT_EQ(periods()[1]["start"], kStart);
}

TEST_F(SubscriptionsTest, StatusesAreSetOnRequestAndTold) {
  const std::string id = subscribe()["id"];
  const std::string body = Json{{"subscription", id}, {"status", "past_due"}}.dump();
  EXPECT_EQ(call("POST", "/sandbox/subscriptions", body).status, 200);
  EXPECT_EQ(subscription(id)["status"], "past_due");
  const Json newest = get("/v1/events")["data"][0];
  EXPECT_EQ(newest["type"], "customer.subscription.updated");
  EXPECT_EQ(newest["data"]["previous_attributes"]["status"], "active");
  EXPECT_EQ(newest["data"]["object"]["status"], "past_due");
  for (const char* status : {"canceled", "trialing"}) {
    const std::string none = Json{{"subscription", id}, {"status", status}}.dump();
    EXPECT_EQ(call("POST", "/sandbox/subscriptions", none).status, 400) << status;
  }
}

TEST_F(SubscriptionsTest, WhatMakesNoSubscriptionIsRefused) {
  const std::string once = post("/v1/prices", "currency=usd&product=p&unit_amount=5")["id"];
  const std::string yearly =
      post("/v1/prices", "currency=usd&product=p&unit_amount=5&recurring[interval]=year")["id"];
  for (const std::string& body : std::vector<std::string>{
           "", "customer=cus_1", "customer=cus_1&items[0][price]=price_none",
           "customer=cus_1&items[0][price]=" + once, "customer=cus_1&items[][price]=" + price_,
           "customer=cus_1&items[0][price]=" + price_ + "&items[1][price]=" + yearly,
           "customer=cus_1&items[0][price]=" + price_ + "&items[0][quantity]=2",
           "customer=cus_1&items[0][price]=" + price_ + "&trial_end=1",
           "customer=cus_1&items[0][price]=" + price_ + "&billing_cycle_anchor=1",
           "customer=cus_1&items[0][price]=" + price_ + "&billing_mode[type]=other",
           "customer=cus_1&items[0][price]=" + price_ + "&surprise=1"}) {
    EXPECT_EQ(call("POST", "/v1/subscriptions", body).status, 400) << body;
  }
  set({{"unknown_customers", "reject"}});
  EXPECT_EQ(code(call("POST", "/v1/subscriptions", "customer=cus_2&items[0][price]=" + price_)),
            "resource_missing");
  EXPECT_EQ(call("GET", "/v1/subscriptions/sub_none").status, 404);
  EXPECT_EQ(get("/v1/subscriptions")["data"].size(), 0U);
}

TEST_F(SubscriptionsTest, PricesThatDoNotGoTogetherAreRefused) {
  const std::string id = subscribe()["id"];
  const std::string euros =
      post("/v1/prices", "currency=eur&product=p&unit_amount=5&recurring[interval]=month")["id"];
  const std::string yearly =
      post("/v1/prices", "currency=usd&product=p&unit_amount=5&recurring[interval]=year")["id"];
  const std::string idle = post("/v1/prices",
                                "currency=usd&product=p&unit_amount=5&recurring[interval]=month&"
                                "active=false")["id"];
  const std::string first = "customer=cus_1&items[0][price]=" + price_ + "&items[1][price]=";
  const std::string item = subscription(id)["items"]["data"][0]["id"];
  for (const std::string& other : {price_, euros, yearly, idle}) {
    EXPECT_EQ(call("POST", "/v1/subscriptions", first + other).status, 400) << other;
    EXPECT_EQ(call("POST", "/v1/subscriptions/" + id, "items[0][price]=" + other).status, 400);
  }
  EXPECT_EQ(
      call("POST", "/v1/subscriptions/" + id, "items[0][id]=" + item + "&items[0][price]=" + yearly)
          .status,
      400)
      << "the interval stays";
  const Json of_euros = post("/v1/subscriptions", "customer=cus_1&items[0][price]=" + euros);
  EXPECT_EQ(of_euros["currency"], "eur");
  EXPECT_EQ(invoices()[0]["currency"], "eur");
  post("/v1/invoiceitems", "customer=cus_1&amount=7");
  now_ = kMonthOn;
  const Json drafts = invoices();
  ASSERT_EQ(drafts.size(), 4U);
  EXPECT_EQ(drafts[0]["lines"]["data"].size() + drafts[1]["lines"]["data"].size(), 3U)
      << "usage, a fee, and the item on the invoice of its currency";
  for (const Json& draft : {drafts[0], drafts[1]}) {
    EXPECT_EQ(draft["lines"]["data"].size(), draft["currency"] == "usd" ? 2U : 1U);
  }
}

// The grace is shorter than the period, and what is due in one second is done in one order: usage
// is counted, the old invoice frozen, the period ended.
TEST_F(SubscriptionsTest, ADaysInvoiceIsFrozenBeforeTheNextDayEnds) {
  const std::string daily = post("/v1/prices",
                                 "currency=usd&product=p&unit_amount=2&recurring[interval]=day&"
                                 "recurring[usage_type]=metered&recurring[meter]=" +
                                     meter_)["id"];
  set({{"grace_s", 72 * kHour}});
  post("/v1/subscriptions", "customer=cus_1&items[0][price]=" + daily);
  use("3", kStart);
  now_ = kStart + kDay;
  EXPECT_EQ(invoices()[0]["automatically_finalizes_at"], kStart + 2 * kDay - 1);
  set({{"grace_s", kDay - 1}});
  now_ = kStart + 2 * kDay - 1;
  EXPECT_EQ(invoices()[0]["status"], "paid");
  EXPECT_EQ(invoices()[0]["total"], 6);
}

TEST_F(SubscriptionsTest, APricesMeterIsThereAndActiveAndItsLookupKeyItsOwn) {
  const std::string base = "currency=usd&product=p&unit_amount=5&recurring[interval]=month";
  for (const std::string more :
       {"&recurring[usage_type]=metered", "&recurring[meter]=mtr_none",
        "&recurring[usage_type]=metered&recurring[meter]=mtr_none", "&unit_amount_decimal=1",
        "&recurring[interval]=never", "&recurring[interval_count]=0", "&product_data[name]=n"}) {
    EXPECT_EQ(call("POST", "/v1/prices", base + more).status, 400) << more;
  }
  const std::string first = post("/v1/prices", base + "&lookup_key=pro")["id"];
  EXPECT_EQ(call("POST", "/v1/prices", base + "&lookup_key=pro").status, 400);
  const std::string next =
      post("/v1/prices", base + "&lookup_key=pro&transfer_lookup_key=true")["id"];
  const Json found = get("/v1/prices?lookup_keys[]=pro")["data"];
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0]["id"], next);
  EXPECT_TRUE(get("/v1/prices/" + first)["lookup_key"].is_null());
  EXPECT_EQ(get("/v1/prices/" + price_)["recurring"]["meter"], meter_);
  post("/v1/prices", base + "&lookup_key=more");
  EXPECT_EQ(get("/v1/prices?lookup_keys[]=pro&lookup_keys[]=more")["data"].size(), 2U);
  call("POST", "/v1/billing/meters/" + meter_ + "/deactivate");
  EXPECT_EQ(
      call("POST", "/v1/prices", base + "&recurring[usage_type]=metered&recurring[meter]=" + meter_)
          .status,
      400);
}

TEST_F(SubscriptionsTest, OldVersionsHaveTheirFieldsInOldPlaces) {
  const std::string id = subscribe()["id"];
  set({{"api_version", "2024-06-20"}});
  const Json old = subscription(id);
  EXPECT_EQ(old["current_period_start"], kStart);
  EXPECT_EQ(old["current_period_end"], kMonthOn);
  EXPECT_FALSE(old["items"]["data"][0].contains("current_period_end"));
  const Json invoice = invoices()[0];
  EXPECT_EQ(invoice["subscription"], id);
  EXPECT_FALSE(invoice.contains("parent"));
  const Json line = invoice["lines"]["data"][0];
  EXPECT_EQ(line["price"]["id"], price_);
  EXPECT_EQ(line["subscription"], id);
  EXPECT_EQ(line["type"], "subscription");
  set({{"api_version", "2025-03-31.basil"}});
  EXPECT_FALSE(subscription(id).contains("current_period_end"));
  EXPECT_EQ(invoices()[0]["parent"]["subscription_details"]["subscription"], id);
}

TEST_F(SubscriptionsTest, DecimalQuantitiesAreShownSinceTheirVersionOnly) {
  subscribe();
  use("7.5", kStart);
  post("/v1/invoiceitems", "customer=cus_1&quantity_decimal=2.5&unit_amount_decimal=2");
  now_ = kMonthOn + kHour;
  for (const std::string version : {"2024-06-20", "2025-03-31.basil", "2026-03-24.x"}) {
    set({{"api_version", version}});
    const Json lines = invoices()[0]["lines"]["data"];
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0]["quantity"], 7) << version;
    EXPECT_EQ(lines[1]["quantity"], 2) << version;
    EXPECT_FALSE(lines[0].contains("quantity_decimal")) << version;
    EXPECT_FALSE(lines[1].contains("quantity_decimal")) << version;
    EXPECT_FALSE(get("/v1/invoiceitems")["data"][0].contains("quantity_decimal")) << version;
    const std::string id = invoices()[0]["id"];
    EXPECT_FALSE(get("/v1/invoices/" + id + "/lines")["data"][0].contains("quantity_decimal"));
  }
  set({{"api_version", "2026-03-25.dahlia"}});
  EXPECT_EQ(invoices()[0]["lines"]["data"][0]["quantity_decimal"], "7.5");
  EXPECT_EQ(get("/v1/invoiceitems")["data"][0]["quantity_decimal"], "2.5");
}

TEST_F(SubscriptionsTest, OldVersionsHaveItemsAndWhatWasBeforeInOldPlacesToo) {
  const std::string id = subscribe()["id"];
  const std::string once = post("/v1/prices", "currency=usd&product=p&unit_amount=5")["id"];
  post("/v1/invoiceitems", "customer=cus_1&quantity=2&price=" + once + "&subscription=" + id);
  now_ = kMonthOn;
  set({{"api_version", "2024-06-20"}});
  const Json item = get("/v1/invoiceitems")["data"][0];
  EXPECT_EQ(item["price"]["id"], once);
  EXPECT_EQ(item["subscription"], id);
  EXPECT_EQ(item["unit_amount_decimal"], "5");
  EXPECT_FALSE(item.contains("pricing"));
  EXPECT_FALSE(item.contains("parent"));
  subscription(id);
  now_ = kMonthOn + 28 * kDay;
  const Json told = get("/v1/events?type=customer.subscription.updated")["data"][0]["data"];
  EXPECT_EQ(told["object"]["current_period_start"], kMonthOn + 28 * kDay);
  EXPECT_EQ(told["previous_attributes"]["current_period_start"], kMonthOn);
  EXPECT_FALSE(told["previous_attributes"]["items"]["data"][0].contains("current_period_start"));
}

}  // namespace
}  // namespace tally::sandbox
