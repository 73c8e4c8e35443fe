// What the server refuses: every answer that it gives itself, byte by byte.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Response echo(const Request& request) {
  Response response;
  response.body = request.method + " " + request.target + " [" + request.body + "]";
  return response;
}

// All that comes back until the server closes.
std::string all_answers(const Server& server, const std::string& bytes) {
  RawSocket socket(server.port());
  socket.send(bytes);
  return socket.read_until();
}

// What follows a refused request on its connection is never read as a request.
constexpr std::string_view kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

struct Refused {
  const char* what;
  std::string bytes;
  int status;
};

std::vector<Refused> refused_requests() {
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n";
  return {
      {"length then encoding",
       post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"encoding then length", chunked + "Content-Length: 5\r\n\r\n0\r\n\r\n", 400},
      {"unknown encoding then length",
       post + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde", 400},
      {"length then unknown encoding",
       post + "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nabcde", 400},
      {"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400},
      {"two lengths in one", post + "Content-Length: 5, 6\r\n\r\nabcdef", 400},
      {"negative length", post + "Content-Length: -1\r\n\r\n", 400},
      {"signed length", post + "Content-Length: +5\r\n\r\nabcde", 400},
      {"length of more than 64 bits", post + "Content-Length: 18446744073709551617\r\n\r\na", 400},
      {"folded header", post + "X-A: 1\r\n  2\r\nContent-Length: 0\r\n\r\n", 400},
      {"folded encoding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
      {"white space before the first header", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
      {"white space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
      {"bare line feed", "GET / HTTP/1.1\nHost: x\n\n\r\n\r\n", 400},
      {"zero byte in a value", post + std::string("X: a\0b\r\n\r\n", 10), 400},
      {"chunk size is no number", chunked + "\r\nxyz\r\n\r\n", 400},
      {"chunk longer than it says", chunked + "\r\n2\r\nabcd\r\n0\r\n\r\n", 400},
      {"chunk size over 64 bits", chunked + "\r\n10000000000000000\r\n", 400},
      {"two encodings", chunked + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"unknown encoding", post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {"encodings in a row", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
      {"another version", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400},
      {"unknown expectation", post + "Content-Length: 1\r\nExpect: wonders\r\n\r\n", 417},
      {"long target", "GET /" + std::string(2000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
      {"target over all limits", "GET /" + std::string(9000, 'x'), 414},
      {"long header", "GET / HTTP/1.1\r\nX: " + std::string(9000, 'x') + "\r\n\r\n", 431},
      {"many headers",
       post +
           [] {
             std::string many;
             for (int i = 0; i < 1000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
             return many;
           }() +
           "\r\n",
       431},
      {"declared body", post + "Content-Length: 1001\r\n\r\n", 413},
      {"chunked body", chunked + "\r\n3e9\r\n", 413},
      {"endless chunk extension", chunked + "\r\n1;" + std::string(9000, 'x'), 400},
      {"endless trailer", chunked + "\r\n0\r\nX: " + std::string(9000, 'x'), 400},
  };
}

TEST(HttpLimitsTest, RefusalsCloseAndNothingBehindThemIsRead) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.max_header_bytes = 4000;
  options.max_target_bytes = 1000;
  std::atomic<int> calls = 0;
  const Server server(options, [&](const Request& request) {
    ++calls;
    return echo(request);
  });
  for (const Refused& refused : refused_requests()) {
    SCOPED_TRACE(refused.what);
    const std::string answer = all_answers(server, refused.bytes + std::string(kSmuggled));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::to_string(refused.status) + " "));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_THAT(answer, Not(HasSubstr("\nHTTP/1.1 ")));  // one answer only
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(server.stats().responses[5], 2U);
  EXPECT_EQ(server.stats().responses[4], refused_requests().size() - 2);
}

TEST(HttpLimitsTest, WhatIsOnlyUnusualIsRead) {
  const Server server({}, echo);
  const std::string end = "Connection: close\r\n\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n" + end.substr(0, end.size() - 2);
  EXPECT_THAT(
      all_answers(server, post + "Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\nhi\r\n1\r\n!\r\n"
                                 "0\r\nX-Trailer: y\r\n\r\n"),
      HasSubstr("[hi!]"));
  EXPECT_THAT(all_answers(server, "GET / HTTP/1.1\r\nhOST:\tx \r\n" + end), HasSubstr("GET / []"));
}

TEST(HttpLimitsTest, OldHttpIsAnsweredAndClosed) {
  const Server server({}, echo);
  const std::string answer = all_answers(
      server, "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + std::string(kSmuggled));
  EXPECT_THAT(answer, HasSubstr("/old"));
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("/smuggled")));
}

TEST(HttpLimitsTest, RequestsArriveByteByByte) {
  const Server server({}, echo);
  RawSocket socket(server.port());
  for (const char byte :
       std::string("POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                   "\r\n2\r\nhi\r\n0\r\n\r\n")) {
    socket.send(std::string_view(&byte, 1));
  }
  EXPECT_THAT(socket.read_until("[hi]"), HasSubstr("POST /slow [hi]"));
}

TEST(HttpLimitsTest, LargeBodiesAndAnswersPassWhole) {
  ServerOptions options;
  options.max_body_bytes = 8 * 1024 * 1024;
  const Server server(options, echo);
  std::string body;
  while (body.size() < options.max_body_bytes - 8) body += std::to_string(body.size());
  const std::string answer =
      all_answers(server, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_TRUE(answer.ends_with("POST / [" + body + "]")) << answer.size();
}

TEST(HttpLimitsTest, ErrorsAreSaidAsTheOptionsWantThem) {
  ServerOptions options;
  options.bearer_token = "right";
  options.error_answer = [](int status, std::string_view sentence) {
    Response response;
    response.status = status;
    response.headers.add("Content-Type", "application/problem+json");
    response.body = "<" + std::string(sentence) + ">";
    return response;
  };
  const Server server(options, echo);
  const std::string answer = all_answers(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(answer, HasSubstr("application/problem+json"));
  EXPECT_THAT(answer, HasSubstr("\r\nWWW-Authenticate: Bearer\r\n"));
  EXPECT_THAT(answer, HasSubstr("<give the token"));
}

TEST(HttpLimitsTest, LineBreaksInAnswersBeginNothing) {
  const Server server({}, [](const Request&) {
    Response response;
    response.headers.add("X-Quoted", "a\r\nSet-Cookie: b");
    response.headers.add("Content-Length", "77");
    return response;
  });
  const std::string answer = all_answers(server, "GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("\r\nX-Quoted: a  Set-Cookie: b\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("77")));
}

// Lets in who shows a key, and tells the handler whose it is.
ServerOptions with_doorman() {
  ServerOptions options;
  options.admit = [](Request& head) -> std::optional<Response> {
    EXPECT_EQ(head.body, "");
    const std::string_view key = head.header("X-Key");
    if (key == "broken") throw std::runtime_error("the doorman fell asleep");
    if (!key.empty()) {
      head.grant = std::make_shared<std::string>(key);
      return std::nullopt;
    }
    Response refused;
    refused.status = 415;
    refused.headers.add("X-Why", "no key");
    refused.body = "no key";
    return refused;
  };
  return options;
}

// Nothing of the body was sent when the answer comes, nor was it asked for.
TEST(HttpLimitsTest, TheHeadAloneIsRefusedBeforeTheBody) {
  std::atomic<int> calls = 0;
  const Server server(with_doorman(), [&](const Request& request) {
    ++calls;
    return echo(request);
  });
  for (const std::string_view more :
       {"Content-Length: 1000\r\nExpect: 100-continue\r\n", "Content-Length: 1000\r\n",
        "Transfer-Encoding: chunked\r\n", ""}) {
    const std::string answer =
        all_answers(server, "POST / HTTP/1.1\r\nHost: x\r\n" + std::string(more) + "\r\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 415 "));
    EXPECT_THAT(answer, HasSubstr("\r\nX-Why: no key\r\n"));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
    EXPECT_TRUE(answer.ends_with("\r\n\r\nno key"));
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(server.stats().bytes_receiving, 0U);
}

TEST(HttpLimitsTest, BehindARefusedHeadNothingIsRead) {
  const Server server(with_doorman(), echo);
  const std::string answer = all_answers(
      server, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nX-Key: k\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 415 "));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;  // HEAD is answered without a body
}

TEST(HttpLimitsTest, WhatWasLetInIsKnownToTheHandler) {
  const Server server(with_doorman(), [](const Request& request) {
    Response response = echo(request);
    response.body += *std::static_pointer_cast<std::string>(request.grant);
    return response;
  });
  RawSocket socket(server.port());
  for (const std::string key : {"one", "two"}) {
    socket.send("POST / HTTP/1.1\r\nHost: x\r\nX-Key: " + key + "\r\nContent-Length: 2\r\n\r\nhi");
    EXPECT_THAT(socket.read_until(key), HasSubstr("POST / [hi]" + key));
  }
}

TEST(HttpLimitsTest, ADoormanThatThrowsLetsNobodyIn) {
  const Server server(with_doorman(), echo);
  const std::string answer =
      all_answers(server, "GET / HTTP/1.1\r\nHost: x\r\nX-Key: broken\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(answer, Not(HasSubstr("asleep")));
}

// Bodies of at most 1000 bytes, 2000 of all connections at once.
ServerOptions with_little_room() {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.max_bytes_receiving = 2000;
  return options;
}

std::string post_of(std::size_t bytes, std::string_view more = "") {
  return "POST / HTTP/1.1\r\nHost: x\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

void wait_for_receiving(const Server& server, std::uint64_t bytes) {
  while (server.stats().bytes_receiving != bytes) std::this_thread::yield();
}

void expect_refused_for_room(const std::string& answer, int status = 503) {
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::to_string(status) + " "));
  EXPECT_THAT(answer, HasSubstr("\r\nRetry-After: 1\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
}

TEST(HttpLimitsTest, BodiesThatArriveAreBoundedTogether) {
  const Server server(with_little_room(), echo);
  RawSocket one(server.port());
  auto other = std::make_unique<RawSocket>(server.port());
  for (RawSocket* socket : {&one, other.get()}) {
    socket->send(post_of(1000, "Expect: 100-continue\r\n"));
    EXPECT_THAT(socket->read_until("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
  }
  EXPECT_EQ(server.stats().bytes_receiving, 2000U);
  expect_refused_for_room(all_answers(server, post_of(1, "Expect: 100-continue\r\n")));
  expect_refused_for_room(
      all_answers(server,
                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n"
                  "a\r\n0\r\n\r\n"));
  EXPECT_THAT(all_answers(server, "GET / HTTP/1.0\r\n\r\n"), HasSubstr("GET / []"));
  // Given back by an answer: the next request of the same connection takes it again.
  one.send(std::string(1000, 'x'));
  EXPECT_THAT(one.read_until("x]"), HasSubstr("200 OK"));
  EXPECT_EQ(server.stats().bytes_receiving, 1000U);
  one.send(post_of(1000) + std::string(1000, 'y'));
  EXPECT_THAT(one.read_until("y]"), HasSubstr("200 OK"));
  // And by a connection that ends.
  other->send("cut");
  other->reset_on_close();
  other.reset();
  wait_for_receiving(server, 0);
}

TEST(HttpLimitsTest, ChunksCountAsTheyCome) {
  const Server server(with_little_room(), echo);
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawSocket one(server.port());
  RawSocket other(server.port());
  RawSocket third(server.port());
  one.send(head + "384\r\n" + std::string(900, 'x') + "\r\n");
  other.send(head + "384\r\n" + std::string(900, 'x'));
  wait_for_receiving(server, 1800);
  third.send(head + "c8\r\n" + std::string(200, 'z'));
  wait_for_receiving(server, 2000);
  other.send("\r\n1\r\ny\r\n0\r\n\r\n");
  expect_refused_for_room(other.read_until());
  wait_for_receiving(server, 1100);
  one.send("1\r\ny\r\n0\r\n\r\n");
  EXPECT_THAT(one.read_until("y]"), HasSubstr("200 OK"));
  EXPECT_EQ(server.stats().bytes_receiving, 200U);
}

// Who declared enough could keep all others out for as long as its bodies took to arrive.
TEST(HttpLimitsTest, AnAccountHasHalfOfTheRoom) {
  std::map<std::string, std::shared_ptr<BytesReceiving>, std::less<>> accounts;
  for (const char* name : {"one", "other"}) accounts[name] = std::make_shared<BytesReceiving>();
  ServerOptions options = with_little_room();
  options.max_body_bytes = 600;
  options.admit = [&](Request& head) -> std::optional<Response> {
    const auto account = accounts.find(head.header("X-Account"));
    if (account != accounts.end()) head.account = account->second;
    return std::nullopt;
  };
  const Server server(options, echo);
  const std::string_view one = "X-Account: one\r\n";
  const std::string_view other = "X-Account: other\r\n";
  const std::string_view chunked =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Account: one\r\n\r\n";
  RawSocket first(server.port());
  RawSocket second(server.port());
  first.send(post_of(600, one));
  second.send(post_of(400, one));
  wait_for_receiving(server, 1000);
  expect_refused_for_room(all_answers(server, post_of(1, one)), 429);
  expect_refused_for_room(all_answers(server, std::string(chunked) + "1\r\na\r\n"), 429);
  EXPECT_EQ(accounts["one"]->value(), 1000U);
  EXPECT_EQ(server.stats().bytes_receiving, 1000U);
  // The others have the rest, and what is nobody's all of it.
  RawSocket third(server.port());
  third.send(post_of(500, other));
  RawSocket fourth(server.port());
  fourth.send(post_of(500));
  wait_for_receiving(server, 2000);
  expect_refused_for_room(all_answers(server, post_of(1, other)));
  EXPECT_EQ(accounts["other"]->value(), 500U);
  // What is over is given back to it: it may go on.
  second.send(std::string(400, 'x'));
  EXPECT_THAT(second.read_until("x]"), HasSubstr("200 OK"));
  EXPECT_EQ(accounts["one"]->value(), 600U);
  second.send(std::string(chunked) + "190\r\n" + std::string(400, 'y') + "\r\n");
  wait_for_receiving(server, 2000);
  second.send("1\r\ny\r\n");
  expect_refused_for_room(second.read_until(), 429);
  // And when the connection is cut.
  first.reset_on_close();
  {
    const RawSocket gone = std::move(first);
  }
  wait_for_receiving(server, 1000);
  EXPECT_EQ(accounts["one"]->value(), 0U);
}

// A body of the largest size is read from whoever has nothing else on its way.
TEST(HttpLimitsTest, AnAccountHasRoomForABody) {
  const auto account = std::make_shared<BytesReceiving>();
  ServerOptions options;
  options.max_body_bytes = options.max_bytes_receiving = 1000;
  options.admit = [&](Request& head) -> std::optional<Response> {
    head.account = account;
    return std::nullopt;
  };
  const Server server(options, echo);
  RawSocket socket(server.port());
  socket.send(post_of(1000) + std::string(1000, 'x'));
  EXPECT_THAT(socket.read_until("x]"), HasSubstr("200 OK"));
}

// Nothing of it was given back, and all of it was counted as free.
TEST(HttpLimitsTest, AConnectionKeepsLittleOfALargeBody) {
  const Server server({}, [](const Request& request) {
    Response response;
    response.body = "<" + std::to_string(request.body.capacity()) + ">";
    return response;
  });
  RawSocket socket(server.port());
  const std::size_t large = std::size_t{1024} * 1024;
  socket.send(post_of(large) + std::string(large, 'x'));
  EXPECT_THAT(socket.read_until(">"), HasSubstr("200 OK"));
  socket.send(post_of(1) + "y");
  const std::string answer = socket.read_until(">");
  ASSERT_THAT(answer, HasSubstr("<"));
  EXPECT_LE(std::stoul(answer.substr(answer.find('<') + 1)), 64U * 1024);
}

// The connection is still there, told and read from: its memory is not.
TEST(HttpLimitsTest, WhatIsRefusedMidwayIsGivenBack) {
  ServerOptions options = with_little_room();
  options.read_timeout = milliseconds(100);
  const Server server(options, echo);
  RawSocket late(server.port());
  late.send(post_of(1000) + "some");
  EXPECT_THAT(late.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 408 "));
  EXPECT_EQ(server.stats().bytes_receiving, 0U);
  RawSocket malformed(server.port());
  malformed.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n");
  EXPECT_THAT(malformed.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(server.stats().bytes_receiving, 0U);
}

// Half closed: its answers are owed, what it began will never be whole.
TEST(HttpLimitsTest, ABodyThatWillNeverBeWholeIsGivenBack) {
  std::optional<Responder> owed;
  std::atomic<bool> asked = false;
  const Server server(with_little_room(), [&](Request&&, Responder responder) {
    owed = std::move(responder);
    asked = true;
  });
  RawSocket socket(server.port());
  socket.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + post_of(1000) + "some");
  while (!asked) std::this_thread::yield();
  wait_for_receiving(server, 1000);
  socket.end_sending();
  wait_for_receiving(server, 0);
  std::move(*owed).send({});
  EXPECT_THAT(socket.read_until(), HasSubstr("200 OK"));
}

TEST(HttpLimitsTest, AServerThatEndsIsOwedNothing) {
  auto server = std::make_unique<Server>(with_little_room(), echo);
  RawSocket socket(server->port());
  socket.send(post_of(1000) + "some");
  wait_for_receiving(*server, 1000);
  server.reset();  // it checks so itself
  EXPECT_EQ(socket.read_until(), "");
}

// A slowloris keeps sending; what counts is when the request began.
TEST(HttpLimitsTest, DrippingRequestsAreTimedOut) {
  ServerOptions options;
  options.read_timeout = milliseconds(100);
  options.max_header_bytes = 16 * 1024 * 1024;
  const Server server(options, echo);
  std::vector<RawSocket> sockets;
  for (int i = 0; i < 50; ++i) {
    sockets.emplace_back(server.port());
    sockets.back().send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
  }
  while (server.stats().request_timeouts < sockets.size()) {
    for (RawSocket& socket : sockets) socket.send("y");
  }
  for (RawSocket& socket : sockets) {
    socket.end_sending();
    EXPECT_THAT(socket.read_until(), StartsWith("HTTP/1.1 408 "));
  }
}

TEST(HttpLimitsTest, WhoTakesNoAnswerIsClosed) {
  ServerOptions options;
  options.write_timeout = milliseconds(100);
  const Server server(options, [](const Request&) {
    Response response;
    response.body.assign(16 * 1024 * 1024, 'x');  // more than all buffers of the sockets
    return response;
  });
  RawSocket socket(server.port());
  socket.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  while (server.stats().write_timeouts == 0) std::this_thread::yield();
  while (server.stats().connections_open > 0) std::this_thread::yield();
  EXPECT_LT(socket.read_until().size(), 16U * 1024 * 1024);
}

}  // namespace
}  // namespace tally::runtime::http
