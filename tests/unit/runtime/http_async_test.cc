// Answers that come later, from other threads, in another order, or never; and the server's end.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Response text(std::string body) {
  Response response;
  response.body = std::move(body);
  return response;
}

std::string get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
}

// Keeps what was asked until the test answers it.
class Desk {
 public:
  Server::AsyncHandler handler() {
    return [this](Request&& request, Responder responder) {
      const std::lock_guard lock(mutex_);
      asked_.emplace_back(request.target, std::move(responder));
      changed_.notify_all();
    };
  }
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return asked_.size() >= count; });
  }
  std::vector<std::pair<std::string, Responder>> take() {
    const std::lock_guard lock(mutex_);
    return std::move(asked_);
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return asked_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, Responder>> asked_;
};

TEST(HttpAsyncTest, AnswersInReverseArriveInOrder) {
  Desk desk;
  const Server server({}, desk.handler());
  RawSocket socket(server.port());
  for (int i = 0; i < 10; ++i) socket.send(get("/" + std::to_string(i)));
  desk.wait_for(10);
  auto asked = desk.take();
  for (auto one = asked.rbegin(); one != asked.rend(); ++one) {
    std::move(one->second).send(text("<" + one->first + ">"));
  }
  const std::string answers = socket.read_until("</9>");
  std::size_t place = 0;
  for (int i = 0; i < 10; ++i) {
    const std::size_t found = answers.find("</" + std::to_string(i) + ">");
    ASSERT_NE(found, std::string::npos) << i;
    EXPECT_GT(found, place) << i;
    place = found;
  }
}

TEST(HttpAsyncTest, NoMoreThanTheLimitIsUnderWay) {
  Desk desk;
  ServerOptions options;
  options.max_pipelined = 3;
  const Server server(options, desk.handler());
  RawSocket socket(server.port());
  std::string all;
  for (int i = 0; i < 8; ++i) all += get("/" + std::to_string(i));
  socket.send(all);
  std::string answers;
  for (int round = 0; round < 8;) {
    desk.wait_for(1);
    auto asked = desk.take();
    ASSERT_LE(asked.size(), 3U);
    for (auto& [target, responder] : asked) std::move(responder).send(text("<" + target + ">"));
    answers += socket.read_until("<" + asked.back().first + ">");
    round += static_cast<int>(asked.size());
  }
  EXPECT_THAT(answers, HasSubstr("</7>"));
}

TEST(HttpAsyncTest, DroppedRespondersAnswer500) {
  const Server server({}, [](Request&&, Responder) {});
  RawSocket socket(server.port());
  socket.send(get("/"));
  EXPECT_THAT(socket.read_until("}"), StartsWith("HTTP/1.1 500 "));
}

TEST(HttpAsyncTest, ExceptionsOfTheHandlerAnswer500) {
  const Server server({}, Server::AsyncHandler([](Request&&, Responder) {
                        throw std::runtime_error("inner secret");
                      }));
  testing::internal::CaptureStderr();
  RawSocket socket(server.port());
  socket.send(get("/", "Connection: close\r\n"));
  const std::string answer = socket.read_until();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("inner secret"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(answer, Not(HasSubstr("secret")));
}

TEST(HttpAsyncTest, AnswersInPlaceAreDelivered) {
  const Server server({}, [](Request&& request, Responder responder) {
    std::move(responder)(text("<" + request.target + request.body + ">"));
  });
  RawSocket socket(server.port());
  for (int i = 0; i < 100; ++i) socket.send(get("/" + std::to_string(i)));
  EXPECT_THAT(socket.read_until("</99>"), HasSubstr("</0>"));
  EXPECT_EQ(server.stats().requests, 100U);
}

TEST(HttpAsyncTest, AnswersToWhoIsGoneAreThrownAway) {
  Desk desk;
  auto server = std::make_unique<Server>(ServerOptions{}, desk.handler());
  {
    RawSocket socket(server->port());
    socket.send(get("/gone"));
    desk.wait_for(1);
    socket.reset_on_close();
  }
  while (server->stats().connections_open > 0) std::this_thread::yield();
  // The next connection takes the place of the one that is gone, and must not get its answer.
  RawSocket next(server->port());
  next.send(get("/next"));
  desk.wait_for(2);
  auto asked = desk.take();
  std::move(asked[0].second).send(text("<gone>"));
  std::move(asked[1].second).send(text("<next>"));
  EXPECT_THAT(next.read_until("<next>"), Not(HasSubstr("<gone>")));
  // And to a server that is gone.
  next.send(get("/late"));
  desk.wait_for(1);
  server.reset();
  for (auto& [target, responder] : desk.take()) std::move(responder).send(text("late"));
}

TEST(HttpAsyncTest, BurstsFromOtherThreadsReachManyConnections) {
  Desk desk;
  ServerOptions options;
  options.threads = 2;
  const Server server(options, desk.handler());
  std::vector<RawSocket> sockets;
  for (int i = 0; i < 64; ++i) sockets.emplace_back(server.port());
  for (RawSocket& socket : sockets) socket.send(get("/a") + get("/b"));
  desk.wait_for(128);
  auto asked = desk.take();
  std::vector<std::thread> threads;
  for (std::size_t part = 0; part < 4; ++part) {
    threads.emplace_back([&, part] {
      for (std::size_t i = part; i < asked.size(); i += 4) {
        std::move(asked[i].second).send(text("<" + asked[i].first + ">"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (RawSocket& socket : sockets) {
    const std::string answers = socket.read_until("</b>");
    EXPECT_LT(answers.find("</a>"), answers.find("</b>"));
  }
}

TEST(HttpAsyncTest, WhoHasEndedSendingIsStillAnswered) {
  Desk desk;
  const Server server({}, desk.handler());
  RawSocket socket(server.port());
  socket.send(get("/1") + get("/2"));
  socket.end_sending();
  desk.wait_for(2);
  for (auto& [target, responder] : desk.take()) std::move(responder).send(text("<" + target + ">"));
  EXPECT_THAT(socket.read_until(), HasSubstr("</2>"));
}

TEST(HttpAsyncTest, InterimAnswersWaitForTheirTurn) {
  Desk desk;
  const Server server({}, desk.handler());
  RawSocket socket(server.port());
  socket.send(
      get("/first") +
      "POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  desk.wait_for(1);
  for (auto& [target, responder] : desk.take()) std::move(responder).send(text("<first>"));
  const std::string answers = socket.read_until("100 Continue\r\n\r\n");
  EXPECT_LT(answers.find("<first>"), answers.find("100 Continue"));
  socket.send("hi");
  desk.wait_for(1);
  for (auto& [target, responder] : desk.take()) std::move(responder).send(text("<second>"));
  EXPECT_THAT(socket.read_until("<second>"), StartsWith("HTTP/1.1 200 "));
}

TEST(HttpDrainTest, BegunRequestsAreAnsweredAndIdleConnectionsClose) {
  Desk desk;
  Server server({}, desk.handler());
  RawSocket idle(server.port());
  RawSocket busy(server.port());
  RawSocket begun(server.port());
  busy.send(get("/busy1") + get("/busy2"));
  desk.wait_for(2);
  begun.send(
      "POST /begun HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  begun.read_until("\r\n\r\n");
  EXPECT_FALSE(server.drain(steady_clock::now()));
  EXPECT_THROW(RawSocket{server.port()}, std::runtime_error);
  EXPECT_EQ(idle.read_until(), "");
  begun.send("hi");
  desk.wait_for(3);
  for (auto& [target, responder] : desk.take()) std::move(responder).send(text("<" + target + ">"));
  const std::string answers = busy.read_until();
  EXPECT_THAT(answers, HasSubstr("</busy2>"));
  EXPECT_GT(answers.find("Connection: close"), answers.find("</busy1>"));
  EXPECT_THAT(begun.read_until(), HasSubstr("Connection: close\r\n\r\n</begun>"));
  {
    const RawSocket gone[] = {std::move(idle), std::move(busy), std::move(begun)};
  }
  EXPECT_TRUE(server.drain(steady_clock::now() + seconds(30)));
  EXPECT_EQ(server.stats().connections_open, 0U);
}

TEST(HttpDrainTest, WithoutConnectionsThereIsNothingToWaitFor) {
  Server server({}, [](const Request&) { return Response(); });
  EXPECT_TRUE(server.drain(steady_clock::now() + seconds(30)));
  server.stop_accepting();
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

TEST(HttpDrainTest, ThousandsOfConnectionsLeaveNoDescriptors) {
  ServerOptions options;
  options.threads = 2;
  const Server server(options, [](const Request&) { return Response(); });
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 2000; ++i) {
    RawSocket socket(server.port());
    // Ends of every kind: silent, reset, in the midst of a request, after an answer.
    if (i % 4 == 1) socket.reset_on_close();
    if (i % 4 == 2) socket.send("GET / HT");
    if (i % 4 == 3) socket.send(get("/"));
    if (i % 8 == 7) socket.read_until("\r\n\r\n");
  }
  while (server.stats().connections_accepted < 2000) std::this_thread::yield();
  while (server.stats().connections_open > 0) std::this_thread::yield();
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace tally::runtime::http
