// A sandbox with a meter, a metered price and a customer, and shorthands for a life of billing.
#pragma once

#include "tests/unit/sandbox/sandbox_fixture.h"

#include <string>
#include <vector>

namespace tally::sandbox {

class BillingTest : public SandboxTest {
 protected:
  using Json = nlohmann::json;
  static constexpr std::int64_t kHour = 3'600;
  static constexpr std::int64_t kDay = 86'400;
  // kStart is 2027-01-15T08:00:00Z; a month from then.
  static constexpr std::int64_t kMonthOn = kStart + 31 * kDay;

  void SetUp() override {
    start();
    meter_ = meter();
    price_ = price("usage_type=metered&meter=" + meter_);
  }
  // Of 2.5 cents each month, unless `more` says otherwise; `recurring` without the brackets.
  std::string price(const std::string& recurring, const std::string& more = "") {
    std::string body = "currency=usd&product=prod_1&unit_amount_decimal=2.5" + more;
    std::string rest = "interval=month&" + recurring;
    while (!rest.empty()) {
      const auto end = std::min(rest.find('&'), rest.size());
      const std::string pair = rest.substr(0, end);
      rest.erase(0, end + 1);
      if (pair.empty()) continue;
      const auto equals = pair.find('=');
      body += "&recurring[" + pair.substr(0, equals) + "]" + pair.substr(equals);
    }
    return post("/v1/prices", body)["id"];
  }
  // The answer to a call that must succeed.
  Json post(const std::string& path, const std::string& body) {
    const auto response = call("POST", path, body);
    EXPECT_EQ(response.status, 200) << path << " " << body << "\n" << response.body;
    return json(response);
  }
  Json get(const std::string& target) {
    const auto response = call("GET", target);
    EXPECT_EQ(response.status, 200) << target << "\n" << response.body;
    return json(response);
  }
  Json subscribe(const std::string& more = "") {
    return post("/v1/subscriptions", "customer=cus_1&items[0][price]=" + price_ + more);
  }
  // Usage of cus_1 at a time.
  void use(const std::string& value, std::int64_t at, const std::string& more = "") {
    const auto taken =
        event("e" + std::to_string(++used_), value, "&timestamp=" + std::to_string(at) + more);
    ASSERT_EQ(taken.status, 200) << taken.body;
  }
  // Newest first.
  Json invoices() { return get("/v1/invoices?limit=100")["data"]; }
  Json subscription(const std::string& id) { return get("/v1/subscriptions/" + id); }
  // Types of the events so far, oldest first.
  std::vector<std::string> events() {
    std::vector<std::string> types;
    const Json all = get("/v1/events?limit=100")["data"];
    for (auto one = all.rbegin(); one != all.rend(); ++one) types.push_back((*one)["type"]);
    return types;
  }
  Json periods() { return get("/sandbox/oracle/periods")["periods"]; }
  Json balance() { return get("/sandbox/oracle/billing")["meters"][meter_]["customers"]["cus_1"]; }

  std::string meter_;
  std::string price_;
  int used_ = 0;
};

}  // namespace tally::sandbox
