#include "runtime/http/client.h"

#include "runtime/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::string url(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

// A port that was just free; nobody listens on it.
std::uint16_t closed_port() {
  const Server server({}, [](const Request&) { return Response(); });
  return server.port();
}

TEST(HttpClientTest, RefusedConnectionIsNotSent) {
  Client client(url(closed_port()));
  const Outcome outcome = client.send({}, seconds(10));
  EXPECT_EQ(outcome.fate, Fate::kNotSent);
  EXPECT_THAT(outcome.problem, HasSubstr("127.0.0.1"));
}

TEST(HttpClientTest, LostAnswerIsUnknownAndNeverSentAgain) {
  std::atomic<int> calls = 0;
  const Server server({}, [&](const Request& request) {
    ++calls;
    Response response;
    response.drop_connection = request.path() == "/lost";
    return response;
  });
  Client client(url(server.port()));
  EXPECT_EQ(client.send({"POST", "/kept", {}, "x"}, seconds(10)).fate, Fate::kAnswered);
  EXPECT_EQ(client.send({"POST", "/lost", {}, "x"}, seconds(10)).fate, Fate::kUnknown);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(client.send({"POST", "/kept", {}, "x"}, seconds(10)).fate, Fate::kAnswered);
}

TEST(HttpClientTest, LateAnswerIsUnknown) {
  const Server server({}, [](const Request& request) {
    Response response;
    if (request.path() == "/late") response.delay = seconds(60);
    return response;
  });
  Client client(url(server.port()));
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = client.send({"POST", "/late", {}, ""}, milliseconds(50));
  EXPECT_EQ(outcome.fate, Fate::kUnknown);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(30));
  // The late answer must not be taken for that of the next request.
  EXPECT_EQ(client.send({"GET", "/soon", {}, ""}, seconds(10)).fate, Fate::kAnswered);
}

TEST(HttpClientTest, ConnectionClosedWhileIdleIsOpenedAnew) {
  const auto answer = [](const Request&) { return Response(); };
  auto first = std::make_unique<Server>(ServerOptions{}, answer);
  ServerOptions again;
  again.port = first->port();
  Client client(url(again.port));
  EXPECT_EQ(client.send({}, seconds(10)).fate, Fate::kAnswered);
  first.reset();
  EXPECT_EQ(client.send({}, seconds(10)).fate, Fate::kNotSent);
  const Server second(again, answer);
  EXPECT_EQ(client.send({}, seconds(10)).fate, Fate::kAnswered);
}

TEST(HttpClientTest, OneConnectionServesManyRequests) {
  ServerOptions options;
  options.max_connections = 1;  // a second connection would be refused
  const Server server(options, [](const Request&) { return Response(); });
  Client client(url(server.port()));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client.send({}, seconds(10)).response.status, 200);
}

TEST(HttpClientTest, HeadersTravelBothWays) {
  const Server server({}, [](const Request& request) {
    Response response;
    response.status = 409;
    response.headers.set("X-Seen", std::string(request.header("x-sent")) + "|" +
                                       std::string(request.header("Host")));
    return response;
  });
  Client client(url(server.port()));
  const Outcome outcome = client.send({"GET", "/", {{"X-Sent", "v"}}, ""}, seconds(10));
  EXPECT_EQ(outcome.response.status, 409);
  EXPECT_EQ(outcome.response.header("x-seen"), "v|127.0.0.1:" + std::to_string(server.port()));
}

TEST(HttpClientTest, AnswerWithoutEndIsUnknown) {
  const Server server({}, [](const Request&) {
    Response response;
    response.body = std::string(17 * 1024 * 1024, 'x');
    return response;
  });
  Client client(url(server.port()));
  EXPECT_EQ(client.send({}, seconds(20)).fate, Fate::kUnknown);
}

TEST(HttpClientTest, HandshakeThatFailsIsNotSent) {
  std::atomic<int> calls = 0;
  const Server plain({}, [&](const Request&) {
    ++calls;
    return Response();
  });
  Client client("https://127.0.0.1:" + std::to_string(plain.port()));
  EXPECT_EQ(client.send({}, seconds(10)).fate, Fate::kNotSent);
  EXPECT_EQ(calls, 0);
}

TEST(HttpClientTest, UnsendableRequestsAreNotSent) {
  Client client(url(closed_port()));
  EXPECT_EQ(client.send({"GET", "no-slash", {}, ""}, seconds(1)).fate, Fate::kNotSent);
  const Outcome injected = client.send({"GET", "/", {{"X", "a\r\nEvil: 1"}}, ""}, seconds(1));
  EXPECT_EQ(injected.fate, Fate::kNotSent);
  EXPECT_THAT(injected.problem, HasSubstr("line break"));
}

TEST(HttpClientTest, AUnixSocketIsAsGoodAsAPort) {
  const std::string path =
      testing::TempDir() + "tally_http_client_" + std::to_string(::getpid()) + ".socket";
  Client client("unix:" + path);
  const Outcome nobody = client.send({}, seconds(10));
  EXPECT_EQ(nobody.fate, Fate::kNotSent);
  EXPECT_THAT(nobody.problem, HasSubstr(path));
  ServerOptions options;
  options.address = "";
  options.unix_socket = path;
  const Server server(options, [](const Request& request) {
    Response response;
    response.body = request.body + std::string(request.header("Host"));
    return response;
  });
  for (int turn = 0; turn < 3; ++turn) {
    const Outcome outcome = client.send({"POST", "/", {}, "at "}, seconds(10));
    ASSERT_EQ(outcome.fate, Fate::kAnswered) << outcome.problem;
    EXPECT_EQ(outcome.response.body, "at localhost");
  }
}

TEST(HttpClientTest, BadBaseUrlsThrow) {
  for (const char* bad : {"", "127.0.0.1:80", "ftp://x", "http://", "http://a/b", "http://u@h",
                          "http://h:0", "http://h:99999", "http://h:1?x", "unix:"}) {
    EXPECT_THROW(Client{bad}, std::invalid_argument) << bad;
  }
  EXPECT_NO_THROW(Client("unix:/" + std::string(106, 's')));
  EXPECT_THROW(Client("unix:/" + std::string(107, 's')), std::invalid_argument);
  EXPECT_NO_THROW(Client("http://localhost"));
  EXPECT_NO_THROW(Client("https://[::1]:8443/"));
}

}  // namespace
}  // namespace tally::runtime::http
