#include "runtime/http/client.h"
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

Response echo(const Request& request) {
  Response response;
  response.body = request.method + " " + request.target + " " + request.body;
  return response;
}

std::string url(const Server& server) {
  return "http://127.0.0.1:" + std::to_string(server.port());
}

TEST(HttpServerTest, AnswersOnAFreePort) {
  const Server server({}, echo);
  Client client(url(server));
  const Outcome outcome = client.send({"POST", "/a?b=c", {}, "body"}, seconds(10));
  ASSERT_EQ(outcome.fate, Fate::kAnswered) << outcome.problem;
  EXPECT_EQ(outcome.response.status, 200);
  EXPECT_EQ(outcome.response.body, "POST /a?b=c body");
}

TEST(HttpServerTest, KeepsConnectionsAliveAndAnswersPipelinedRequests) {
  const Server server({}, echo);
  RawSocket socket(server.port());
  socket.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.read_until("/2"), HasSubstr("GET /1 "));
  socket.send("GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(socket.read_until(), HasSubstr("GET /3 "));
}

TEST(HttpServerTest, HeadHasNoBody) {
  const Server server({}, echo);
  RawSocket socket(server.port());
  socket.send("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = socket.read_until();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 8\r\n"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(HttpServerTest, BodyOverTheLimitIs413) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  const Server server(options, echo);
  Client client(url(server));
  EXPECT_EQ(client.send({"POST", "/", {}, std::string(1000, 'x')}, seconds(10)).response.status,
            200);
  // Declared, and larger than all socket buffers: the answer must survive what is still sent.
  RawSocket declared(server.port());
  declared.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
  declared.send(std::string(2'000'000, 'x'));
  EXPECT_THAT(declared.read_until(), StartsWith("HTTP/1.1 413 "));
  RawSocket chunked(server.port());
  chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunked.send("7d0\r\n" + std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_THAT(chunked.read_until(), StartsWith("HTTP/1.1 413 "));
}

TEST(HttpServerTest, HeadersOverTheLimitAre431) {
  ServerOptions options;
  options.max_header_bytes = 1000;
  const Server server(options, echo);
  RawSocket socket(server.port());
  socket.send("GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + std::string(2000, 'x') + "\r\n\r\n");
  EXPECT_THAT(socket.read_until(), StartsWith("HTTP/1.1 431 "));
}

TEST(HttpServerTest, SlowRequestIs408AndIdleIsClosed) {
  ServerOptions options;
  options.read_timeout = milliseconds(50);
  options.idle_timeout = milliseconds(50);
  const Server server(options, echo);
  RawSocket slow_header(server.port());
  slow_header.send("GET / HT");
  EXPECT_THAT(slow_header.read_until(), StartsWith("HTTP/1.1 408 "));
  RawSocket slow_body(server.port());
  slow_body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
  EXPECT_THAT(slow_body.read_until(), StartsWith("HTTP/1.1 408 "));
  RawSocket idle(server.port());
  EXPECT_EQ(idle.read_until(), "");
}

TEST(HttpServerTest, GarbageIs400AndTheServerGoesOn) {
  const Server server({}, echo);
  for (const std::string& bad :
       {std::string("\x16\x03\x01\x02\x00\x01", 6), std::string("nonsense\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n")}) {
    RawSocket socket(server.port());
    socket.send(bad + "\r\n\r\n");
    EXPECT_THAT(socket.read_until(), StartsWith("HTTP/1.1 400 "));
  }
  EXPECT_EQ(Client(url(server)).send({}, seconds(10)).response.status, 200);
}

TEST(HttpServerTest, BearerTokenIsAsked) {
  ServerOptions options;
  options.bearer_token = "right";
  std::atomic<int> calls = 0;
  const Server server(options, [&](const Request& request) {
    ++calls;
    return echo(request);
  });
  Client client(url(server));
  for (const char* token :
       {"", "Bearer", "Bearer wrong", "Bearer righ", "Bearer right2", "Basic right", "right"}) {
    const std::string value = token;
    Request request;
    if (!value.empty()) request.headers.set("Authorization", value);
    const Outcome outcome = client.send(request, seconds(10));
    EXPECT_EQ(outcome.response.status, 401) << value;
    EXPECT_EQ(outcome.response.header("WWW-Authenticate"), "Bearer");
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(client.send({"GET", "/", {{"Authorization", "Bearer right"}}, ""}, seconds(10))
                .response.status,
            200);
}

TEST(HttpServerTest, ExceptionsBecome500WithoutTheirText) {
  const Server server({},
                      [](const Request&) -> Response { throw std::runtime_error("inner secret"); });
  Client client(url(server));
  testing::internal::CaptureStderr();
  const Outcome outcome = client.send({}, seconds(10));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("inner secret"));
  EXPECT_EQ(outcome.response.status, 500);
  EXPECT_THAT(outcome.response.body, testing::Not(HasSubstr("inner secret")));
}

TEST(HttpServerTest, ExpectContinueIsAnswered) {
  const Server server({}, echo);
  RawSocket socket(server.port());
  socket.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(socket.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
  socket.send("hi");
  EXPECT_THAT(socket.read_until("hi"), StartsWith("HTTP/1.1 200 "));
}

TEST(HttpServerTest, SeveralThreadsHandleAtOnce) {
  ServerOptions options;
  options.threads = 2;
  std::latch both(2);
  const Server server(options, [&](const Request& request) {
    both.arrive_and_wait();  // passes only when two handlers run at the same time
    return echo(request);
  });
  std::thread other([&] { (void)Client(url(server)).send({}, seconds(10)); });
  EXPECT_EQ(Client(url(server)).send({}, seconds(10)).response.status, 200);
  other.join();
}

TEST(HttpServerTest, TooManyConnectionsAreRefused) {
  ServerOptions options;
  options.max_connections = 1;
  const Server server(options, echo);
  RawSocket first(server.port());
  first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.read_until("/1"), StartsWith("HTTP/1.1 200 "));
  RawSocket second(server.port());
  EXPECT_THAT(second.read_until(), StartsWith("HTTP/1.1 503 "));
}

TEST(HttpServerTest, PortInUseAndBadAddressesAreClearErrors) {
  const Server server({}, echo);
  ServerOptions taken;
  taken.port = server.port();
  EXPECT_THROW(Server(taken, echo), std::runtime_error);
  ServerOptions nowhere;
  nowhere.address = "no.such.host";
  EXPECT_THROW(Server(nowhere, echo), std::runtime_error);
}

TEST(HttpServerTest, EndsWithRequestsStillDelayed) {
  auto server = std::make_unique<Server>(ServerOptions{}, [](const Request&) {
    Response response;
    response.delay = seconds(60);
    return response;
  });
  RawSocket socket(server->port());
  socket.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto begin = std::chrono::steady_clock::now();
  server.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(30));
  EXPECT_EQ(socket.read_until(), "");
}

}  // namespace
}  // namespace tally::runtime::http
