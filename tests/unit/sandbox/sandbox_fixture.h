// A sandbox without a socket, with clocks that stand still until moved and with settings that keep
// out of the way of what a test is about; defaults_test.cc has the program's own.
#pragma once

#include "tests/support/sandbox/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tally::sandbox {

class SandboxTest : public testing::Test {
 protected:
  static constexpr std::int64_t kStart = 1'800'000'000;  // on a minute and an hour

  static nlohmann::json gentle() {
    return {{"answer_delay_ms", 0},         {"apply_delay_max_s", 0},
            {"count_needs_value", false},   {"error_request", "identifier"},
            {"rate_limits", "off"},         {"summary_arithmetic", "exact"},
            {"unknown_customers", "accept"}};
  }
  void start(std::int64_t answer_delay_ms = 0) {
    nlohmann::json settings = gentle();
    settings["answer_delay_ms"] = answer_delay_ms;
    start_with(settings);
  }
  void start_with(const nlohmann::json& settings, const std::string& state_file = "") {
    sandbox_.reset();
    SandboxOptions options;
    options.state_file = state_file;
    options.settings = settings;
    options.real_now = [this] { return now_; };
    options.steady_now = [this] { return steady_; };
    sandbox_ = std::make_unique<Sandbox>(options);
  }
  void SetUp() override { start(); }

  runtime::http::Response call(const std::string& method, const std::string& target,
                               const std::string& body = "", const std::string& key = "") {
    runtime::http::Request request{method, target, {}, body};
    request.headers.set("Authorization", "Bearer sk_test_1");
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    if (!key.empty()) request.headers.set("Idempotency-Key", key);
    return sandbox_->handle(request);
  }
  std::string meter(const std::string& event_name = "tokens", const std::string& formula = "sum",
                    const std::string& more = "") {
    const auto response = call("POST", "/v1/billing/meters",
                               "display_name=M&event_name=" + event_name +
                                   "&default_aggregation[formula]=" + formula + more);
    EXPECT_EQ(response.status, 200) << response.body;
    return json(response)["id"];
  }
  runtime::http::Response event(const std::string& identifier, const std::string& value,
                                const std::string& more = "", const std::string& key = "") {
    return call("POST", "/v1/billing/meter_events",
                "event_name=tokens&payload[stripe_customer_id]=cus_1&payload[value]=" + value +
                    "&identifier=" + identifier + more,
                key);
  }
  static nlohmann::json json(const runtime::http::Response& response) {
    return nlohmann::json::parse(response.body);
  }
  static std::string message(const runtime::http::Response& response) {
    return json(response)["error"]["message"];
  }
  nlohmann::json totals() { return json(call("GET", "/sandbox/oracle/totals"))["meters"]; }
  void faults(const std::string& body) {
    const auto response = call("POST", "/sandbox/faults", body);
    ASSERT_EQ(response.status, 200) << response.body;
  }

  runtime::http::Response settings(const nlohmann::json& wanted) {
    return call("POST", "/sandbox/settings", wanted.dump());
  }
  void set(const nlohmann::json& wanted) {
    const auto response = settings(wanted);
    ASSERT_EQ(response.status, 200) << response.body;
  }
  nlohmann::json counters() { return json(call("GET", "/sandbox/counters")); }
  static std::string code(const runtime::http::Response& response) {
    return json(response)["error"].value("code", "");
  }

  std::int64_t now_ = kStart;
  std::chrono::steady_clock::time_point steady_{};
  std::unique_ptr<Sandbox> sandbox_;
};

}  // namespace tally::sandbox
