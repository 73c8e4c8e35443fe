#include "producer/load/sender.h"
#include "runtime/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace tally::producer::load {
namespace {

using runtime::http::Request;
using runtime::http::Response;
using testing::ElementsAre;
using testing::Pair;

// A daemon that answers as told, and one connection that loads it with 6 events, all due already.
class LoadHttpSenderTest : public testing::Test {
 protected:
  using Script = std::function<Response(std::size_t request)>;  // from 0

  LoadAccount run(std::uint32_t again, const Script& script) {
    const runtime::http::Server server({}, [&](const Request& request) {
      const std::scoped_lock lock(mutex_);
      requests_.push_back(request);
      return script(requests_.size() - 1);
    });
    return run_at("http://127.0.0.1:" + std::to_string(server.port()), again);
  }

  LoadAccount run_at(const std::string& url, std::uint32_t again) {
    const auto stream = EventStream::make({.seed = 3});
    Dispatch dispatch(Timetable(1'000'000, Clock::now() - std::chrono::seconds(1)), 6, again);
    const HttpTarget target{.url = url, .key = "the-key", .batch = 3};
    auto sender = http_sender(target, stream.value(), dispatch);
    EXPECT_TRUE(sender) << sender.error().message;
    sender.value()->run();
    return dispatch.finish();
  }

  static Response says(int status, std::string body = {}, std::string_view retry_after = {}) {
    Response response;
    response.status = status;
    response.body = std::move(body);
    if (!retry_after.empty()) response.headers.set("Retry-After", retry_after);
    return response;
  }

  std::mutex mutex_;
  std::vector<Request> requests_;
};

TEST_F(LoadHttpSenderTest, ABatchIsARequestWithTheKey) {
  const LoadAccount account = run(0, [](std::size_t) { return says(202); });
  EXPECT_TRUE(account.whole());
  ASSERT_EQ(requests_.size(), 2U);
  const Request& first = requests_[0];
  EXPECT_EQ(first.method, "POST");
  EXPECT_EQ(first.target, "/v1/events");
  EXPECT_EQ(first.header("Content-Type"), "application/cloudevents-batch+json");
  EXPECT_EQ(first.header("Authorization"), "Bearer the-key");
  const auto stream = EventStream::make({.seed = 3});
  std::string expected = "[";
  for (const std::uint64_t number : {0U, 1U, 2U}) {
    if (number > 0) expected += ",\n";
    stream.value().append_event(number, expected);
  }
  EXPECT_EQ(first.body, expected + "]");
}

TEST_F(LoadHttpSenderTest, WhatIsRefusedStaysSoUnlessToldToTryAgain) {
  const auto once = [](std::size_t request) {
    return request == 0 ? says(503, R"({"code":"queue_full"})", "0") : says(202);
  };
  const LoadAccount refused = run(0, once);
  EXPECT_THAT(refused.refused_by_reason, ElementsAre(Pair("503 queue_full", 3)));
  EXPECT_EQ(refused.acked, 3U);
  EXPECT_EQ(refused.told_to_wait, 1U);
  EXPECT_EQ(requests_.size(), 2U);
  requests_.clear();
  const LoadAccount retried = run(1, once);
  EXPECT_TRUE(retried.whole());
  EXPECT_EQ(retried.sent, 6U);
  EXPECT_EQ(retried.sent_again, 3U);
  ASSERT_EQ(requests_.size(), 3U);
  EXPECT_EQ(requests_[0].body, requests_[1].body);
}

TEST_F(LoadHttpSenderTest, OfABatchThatIsKeptInPartOnlyTheRestIsSentAgain) {
  const LoadAccount account = run(1, [](std::size_t request) {
    return request == 0 ? says(503, R"({"code":"not_all_kept","not_kept":[2],"unknown":[0]})", "0")
                        : says(202);
  });
  EXPECT_TRUE(account.whole());
  EXPECT_EQ(account.sent_again, 2U);
  std::vector<std::size_t> events;
  for (const Request& request : requests_) {
    events.push_back(
        static_cast<std::size_t>(std::count(request.body.begin(), request.body.end(), '\n') + 1));
  }
  EXPECT_THAT(events, testing::UnorderedElementsAre(3, 3, 1, 1));
  requests_.clear();
  const LoadAccount once = run(0, [](std::size_t) {
    return says(503, R"({"code":"not_all_kept","not_kept":[2],"unknown":[0]})", "0");
  });
  EXPECT_EQ(once.acked, 2U);
  EXPECT_THAT(once.lost_by_reason, ElementsAre(Pair("503 not_all_kept", 2)));
  EXPECT_EQ(once.unanswered, 2U);
}

TEST_F(LoadHttpSenderTest, ALostAnswerIsUnanswered) {
  const LoadAccount account = run(0, [](std::size_t request) {
    Response response = says(202);
    response.drop_connection = request == 1;
    return response;
  });
  EXPECT_EQ(account.acked, 3U);
  EXPECT_EQ(account.unanswered, 3U);
  EXPECT_EQ(account.sent, 6U);
  EXPECT_FALSE(account.complaint.empty());
}

// The latency of an ack ends when the answer is there, not when the request has left.
TEST_F(LoadHttpSenderTest, ALatencyHoldsTheDaemonsDelay) {
  constexpr std::chrono::milliseconds kDelay(300);
  std::condition_variable never;
  const LoadAccount account = run(0, [&](std::size_t request) {
    std::mutex mine;
    std::unique_lock lock(mine);
    if (request == 1) (void)never.wait_for(lock, kDelay, [] { return false; });
    return says(202);
  });
  EXPECT_EQ(account.acked, 6U);
  // Due a second before it began: what was measured holds that second and the delay.
  EXPECT_GE(account.latency.max(), std::chrono::seconds(1) + kDelay);
}

TEST_F(LoadHttpSenderTest, WhereNobodyListensNothingIsSent) {
  const LoadAccount account = run_at("unix:" + testing::TempDir() + "nobody_listens_here", 0);
  EXPECT_EQ(account.sent, 0U);
  EXPECT_THAT(account.not_sent_by_reason, ElementsAre(Pair("no connection", 6)));
}

TEST_F(LoadHttpSenderTest, ABadUrlIsRefused) {
  const auto stream = EventStream::make({});
  Dispatch dispatch(Timetable(1, Clock::now()), 0, 0);
  EXPECT_FALSE(http_sender({.url = "localhost:1", .key = ""}, stream.value(), dispatch));
}

}  // namespace
}  // namespace tally::producer::load
