// Drafts, grace, what is frozen and what is late, payments, invoice items, the state file.
#include "tests/unit/sandbox/billing_fixture.h"
#include "tests/unit/sandbox/state_file_fixture.h"

#include <sstream>

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;

class InvoicesTest : public BillingTest {
 protected:
  void SetUp() override {
    BillingTest::SetUp();
    id_ = subscribe()["id"];
  }
  Json newest() { return invoices()[0]; }
  Json line() { return newest()["lines"]["data"][0]; }
  Json item(const std::string& more) {
    return post("/v1/invoiceitems", "customer=cus_1&currency=usd" + more);
  }
  std::string id_;
};

TEST_F(InvoicesTest, TheFirstIsFinalAtOnceAndSaysNothingOfUsage) {
  const Json first = newest();
  EXPECT_EQ(first["billing_reason"], "subscription_create");
  EXPECT_EQ(first["status"], "paid");
  EXPECT_EQ(first["total"], 0);
  EXPECT_EQ(line()["quantity"], 0);
  EXPECT_EQ(line()["period"]["end"], kMonthOn) << "yet this is no bill of the period";
  EXPECT_EQ(subscription(id_)["latest_invoice"], first["id"]);
  EXPECT_THAT(events(), ElementsAre("billing.meter.created", "customer.subscription.created",
                                    "invoice.created", "invoice.finalized", "invoice.paid"));
}

TEST_F(InvoicesTest, WithoutZeroLinesThereIsNoFirst) {
  set({{"zero_lines", false}});
  subscribe();
  EXPECT_EQ(invoices().size(), 1U);
}

TEST_F(InvoicesTest, UsageUntilTheEndIsBilledAfterTheGrace) {
  use("1.5", kStart);
  now_ = kMonthOn - 1;
  use("2", kMonthOn - 1);
  now_ = kMonthOn;
  use("16", kMonthOn);
  const Json draft = newest();
  EXPECT_EQ(draft["status"], "draft");
  EXPECT_EQ(draft["billing_reason"], "subscription_cycle");
  EXPECT_EQ(draft["automatically_finalizes_at"], kMonthOn + kHour);
  EXPECT_EQ(line()["quantity_decimal"], "3.5");
  EXPECT_EQ(line()["period"], (Json{{"start", kStart}, {"end", kMonthOn}}));
  now_ = kMonthOn + kHour - 1;
  use("4", kStart);
  EXPECT_EQ(line()["quantity_decimal"], "3.5") << "a draft's quantity is refreshed at the end";
  EXPECT_EQ(newest()["status"], "draft");
  now_ = kMonthOn + kHour;
  EXPECT_EQ(newest()["status"], "paid");
  EXPECT_TRUE(newest()["automatically_finalizes_at"].is_null());
  EXPECT_EQ(newest()["status_transitions"]["finalized_at"], kMonthOn + kHour);
  EXPECT_EQ(line()["quantity"], 7);
  EXPECT_EQ(line()["quantity_decimal"], "7.5");
  EXPECT_EQ(line()["amount"], 19) << "7.5 * 2.5 = 18.75 cents";
  EXPECT_EQ(line()["pricing"]["price_details"]["price"], price_);
}

TEST_F(InvoicesTest, WhatComesAfterIsOnNoInvoiceThoughSummariesShowIt) {
  use("5", kStart);
  now_ = kMonthOn + kHour;
  use("3", kMonthOn - 1);
  const std::string summaries = "/v1/billing/meters/" + meter_ + "/event_summaries?customer=cus_1" +
                                "&start_time=" + std::to_string(kStart) +
                                "&end_time=" + std::to_string(kMonthOn);
  EXPECT_EQ(get(summaries)["data"][0]["aggregated_value"], 8);
  now_ += 30 * kDay;
  Json billed = Json::array();
  for (const Json& invoice : invoices()) {
    billed.push_back(invoice["lines"]["data"][0]["quantity_decimal"]);
  }
  EXPECT_EQ(billed, (Json{"0", "5", "0"})) << "newest first";
  const Json row = periods()[0];
  EXPECT_EQ(row["billed"], "5");
  EXPECT_EQ(row["late"], "3");
  EXPECT_EQ(row["counted"], "8");
  EXPECT_EQ(row["invoice"], invoices()[1]["id"]);
  const Json whole = balance();
  EXPECT_EQ(whole["counted"], "8");
  EXPECT_EQ(whole["billed"], "5");
  EXPECT_EQ(whole["late"], "3");
  EXPECT_EQ(whole["more_than_once"], "0");
}

TEST_F(InvoicesTest, AnEventThatWaitsWhileItsInvoiceIsFinalizedIsLate) {
  set({{"apply_delay_min_s", 30}, {"apply_delay_max_s", 30}});
  now_ = kMonthOn + kHour - 30;
  use("1", kStart);
  now_ += 1;
  use("2", kStart);
  now_ += kDay;
  EXPECT_EQ(periods()[0]["billed"], "1");
  EXPECT_EQ(periods()[0]["late"], "2");
}

TEST_F(InvoicesTest, OneJumpOfTheClockDoesEverythingInOrder) {
  use("1", kStart);
  now_ += 100 * kDay;
  const Json all = invoices();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0]["created"], kStart + 90 * kDay);
  EXPECT_EQ(all[2]["status_transitions"]["finalized_at"], kMonthOn + kHour);
  const Json told = get("/v1/events?limit=100")["data"];
  for (std::size_t i = 1; i < told.size(); ++i) {
    EXPECT_GE(told[i - 1]["created"], told[i]["created"]);
  }
}

TEST_F(InvoicesTest, TheGraceIsASetting) {
  set({{"grace_s", 72 * 3'600}});
  now_ = kMonthOn + 72 * kHour - 1;
  EXPECT_EQ(newest()["status"], "draft");
  use("1", kStart + 10 * kDay);
  now_ += 1;
  EXPECT_EQ(newest()["status"], "paid");
  EXPECT_EQ(line()["quantity"], 1);
  EXPECT_EQ(settings({{"grace_s", 60}}).status, 400);
}

TEST_F(InvoicesTest, ATotalBelowZeroIsBilledAsZero) {
  use("-3", kStart);
  now_ = kMonthOn + kHour;
  EXPECT_EQ(line()["quantity_decimal"], "0");
  EXPECT_EQ(balance()["billed"], "0");
  EXPECT_EQ(balance()["negative"], "-3");
  EXPECT_EQ(balance()["late"], "0");
}

TEST_F(InvoicesTest, TheLastOfAPeriodIsBilledByItself) {
  const std::string gauge = meter("seats", "last");
  const std::string of_gauge = price("usage_type=metered&meter=" + gauge);
  post("/v1/subscriptions", "customer=cus_2&items[0][price]=" + of_gauge);
  for (const std::int64_t at : {kStart + 2, kStart, kStart + 1}) {
    call("POST", "/v1/billing/meter_events",
         "event_name=seats&payload[stripe_customer_id]=cus_2&payload[value]=" +
             std::to_string(at - kStart + 7) + "&timestamp=" + std::to_string(at));
  }
  now_ = kMonthOn + kHour;
  EXPECT_EQ(get("/v1/invoices?customer=cus_2")["data"][0]["lines"]["data"][0]["quantity"], 9);
}

TEST_F(InvoicesTest, FeesAreBilledAheadAndUsageAfter) {
  const std::string fee =
      post("/v1/prices", "currency=usd&product=p&unit_amount=1000&recurring[interval]=month")["id"];
  const std::string id = subscribe("&items[1][price]=" + fee + "&items[1][quantity]=3")["id"];
  EXPECT_EQ(newest()["total"], 3'000);
  EXPECT_EQ(newest()["amount_paid"], 3'000);
  use("4", kStart);
  now_ = kMonthOn + kHour;
  const Json lines = get("/v1/invoices?subscription=" + id)["data"][0]["lines"]["data"];
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["period"]["end"], kMonthOn);
  EXPECT_EQ(lines[1]["period"]["start"], kMonthOn);
  EXPECT_EQ(balance()["more_than_once"], "4") << "two subscriptions bill one meter";
}

TEST_F(InvoicesTest, AFailedPaymentMakesItPastDueAndAPaymentActiveAgain) {
  set({{"payments", "fail"}});
  use("400", kStart);
  now_ = kMonthOn + kHour;
  const std::string invoice = newest()["id"];
  EXPECT_EQ(newest()["status"], "open");
  EXPECT_EQ(newest()["attempt_count"], 1);
  EXPECT_EQ(newest()["next_payment_attempt"], kMonthOn + kHour + 3 * kDay);
  EXPECT_EQ(subscription(id_)["status"], "past_due");
  EXPECT_THAT(events(), testing::Contains("invoice.payment_failed"));
  EXPECT_EQ(post("/v1/invoices/" + invoice + "/pay", "")["status"], "paid");
  EXPECT_EQ(subscription(id_)["status"], "active");
  EXPECT_THAT(events(), testing::IsSupersetOf({"invoice.paid", "invoice.payment_succeeded"}));
  EXPECT_EQ(call("POST", "/v1/invoices/" + invoice + "/pay").status, 400);
}

TEST_F(InvoicesTest, PaymentsAreToldByHand) {
  set({{"payments", "manual"}});
  use("400", kStart);
  now_ = kMonthOn;
  const std::string invoice = newest()["id"];
  const auto tell = [&](const std::string& outcome) {
    return call("POST", "/sandbox/invoices",
                Json{{"invoice", invoice}, {"outcome", outcome}}.dump())
        .status;
  };
  EXPECT_EQ(tell("paid"), 400) << "a draft";
  EXPECT_EQ(post("/v1/invoices/" + invoice + "/finalize", "")["status"], "open");
  EXPECT_EQ(tell("payment_failed"), 200);
  EXPECT_EQ(tell("payment_failed"), 200);
  EXPECT_EQ(newest()["attempt_count"], 2);
  EXPECT_EQ(tell("paid"), 200);
  EXPECT_EQ(newest()["status"], "paid");
  EXPECT_EQ(tell("paid"), 400);
}

TEST_F(InvoicesTest, AnItemWaitsForItsCustomersNextInvoice) {
  const Json waits = item("&quantity_decimal=12.5&unit_amount_decimal=2&description=late");
  EXPECT_EQ(waits["amount"], 25);
  EXPECT_TRUE(waits["invoice"].is_null());
  item("&amount=-5&subscription=" + id_ + "&period[start]=1&period[end]=2");
  EXPECT_EQ(get("/v1/invoiceitems?customer=cus_1&pending=true")["data"].size(), 2U);
  now_ = kMonthOn + kHour;
  const Json lines = newest()["lines"]["data"];
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1]["quantity_decimal"], "12.5");
  EXPECT_EQ(lines[1]["parent"]["invoice_item_details"]["invoice_item"], waits["id"]);
  EXPECT_EQ(lines[2]["period"], (Json{{"start", 1}, {"end", 2}}));
  EXPECT_EQ(newest()["total"], 20);
  const std::string id = waits["id"];
  EXPECT_EQ(get("/v1/invoiceitems/" + id)["invoice"], newest()["id"]);
  now_ += 40 * kDay;
  EXPECT_EQ(newest()["lines"]["data"].size(), 1U) << "on one invoice only";
}

TEST_F(InvoicesTest, AnItemGoesIntoADraftThatItNamesAndIntoNoOther) {
  now_ = kMonthOn;
  const std::string draft = newest()["id"];
  item("&amount=7&invoice=" + draft);
  EXPECT_EQ(newest()["total"], 7);
  now_ += kHour;
  EXPECT_EQ(newest()["lines"]["data"][1]["amount"], 7) << "and stays";
  EXPECT_EQ(call("POST", "/v1/invoiceitems", "customer=cus_1&amount=7&invoice=" + draft).status,
            400);
}

TEST_F(InvoicesTest, WhatMakesNoItemIsRefused) {
  for (const std::string& more : std::vector<std::string>{
           "", "&amount=1&unit_amount_decimal=1", "&unit_amount_decimal=x",
           "&unit_amount_decimal=1&quantity=1&quantity_decimal=1", "&amount=1&period[start]=5",
           "&amount=1&period[start]=5&period[end]=4", "&pricing[price]=" + price_,
           "&amount=1&subscription=sub_none", "&amount=1&invoice=in_none", "&amount=1&x=1"}) {
    EXPECT_EQ(call("POST", "/v1/invoiceitems", "customer=cus_1" + more).status, 400) << more;
  }
  EXPECT_EQ(get("/v1/invoiceitems")["data"].size(), 0U);
}

TEST_F(InvoicesTest, AnInvoiceShowsTenLinesAndTheOthersArePaged) {
  for (int i = 0; i < 12; ++i) item("&amount=1");
  now_ = kMonthOn + kHour;
  EXPECT_EQ(newest()["lines"]["data"].size(), 10U);
  EXPECT_EQ(newest()["lines"]["has_more"], true);
  const std::string url = newest()["lines"]["url"];
  const Json all = get(url + "?limit=100");
  EXPECT_EQ(all["data"].size(), 13U);
  const std::string last = all["data"][9]["id"];
  EXPECT_EQ(get(url + "?starting_after=" + last)["data"].size(), 3U);
}

TEST_F(InvoicesTest, ListsAreFiltered) {
  now_ = kMonthOn + kHour;
  const std::string from = "/v1/invoices?created[gte]=" + std::to_string(kMonthOn);
  EXPECT_EQ(get(from)["data"].size(), 1U);
  EXPECT_EQ(get("/v1/invoices?created[lt]=" + std::to_string(kMonthOn))["data"].size(), 1U);
  EXPECT_EQ(get("/v1/invoices?status=draft")["data"].size(), 0U);
  EXPECT_EQ(get("/v1/invoices?customer=cus_2")["data"].size(), 0U);
  EXPECT_EQ(call("GET", "/v1/invoices?surprise=1").status, 400);
  EXPECT_EQ(call("GET", "/v1/invoices/in_none").status, 404);
}

TEST_F(InvoicesTest, TheOracleIsAskedOfOneCustomerOrInvoice) {
  now_ = kMonthOn + kHour;
  const std::string invoice = newest()["id"];
  EXPECT_EQ(get("/sandbox/oracle/periods?invoice=" + invoice)["periods"].size(), 1U);
  EXPECT_EQ(get("/sandbox/oracle/periods?customer=cus_1")["periods"].size(), 2U);
  EXPECT_EQ(get("/sandbox/oracle/periods?customer=cus_2")["periods"].size(), 0U);
}

// Each unit has one fate, to the last digit, whatever happened. The first period is
// [0 d, 31 d), the second [31 d, 59 d), their drafts are final an hour later; 17 s after a day d
// events of d, d - 1, d - 2 and d - 9 are sent, with the values 1, 2, 3, ….
TEST_F(InvoicesTest, TheBalanceAddsUp) {
  set({{"invoice_arithmetic", "exact"}});
  std::int64_t number = 0;
  for (const std::int64_t days : {0, 3, 20, 31, 32, 45, 59, 60, 75}) {
    now_ = kStart + days * kDay + 17;
    for (const std::int64_t back : {0, 1, 2, 9}) {
      use(std::to_string(++number) + ".000000000001", now_ - back * kDay);
    }
    if (days == 45) post("/v1/subscriptions/" + id_, "cancel_at_period_end=true");
  }
  const Json sums = balance();
  // 1 (day 0) · 5, 6, 7 (3, 2, 1) · 9, 10, 11, 12 (20, 19, 18, 11) · 14, 15, 16 (30, 29, 22), sent
  // within the grace. Of the second 13 (31) · 17, 18 (32, 31) · 21, 22, 23, 24 (45, 44, 43, 36) ·
  // 26, 27, 28 (58, 57, 50), within the grace.
  EXPECT_EQ(sums["billed"], "325.000000000021");
  // 19, 20 (30, 23) on day 32 · 31, 32 (58, 51) on day 60.
  EXPECT_EQ(sums["late"], "102.000000000004");
  // 2, 3, 4 and 8 before the start · 25, 29, 30 and 33 to 36 after the end.
  EXPECT_EQ(sums["outside"], "239.000000000011");
  EXPECT_EQ(sums["counted"], "666.000000000036");
  for (const char* part : {"waiting", "negative", "rounded", "late_removed", "more_than_once"}) {
    EXPECT_EQ(sums[part], "0") << part;
  }
  EXPECT_EQ(get("/sandbox/oracle/billing")["wrong_periods"], Json::array());
}

// A period's total is a double at Stripe: what it bills is not what was sent.
TEST_F(InvoicesTest, AnInvoiceAddsDoublesUnlessToldOtherwise) {
  for (const bool exact : {false, true}) {
    SetUp();
    if (exact) set({{"invoice_arithmetic", "exact"}});
    for (int i = 0; i < 1'000; ++i) use("0.1", kStart);
    now_ = kMonthOn;
    EXPECT_EQ(line()["quantity_decimal"], exact ? "100" : "99.999999999999") << "the draft's";
    now_ += kHour;
    EXPECT_EQ(line()["quantity_decimal"], exact ? "100" : "99.999999999999");
    EXPECT_EQ(balance()["counted"], "100");
    EXPECT_EQ(balance()["billed"], exact ? "100" : "99.999999999999");
    EXPECT_EQ(balance()["rounded"], exact ? "0" : "0.000000000001");
    EXPECT_EQ(balance()["more_than_once"], "0");
    now_ = kStart;
  }
}

// A late event and a late cancelling of as much are two losses, not none.
TEST_F(InvoicesTest, WhatCameAndWhatWentLateAreToldApart) {
  now_ = kMonthOn - kHour;
  use("3", now_);
  use("8", now_);
  now_ = kMonthOn + kHour;
  use("3", kMonthOn - 1);
  use("-5", kMonthOn - 1);
  for (const char* gone : {"e1", "e3"}) {
    post("/v1/billing/meter_event_adjustments",
         std::string("event_name=tokens&type=cancel&cancel[identifier]=") + gone);
  }
  use("4", kMonthOn - 1);
  const Json row = periods()[0];
  EXPECT_EQ(row["billed"], "11");
  EXPECT_EQ(row["late_added"], "4") << "e3 came and went";
  EXPECT_EQ(row["late_removed"], "-8");
  EXPECT_EQ(row["late"], "-4");
  EXPECT_EQ(balance()["more_than_once"], "0");
}

TEST_F(InvoicesTest, InvoiceItemsAreInTheOracleOnceForEachThatWasMade) {
  const std::string late = "&quantity_decimal=3&unit_amount_decimal=2&metadata[row]=7";
  item(late);
  item(late);
  const auto items = [&] { return get("/sandbox/oracle/billing")["invoice_items"]["cus_1"]; };
  EXPECT_EQ(items()["waiting"], (Json{{"quantity", "6"}, {"amount", 12}}));
  now_ = kMonthOn;
  EXPECT_EQ(items()["waiting"]["quantity"], "6") << "on a draft";
  now_ += kHour;
  item("&amount=5");
  EXPECT_EQ(items()["billed"], (Json{{"quantity", "6"}, {"amount", 12}}));
  EXPECT_EQ(items()["waiting"], (Json{{"quantity", "1"}, {"amount", 5}}));
  const Json first = items()["items"][0];
  EXPECT_EQ(first["metadata"]["row"], "7");
  EXPECT_EQ(first["state"], "billed");
  EXPECT_EQ(first["invoice"], newest()["id"]);
}

// One such event once made every later request fail.
TEST_F(InvoicesTest, WhatCostsMoreThanAnyBillIsBilledAsTheMost) {
  const std::string dear =
      post("/v1/prices",
           "currency=usd&product=p&unit_amount_decimal=99999999&recurring[interval]=month&"
           "recurring[usage_type]=metered&recurring[meter]=" +
               meter_)["id"];
  const std::string id = post("/v1/subscriptions", "customer=cus_1&items[0][price]=" + dear)["id"];
  for (int i = 0; i < 3; ++i) use("999999999999999", kStart);
  now_ = kMonthOn + kHour;
  const Json invoice = get("/v1/invoices?subscription=" + id)["data"][0];
  EXPECT_EQ(invoice["lines"]["data"][0]["quantity_decimal"], "2999999999999997");
  EXPECT_EQ(invoice["total"], kMostCents);
  for (const char* wrong : {"unit_amount=100000000", "unit_amount_decimal=99999999.000001"}) {
    EXPECT_EQ(call("POST", "/v1/prices", std::string("currency=usd&product=p&") + wrong).status,
              400);
  }
  for (const char* wrong : {"amount=100000000", "amount=-100000000",
                            "quantity=999999999999999&unit_amount_decimal=1"}) {
    EXPECT_EQ(call("POST", "/v1/invoiceitems", std::string("customer=cus_1&") + wrong).status, 400);
  }
  const std::string fee =
      post("/v1/prices", "currency=usd&product=p&unit_amount=5&recurring[interval]=month")["id"];
  for (const char* wrong : {"-1", "9000000000000000000"}) {
    EXPECT_EQ(call("POST", "/v1/subscriptions",
                   "customer=cus_1&items[0][price]=" + fee + "&items[0][quantity]=" + wrong)
                  .status,
              400);
  }
  EXPECT_EQ(get("/sandbox/oracle/periods")["periods"].size(), 4U) << "nothing of what was refused";
}

TEST_F(InvoicesTest, MetadataIsAClientsOwnWhateverItSays) {
  const std::string mine = "&metadata[object]=event&metadata[sandbox]=x&metadata[lines]=y";
  const Json expected = {{"object", "event"}, {"sandbox", "x"}, {"lines", "y"}};
  const std::string id = subscribe(mine)["id"];
  EXPECT_EQ(subscription(id)["metadata"], expected);
  const Json told = get("/v1/events?type=customer.subscription.created")["data"];
  EXPECT_EQ(told.at(0)["data"]["object"]["metadata"], expected);
  now_ = kMonthOn + kHour;
  for (const char* version : {"2024-06-20", "2026-08-26.dahlia"}) {
    set({{"api_version", version}});
    const Json all = get("/v1/invoices?subscription=" + id)["data"];
    EXPECT_EQ(all.at(0)["lines"]["data"][0]["metadata"], expected);
  }
}

class InvoicesStateTest : public StateFileTest {
 protected:
  void SetUp() override {
    StateFileTest::SetUp();
    const std::string meter_id = meter();
    const std::string price =
        json(call("POST", "/v1/prices",
                  "currency=usd&product=p&unit_amount=2&recurring[interval]=month&recurring[usage_"
                  "type]=metered&recurring[meter]=" +
                      meter_id))["id"];
    call("POST", "/sandbox/webhook_endpoints", R"({"url":"http://127.0.0.1:9/"})");
    call("POST", "/v1/subscriptions", "customer=cus_1&items[0][price]=" + price);
    call("POST", "/v1/invoiceitems", "customer=cus_1&amount=5");
    event("a", "3");
  }
  std::vector<std::string> seen() {
    return {call("GET", "/v1/subscriptions?status=all").body, call("GET", "/v1/invoices").body,
            call("GET", "/v1/events?limit=100").body, call("GET", "/sandbox/oracle/periods").body,
            call("GET", "/sandbox/deliveries").body};
  }
};

TEST_F(InvoicesStateTest, SubscriptionsAndInvoicesSurviveARestart) {
  for (const std::int64_t jump : {0, 31 * 86'400, 3'600, 86'400}) {
    now_ += jump;
    const auto before = seen();
    restart();
    EXPECT_EQ(seen(), before) << jump;
  }
  const Json newest = json(call("GET", "/v1/invoices"))["data"][0];
  EXPECT_EQ(newest["total"], 11) << "3 * 2 and the item";
}

TEST_F(InvoicesStateTest, TheOracleReadsLinesAndNotWhatWasNotedOfThem) {
  now_ += 31 * 86'400 + 7'200;
  const auto asked = [&] { return json(call("GET", "/sandbox/oracle/billing")); };
  const auto balance = [&] {
    const Json meters = asked()["meters"];
    return meters.begin().value()["customers"]["cus_1"];
  };
  EXPECT_EQ(balance()["billed"], "3");
  EXPECT_EQ(asked()["wrong_periods"], Json::array());
  // The last line of the file that has the invoice, with another quantity on it, and twice.
  const Json invoice = json(call("GET", "/v1/invoices"))["data"][0];
  const std::string good = text();
  Json kept;
  std::stringstream lines(good);
  for (std::string one; std::getline(lines, one);) {
    const Json changes = Json::parse(one);
    for (const Json& change : changes) {
      if (!change.contains("billing")) continue;
      for (const Json& document : change["billing"]) {
        if (document["id"] == invoice["id"]) kept = document;
      }
    }
  }
  ASSERT_EQ(kept["status"], "paid");
  const auto with = [&](const Json& tampered) {
    write(good + Json{{{"billing", {tampered}}}}.dump() + "\n");
    restart();
  };
  Json other = kept;
  other["lines"]["data"][0]["quantity_decimal"] = "4";
  with(other);
  EXPECT_EQ(balance()["billed"], "4");
  EXPECT_EQ(balance()["more_than_once"], "1");
  EXPECT_EQ(asked()["wrong_periods"].size(), 1U);
  other = kept;
  other["lines"]["data"].push_back(kept["lines"]["data"][0]);
  with(other);
  EXPECT_EQ(balance()["billed"], "6");
  EXPECT_EQ(asked()["wrong_periods"].size(), 1U);
  other = kept;
  other["status"] = "void";
  with(other);
  EXPECT_EQ(balance()["billed"], "0");
  EXPECT_EQ(balance()["more_than_once"], "-3");
}

}  // namespace
}  // namespace tally::sandbox
