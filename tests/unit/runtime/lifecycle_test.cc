#include "runtime/lifecycle/lifecycle.h"

#include "runtime/http/client.h"
#include "runtime/lifecycle/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

namespace tally::runtime::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StopSignalTest, SignalAsksForAStopAndWakesWaiters) {
  StopSignal stop;
  EXPECT_FALSE(stop.requested());
  EXPECT_FALSE(stop.wait_for(milliseconds(1)));
  std::thread waiter([&] { EXPECT_TRUE(stop.wait_for(seconds(60))); });
  std::raise(SIGTERM);
  waiter.join();
  EXPECT_TRUE(stop.requested());
}

TEST(StopSignalTest, RequestIsLikeASignal) {
  StopSignal stop;
  stop.request();
  EXPECT_TRUE(stop.wait_for(seconds(60)));
}

TEST(StopSignalTest, SecondSignalEndsAtOnce) {
  const auto twice = [] {
    const StopSignal stop;
    std::raise(SIGINT);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(twice(), testing::ExitedWithCode(130), "");
}

TEST(StopSignalTest, OnlyOneAtATime) {
  const StopSignal stop;
  EXPECT_DEATH(StopSignal(), "one StopSignal per process");
}

class HealthTest : public testing::Test {
 protected:
  http::Response get(const std::string& target, const std::string& method = "GET") {
    http::Client client("http://127.0.0.1:" + std::to_string(server_.port()));
    return client.send({method, target, {}, ""}, seconds(10)).response;
  }
  metrics::Registry registry_;
  std::vector<std::string> reasons_;
  bool broken_ = false;
  HealthServer server_{{}, registry_, [this] {
                         if (broken_) throw std::runtime_error("no answer");
                         return reasons_;
                       }};
};

TEST_F(HealthTest, ReadyUntilThereIsAReason) {
  EXPECT_EQ(get("/readyz").status, 200);
  EXPECT_EQ(nlohmann::json::parse(get("/readyz").body)["ready"], true);
  reasons_ = {"Postgres is away: start it \xff"};
  const http::Response response = get("/readyz?verbose");
  EXPECT_EQ(response.status, 503);
  const auto body = nlohmann::json::parse(response.body);
  EXPECT_EQ(body["ready"], false);
  EXPECT_EQ(body["reasons"].size(), 1U);
  EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(HealthTest, BrokenCheckIsNotReady) {
  broken_ = true;
  EXPECT_EQ(get("/readyz").status, 503);
}

TEST_F(HealthTest, MetricsAreExposed) {
  registry_.counter("tally_test_total", "T.").add(2);
  const http::Response response = get("/metrics");
  EXPECT_THAT(response.header("Content-Type"), testing::StartsWith("text/plain; version=0.0.4"));
  EXPECT_THAT(response.body, testing::HasSubstr("tally_test_total 2\n"));
}

TEST_F(HealthTest, OtherPathsAndMethodsAreRefusedInJson) {
  EXPECT_EQ(get("/").status, 404);
  EXPECT_TRUE(nlohmann::json::parse(get("/secret").body).contains("error"));
  EXPECT_EQ(get("/healthz", "POST").status, 405);
}

}  // namespace
}  // namespace tally::runtime::lifecycle
