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
  while (tries.empty()) {
    tries = json(call("GET", "/sandbox/deliveries"))["deliveries"][0]["tries"];
  }
  EXPECT_EQ(tries[0]["status"], 0);
}

}  // namespace
}  // namespace tally::sandbox
