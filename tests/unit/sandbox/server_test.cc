// The sandbox behind its socket.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

#include <cerrno>
#include <vector>

namespace tally::sandbox {
namespace {

using runtime::http::RawSocket;

class ServerTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter();
    runtime::http::ServerOptions options;
    options.max_connections = 1'000;
    server_ = std::make_unique<runtime::http::Server>(
        options,
        [this](const runtime::http::Request& request) { return sandbox_->handle(request); });
  }
  void TearDown() override { server_.reset(); }

  static std::string request(const std::string& target, const std::string& body) {
    return "POST " + target +
           " HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer sk_test_1\r\nContent-Type: "
           "application/x-www-form-urlencoded\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static std::string event_of(int number) {
    return request("/v1/billing/meter_events",
                   "event_name=tokens&payload[value]=1&payload[stripe_customer_id]=cus_" +
                       std::to_string(number));
  }
  std::unique_ptr<runtime::http::Server> server_;
};

// One I/O thread and no thread per call: answers that are ten minutes away hold nothing up.
TEST_F(ServerTest, HundredsOfCallsAreInFlightAtOnce) {
  constexpr int kCalls = 400;
  set({{"answer_delay_ms", 600'000}});
  std::vector<RawSocket> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back(server_->port());
    callers.back().send(event_of(i));
  }
  RawSocket looks(server_->port());
  nlohmann::json seen = nlohmann::json::object();
  for (int asked = 0; asked < 20'000 && seen.value("in_flight", 0) < kCalls; ++asked) {
    looks.send("GET /sandbox/counters HTTP/1.1\r\nHost: s\r\n\r\n");
    const std::string answer = looks.read_until("}\n");
    ASSERT_NE(answer.find("\r\n\r\n"), std::string::npos) << answer;
    seen = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")), nullptr, false);
    ASSERT_TRUE(seen.is_object() && seen.contains("in_flight")) << answer;
  }
  EXPECT_EQ(seen["in_flight"], kCalls);
  EXPECT_EQ(totals()["tokens"]["total"], std::to_string(kCalls));
}

TEST_F(ServerTest, ADropIsAnEndAndAResetAReset) {
  faults(R"([{"kind":"drop_before"},{"kind":"reset_before"}])");
  const auto end_of = [&] {
    RawSocket caller(server_->port());
    caller.send(event_of(1));
    char byte = 0;
    errno = 0;
    const ssize_t count = ::recv(caller.native(), &byte, 1, 0);
    return std::pair(count, count < 0 ? errno : 0);
  };
  EXPECT_EQ(end_of(), (std::pair<ssize_t, int>(0, 0)));
  EXPECT_EQ(end_of(), (std::pair<ssize_t, int>(-1, ECONNRESET)));
}

}  // namespace
}  // namespace tally::sandbox
