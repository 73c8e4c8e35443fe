// What of billing is a choice: of a subscription, of a price, of the sandbox's settings, and what
// the program does when nobody chose.
#include "tests/unit/sandbox/billing_fixture.h"

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;

using BillingSettingsTest = BillingTest;

TEST_F(BillingSettingsTest, AnInvoiceThatIsSentIsOpenUntilItIsPaid) {
  const std::string id = subscribe("&collection_method=send_invoice")["id"];
  use("400", kStart);
  now_ = kMonthOn + kHour;
  const Json invoice = invoices()[0];
  EXPECT_EQ(invoice["collection_method"], "send_invoice");
  EXPECT_EQ(invoice["status"], "open");
  EXPECT_EQ(invoice["attempt_count"], 0);
  EXPECT_EQ(balance()["billed"], "400") << "billed, though not paid";
  EXPECT_EQ(post("/v1/invoices/" + invoice["id"].get<std::string>() + "/pay", "")["status"],
            "paid");
  EXPECT_EQ(subscription(id)["status"], "active");
}

TEST_F(BillingSettingsTest, InvoicesOfACancellingWaitAsLongAsTheyAreTold) {
  set({{"update_grace_s", 7'200}});
  const std::string id = subscribe()["id"];
  use("8", kStart);
  now_ += kHour;
  call("DELETE", "/v1/subscriptions/" + id + "?invoice_now=true");
  EXPECT_EQ(invoices()[0]["status"], "draft");
  EXPECT_EQ(invoices()[0]["automatically_finalizes_at"], kStart + 3 * kHour);
  use("2", kStart);
  now_ = kStart + 3 * kHour;
  EXPECT_EQ(invoices()[0]["status"], "paid");
  EXPECT_EQ(balance()["billed"], "10");
}

TEST_F(BillingSettingsTest, APeriodIsAsManyIntervalsAsItsPriceSays) {
  const std::string quarterly = price("interval_count=3&usage_type=metered&meter=" + meter_);
  const Json made = post("/v1/subscriptions", "customer=cus_1&items[0][price]=" + quarterly);
  // From the 15th of January to that of April.
  EXPECT_EQ(made["items"]["data"][0]["current_period_end"], kStart + (31 + 28 + 31) * kDay);
}

TEST_F(BillingSettingsTest, ASwitchInATrialBillsNothingInEitherMode) {
  for (const std::string mode : {"flexible", "classic"}) {
    SetUp();
    const std::string dearer = price("usage_type=metered&meter=" + meter_, "0");
    const Json made = subscribe("&trial_period_days=3&billing_mode[type]=" + mode);
    use("8", kStart);
    now_ += kHour;
    const std::string item = made["items"]["data"][0]["id"];
    post("/v1/subscriptions/" + made["id"].get<std::string>(),
         "items[0][id]=" + item + "&items[0][price]=" + dearer);
    EXPECT_EQ(balance()["dropped"], (Json{{"trial", "8"}})) << mode;
    EXPECT_EQ(invoices().size(), 1U) << mode;
    now_ = kStart;
  }
}

TEST_F(BillingSettingsTest, UsageAtTheEndIsTheNextPeriods) {
  subscribe();
  now_ = kMonthOn - 1;
  use("1", kMonthOn - 1);
  use("2", kMonthOn);
  now_ = kMonthOn + 28 * kDay + kHour;
  EXPECT_EQ(invoices()[0]["lines"]["data"][0]["quantity"], 2);
  EXPECT_EQ(invoices()[1]["lines"]["data"][0]["quantity"], 1);
}

// Nothing but what the program does by itself: delays, doubles, customers that somebody made.
class BillingDefaultsTest : public BillingTest {
 protected:
  void SetUp() override {
    start_with(Json::object());
    call("POST", "/sandbox/customers", R"({"id":"cus_1"})");
    meter_ = meter();
    price_ = price("usage_type=metered&meter=" + meter_);
    steady_ += std::chrono::seconds(1);
  }
};

TEST_F(BillingDefaultsTest, AMonthIsBilledAndAddsUp) {
  subscribe();
  for (const char* value : {"0.1", "0.2", "7"}) {
    use(value, now_);
    steady_ += std::chrono::seconds(1);
  }
  now_ = kMonthOn;
  steady_ += std::chrono::seconds(1);
  EXPECT_EQ(invoices()[0]["lines"]["data"][0]["quantity_decimal"], "7.3");
  now_ = kMonthOn + kHour;
  use("1", kMonthOn - 1);
  now_ += 30;
  steady_ += std::chrono::seconds(1);
  EXPECT_EQ(invoices()[0]["status"], "paid");
  EXPECT_EQ(balance()["billed"], "7.3");
  EXPECT_EQ(balance()["late_added"], "1");
  EXPECT_EQ(balance()["rounded"], "0");
  EXPECT_EQ(balance()["more_than_once"], "0");
}

}  // namespace
}  // namespace tally::sandbox
