// Deliveries over a real socket.
#include "tests/support/sandbox/courier.h"

#include "runtime/http/server.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <semaphore>

namespace tally::sandbox {
namespace {

TEST_F(SandboxTest, TheCourierPostsWhatIsDueAndTellsTheAnswer) {
  std::promise<runtime::http::Request> came;
  runtime::http::Server receiver({}, [&](const runtime::http::Request& request) {
    came.set_value(request);
    return runtime::http::Response{204, {}, ""};
  });
  const std::string url = "http://127.0.0.1:" + std::to_string(receiver.port()) + "/hook";
  call("POST", "/sandbox/webhook_endpoints", nlohmann::json{{"url", url}, {"secret", "s"}}.dump());
  {
    const Courier courier(*sandbox_, 2, std::chrono::seconds(30));
    ASSERT_EQ(call("POST", "/v1/customers", "name=n").status, 200);
    const runtime::http::Request request = came.get_future().get();
    EXPECT_EQ(request.target, "/hook");
    EXPECT_EQ(request.header("Stripe-Signature"), signature_header(request.body, {"s"}, kStart));
    EXPECT_EQ(nlohmann::json::parse(request.body)["type"], "customer.created");
  }
  EXPECT_EQ(counters()["webhooks"]["states"]["delivered"], 1);
}

// Who is told to stop sends nothing more, on whichever thread, while the others end.
TEST_F(SandboxTest, AStoppedCourierBeginsNothingOnAnyThread) {
  std::counting_semaphore<> came(0);
  std::counting_semaphore<> may_go(0);
  std::atomic<int> requests = 0;
  runtime::http::ServerOptions options;
  options.threads = 2;
  runtime::http::Server receiver(options, [&](const runtime::http::Request&) {
    ++requests;
    came.release();
    may_go.acquire();
    return runtime::http::Response{204, {}, ""};
  });
  const std::string url = "http://127.0.0.1:" + std::to_string(receiver.port()) + "/hook";
  call("POST", "/sandbox/webhook_endpoints", nlohmann::json{{"url", url}}.dump());
  for (int i = 0; i < 10; ++i) call("POST", "/v1/customers", "name=n");
  {
    Courier courier(*sandbox_, 2, std::chrono::seconds(30));
    came.acquire();
    came.acquire();
    courier.stop();
    may_go.release(10);
  }
  EXPECT_EQ(requests, 2);
  EXPECT_EQ(counters()["webhooks"]["states"]["delivered"], 2);
}

TEST_F(SandboxTest, WhereNobodyListensTheCourierTellsThatToo) {
  std::uint16_t free_port = 0;
  {
    const runtime::http::Server gone(
        {}, [](const runtime::http::Request&) { return runtime::http::Response{}; });
    free_port = gone.port();
  }
  const std::string url = "http://127.0.0.1:" + std::to_string(free_port);
  call("POST", "/sandbox/webhook_endpoints", nlohmann::json{{"url", url}}.dump());
  const Courier courier(*sandbox_, 1, std::chrono::seconds(30));
  call("POST", "/v1/customers", "name=n");
  nlohmann::json tries = nlohmann::json::array();
  for (int looks = 0; tries.empty() && looks < 1'000'000; ++looks) {
    tries = json(call("GET", "/sandbox/deliveries"))["deliveries"][0]["tries"];
  }
  ASSERT_EQ(tries.size(), 1U);
  EXPECT_EQ(tries[0]["status"], 0);
}

// Calls, the clock's work and deliveries on threads of their own, each of which is done once.
TEST_F(SandboxTest, TheCourierCarriesWhileTheClockMovesAndCallsCome) {
  std::mutex mutex;
  std::map<std::string, int> came;
  runtime::http::Server receiver({}, [&](const runtime::http::Request& request) {
    const std::lock_guard lock(mutex);
    ++came[nlohmann::json::parse(request.body)["id"].get<std::string>()];
    return runtime::http::Response{204, {}, ""};
  });
  const std::string url = "http://127.0.0.1:" + std::to_string(receiver.port()) + "/hook";
  call("POST", "/sandbox/clock", nlohmann::json{{"now", kStart}}.dump());
  const std::string of = meter();
  const std::string price = json(
      call("POST", "/v1/prices",
           "currency=usd&product=p&unit_amount=1&recurring[interval]=month&recurring[usage_type]="
           "metered&recurring[meter]=" +
               of))["id"];
  call("POST", "/sandbox/webhook_endpoints", nlohmann::json{{"url", url}}.dump());
  {
    const Courier courier(*sandbox_, 2, std::chrono::seconds(30));
    for (int i = 0; i < 5; ++i) {
      const std::string customer = "cus_" + std::to_string(i);
      EXPECT_EQ(
          call("POST", "/v1/subscriptions", "customer=" + customer + "&items[0][price]=" + price)
              .status,
          200);
      call("POST", "/sandbox/clock", R"({"advance_seconds":2700000})");
    }
    for (int looks = 0; looks < 1'000'000; ++looks) {
      const auto shown = counters()["webhooks"];
      if (shown["due"] == 0 && shown["on_the_way"] == 0) break;
    }
  }
  const auto rows = json(call("GET", "/sandbox/deliveries"))["deliveries"];
  EXPECT_GT(rows.size(), 50U);
  EXPECT_EQ(came.size(), rows.size());
  for (const auto& row : rows) {
    EXPECT_EQ(row["state"], "delivered") << row;
    EXPECT_EQ(came[row["event"]], 1) << row;
  }
}

}  // namespace
}  // namespace tally::sandbox
