// A kill after any line of the state file: the next start finds each request whole or undone.
#include "tests/unit/sandbox/state_file_fixture.h"

#include <algorithm>
#include <vector>

namespace tally::sandbox {
namespace {

using Json = nlohmann::json;

class KillTest : public StateFileTest {
 protected:
  static constexpr std::int64_t kDay = 86'400;
  // One end of a line: what was there to be seen, and when.
  struct Moment {
    std::size_t end = 0;
    std::int64_t now = 0;
    std::vector<std::string> seen;
  };
  std::vector<std::string> seen() {
    std::vector<std::string> out;
    for (const char* path :
         {"/v1/subscriptions?status=all", "/v1/invoices?limit=100", "/v1/invoiceitems",
          "/v1/events?limit=100", "/v1/customers/cus_1", "/v1/customers/cus_2",
          "/sandbox/oracle/periods", "/sandbox/oracle/billing", "/sandbox/oracle/events",
          "/sandbox/deliveries", "/sandbox/notifications", "/sandbox/settings"}) {
      out.push_back(call("GET", path).body);
    }
    return out;
  }
  // What the clock does is any number of lines; whichever was the last, the next start does the
  // others. By hand it is the sandbox's own that is moved, by a first line.
  void at(std::int64_t now, bool by_hand = false) {
    const std::size_t begun = text().size();
    if (by_hand) {
      call("POST", "/sandbox/clock", Json{{"now", now}}.dump());
    } else {
      now_ = now;
    }
    const auto then = seen();
    const std::string all = text();
    for (auto end = begun; end < all.size();) {
      end = all.find('\n', end) + 1;
      moments_.push_back({end, now_, then});
    }
  }
  void request(const std::string& method, const std::string& path, const std::string& body,
               const std::string& key = "") {
    const auto begun = static_cast<std::ptrdiff_t>(text().size());
    const auto response = call(method, path, body, key);
    ASSERT_EQ(response.status, 200) << response.body;
    const std::string all = text();
    EXPECT_EQ(std::count(all.begin() + begun, all.end(), '\n'), 1) << method << " " << path;
    moments_.push_back({all.size(), now_, seen()});
    EXPECT_EQ(text().size(), all.size()) << "looking changes nothing";
  }
  runtime::http::Response pay_late() {
    return call("POST", "/v1/invoiceitems", "customer=cus_1&amount=7", "keyed");
  }
  std::vector<Moment> moments_;
};

TEST_F(KillTest, LeavesEachRequestWholeOrUndone) {
  seen();
  set({{"apply_delay_min_s", 5}, {"apply_delay_max_s", 5}, {"unknown_customers", "reject"}});
  request("POST", "/sandbox/customers", R"({"ids":["cus_1","cus_2"]})");
  for (const char* thin : {"true", "false"}) {
    request("POST", "/sandbox/webhook_endpoints",
            std::string(R"({"url":"http://127.0.0.1:9/","thin":)") + thin + "}");
  }
  request("POST", "/v1/billing/meters",
          "display_name=M&event_name=tokens&default_aggregation[formula]=sum");
  request("POST", "/v1/prices",
          "currency=usd&product=p&unit_amount=2&recurring[interval]=month&recurring[usage_type]="
          "metered&recurring[meter]=mtr_test_00000001",
          "price");
  for (const std::string customer : {"cus_1", "cus_2"}) {
    request("POST", "/v1/subscriptions", "items[0][price]=price_test_00000001&customer=" + customer,
            "sub " + customer);
  }
  request("POST", "/v1/billing/meter_events",
          "event_name=tokens&identifier=a&payload[stripe_customer_id]=cus_1&payload[value]=3",
          "event");
  request("POST", "/v1/billing/meter_events",
          "event_name=tokens&identifier=b&payload[stripe_customer_id]=cus_2&payload[value]=5", "b");
  const std::size_t before_item = moments_.size();
  request("POST", "/v1/invoiceitems", "customer=cus_1&amount=7", "keyed");
  request("DELETE", "/v1/customers/cus_2", "");
  at(now_ + 5);
  at(now_ + 10);  // the report of cus_2's event
  request("POST", "/v1/billing/meter_event_adjustments",
          "event_name=tokens&type=cancel&cancel[identifier]=a", "cancel");
  at(now_ + 31 * kDay);
  at(now_ + 3'600);
  at(now_ + 70 * kDay);
  at(now_ + 40 * kDay, true);
  EXPECT_GT(moments_.size(), 20U);

  const std::string whole = text();
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    const Moment& moment = moments_[i];
    // The next line is torn.
    const auto torn = std::min(whole.size(), moment.end + 40);
    write(whole.substr(0, torn == whole.size() ? moment.end : torn));
    now_ = moment.now;
    restart();
    const auto now_seen = seen();
    for (std::size_t part = 0; part < now_seen.size(); ++part) {
      EXPECT_EQ(now_seen[part], moment.seen[part])
          << "killed after line " << i << " of what is seen " << part;
    }
    if (i + 1 < before_item || now_ > moments_[before_item].now) continue;
    EXPECT_EQ(pay_late().status, 200);
    EXPECT_EQ(json(call("GET", "/v1/invoiceitems"))["data"].size(), 1U) << "after line " << i;
  }
}

TEST_F(KillTest, AStepThatCannotBeDoneEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  meter();
  const auto ask = [] {
    SandboxOptions options;
    options.real_now = []() -> std::int64_t { throw std::logic_error("no time"); };
    Sandbox broken(options);
    static_cast<void>(broken.handle({"GET", "/sandbox/settings", {}, ""}));
  };
  EXPECT_DEATH(ask(), "no time");
}

}  // namespace
}  // namespace tally::sandbox
