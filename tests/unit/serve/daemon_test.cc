// The whole daemon but its main(), over loopback sockets and a broker of librdkafka's own: for the
// sanitizers, which run the unit tests alone.
#include "producer/serve/daemon.h"
#include "tests/unit/runtime/raw_socket.h"
#include "tests/unit/runtime/tls_peer.h"
#include "tests/unit/serve/mock_kafka.h"
#include "tests/unit/serve/requests.h"
#include "tests/unit/serve/running_daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tally::producer::serve {
namespace {

using runtime::http::RawSocket;
using runtime::http::TlsPeer;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kHead =
    "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n";

std::string raw_post(const std::string& body) {
  return kHead + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class WholeDaemon : public testing::Test {
 protected:
  WholeDaemon() {
    std::string name = testing::TempDir() + "tally-daemon-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~WholeDaemon() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::trunc) << text;
  }

  [[nodiscard]] DaemonOptions options(Level level) const {
    DaemonOptions options;
    options.http.threads = 2;
    options.sink.level = level;
    options.sink.kafka = {{"bootstrap.servers", kafka_.brokers()},
                          {"reconnect.backoff.max.ms", "100"}};
    options.sink.admin = options.sink.kafka;
    if (level == Level::kSpooled) {
      options.sink.spool_folder = path("spool");
      options.sink.spool_bytes = 256ULL * 1024 * 1024;
    }
    options.port_file = path("port");
    options.drain_timeout = kPatience;
    return options;
  }

  MockKafka kafka_;
  std::filesystem::path folder_;
};

class AtBothLevels : public WholeDaemon, public testing::WithParamInterface<Level> {};

INSTANTIATE_TEST_SUITE_P(Daemon, AtBothLevels, testing::Values(Level::kAcked, Level::kSpooled),
                         [](const auto& level) {
                           return level.param == Level::kAcked ? "Acked" : "Spooled";
                         });

TEST_P(AtBothLevels, OfMalformedRequestsNothingIsKept) {
  DaemonOptions settings = options(GetParam());
  settings.http.read_timeout = seconds(2);
  settings.http.max_body_bytes = 2048;
  RunningDaemon daemon(settings);
  const std::string one = event("smuggled");
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const auto answer_to = [&](const std::string& request) {
    RawSocket socket(daemon.port());
    socket.send(request);
    return socket.read_until();
  };
  for (const std::string& request :
       {kHead + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + one,
        kHead + "Content-Length: 4\r\n" + chunked + "\r\n0\r\n\r\nPOST /v1/events HTTP/1.1\r\n\r\n",
        kHead + "Content-Length: -1\r\n\r\n" + one, kHead + "Content-Length: +1\r\n\r\n" + one,
        kHead + "Content-Length: 99999999999999999999\r\n\r\n" + one,
        kHead + "Transfer-Encoding: x, chunked, y\r\n\r\n0\r\n\r\n",
        kHead + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        kHead + chunked + "\r\nffffffffffffffffff\r\n" + one,
        kHead + " folded: x\r\nContent-Length: 0\r\n\r\n",
        "POST /v1/events HTTP/1.0\r\nHost: x\r\n" + chunked + "\r\n0\r\n\r\n",
        std::string("POST /v1/events HTTP/1.1\nHost: x\n\n"), std::string("GET\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string("\x16\x03\x01\r\n\r\n"),
        std::string("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 28),
        std::string("POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type : a\r\n\r\n")}) {
    const std::string answer = answer_to(request);
    EXPECT_THAT(answer, testing::AnyOf(StartsWith("HTTP/1.1 4"), StartsWith("HTTP/1.1 501 ")))
        << request;
    EXPECT_THAT(answer, HasSubstr("application/problem+json")) << request;
  }
  EXPECT_THAT(answer_to(kHead + "Content-Length: 9999999\r\n\r\n"), HasSubstr(" 413 "));
  EXPECT_THAT(answer_to(kHead + "X: " + std::string(40'000, 'y') + "\r\n\r\n"), HasSubstr(" 431 "));
  // The rest of the head, and of the body, never comes.
  std::array<RawSocket, 2> slow = {RawSocket(daemon.port()), RawSocket(daemon.port())};
  slow[0].send(kHead);
  slow[1].send(kHead + "Content-Length: 20\r\n\r\n{");
  for (RawSocket& socket : slow) EXPECT_THAT(socket.read_until(), StartsWith("HTTP/1.1 408 "));
  Caller caller(daemon.port());
  for (const std::string& body :
       {std::string(), one.substr(0, one.size() - 1), std::string(2000, '['), std::string(1, '\0'),
        event("late", R"(,"subject":"other")"), "[" + one + "]"}) {
    EXPECT_THAT(caller.send(post_one(body)), testing::AnyOf(400, 422)) << body;
  }
  EXPECT_EQ(caller.send(post_batch({one, "{}"})), 422);
  EXPECT_EQ(caller.send(post_one(std::string(4096, 'x'))), 413);
  EXPECT_EQ(caller.send(post_one(event("fine"))), 202);
  if (GetParam() == Level::kSpooled)
    caller.wait_for_metric("tally_producer_spool_waiting_records 0");
  EXPECT_EQ(daemon.stop(), "");
  EXPECT_EQ(kafka_.keys(), std::set<std::string>{"fine"});
}

// Those who send one tenant's events over many connections, until they are told to end.
class Crowd {
 public:
  Crowd(std::uint16_t port, const std::string& key, std::string tenant, std::string part)
      : tenant_(std::move(tenant)), part_(std::move(part)), thread_([this, port, key] {
          std::deque<Caller> callers;
          for (int i = 0; i < kConnections; ++i) callers.emplace_back(port, key);
          while (!may_end_) {
            for (Caller& caller : callers) send_some(caller);
          }
        }) {}
  // The ids that were answered 202.
  std::set<std::string> end() {
    may_end_ = true;
    thread_.join();
    return std::move(kept_);
  }

 private:
  static constexpr int kConnections = 25;

  std::string of(const std::string& tenant, const std::string& id) const {
    return R"({"specversion":"1.0","id":")" + id + R"(","source":"/s","type":"t","subject":")" +
           tenant + R"(","data":{}})";
  }
  void send_some(Caller& caller) {
    const std::string name = tenant_ + "-" + part_ + std::to_string(next_++);
    const std::vector<std::string> batch = {of(tenant_, name + "-a"), of(tenant_, name + "-b")};
    EXPECT_EQ(caller.send(post_batch(batch)), 202);
    kept_.insert({name + "-a", name + "-b"});
    EXPECT_EQ(caller.send(post_batch({of(tenant_, name + "-c"), of("nobody", name)})), 403);
  }

  const std::string tenant_;
  const std::string part_;  // of its events' names
  int next_ = 0;
  std::set<std::string> kept_;  // of thread_, until it has ended
  std::atomic<bool> may_end_{false};
  std::thread thread_;
};

TEST_P(AtBothLevels, TwoTenantsSendWhileTheKeysAreReadAnew) {
  const NewKey acme = new_key("acme").value();
  const NewKey globex = new_key("globex").value();
  const std::string lines = acme.line + "\n" + globex.line + "\n";
  write("keys", lines);
  DaemonOptions settings = options(GetParam());
  settings.keys_file = path("keys");
  settings.token = "the operator's";
  RunningDaemon daemon(settings);
  std::deque<Crowd> crowd;
  for (const char* part : {"a", "b", "c"}) {
    crowd.emplace_back(daemon.port(), acme.key, "acme", part);
    crowd.emplace_back(daemon.port(), globex.key, "globex", part);
  }
  std::set<std::string> kept;
  for (int turn = 0; turn < 4; ++turn) {
    const NewKey made = new_key("acme").value();
    write("keys.new", lines + made.line + "\n");
    std::filesystem::rename(path("keys.new"), path("keys"));
    ::raise(SIGHUP);
    Caller caller(daemon.port(), made.key);
    const std::string id = "turn-" + std::to_string(turn);
    while (caller.send(post_one(event(id))) != 202) std::this_thread::yield();
    kept.insert(id);
  }
  Caller operators(daemon.port(), settings.token);
  operators.wait_for_metric("tally_producer_http_keys 3");
  for (Crowd& one : crowd) kept.merge(one.end());
  if (GetParam() == Level::kSpooled) {
    operators.wait_for_metric("tally_producer_spool_waiting_records 0");
  }
  EXPECT_EQ(daemon.stop(), "");
  EXPECT_EQ(kafka_.keys(), kept);
}

// The broker is away, and each of a hundred connections waits for its answer.
class Waiting : public WholeDaemon {
 protected:
  static constexpr int kRequests = 100;

  void post_from_each(std::uint16_t port) {
    kafka_.go_away();
    for (int i = 0; i < kRequests; ++i) {
      sockets_.emplace_back(port).send(raw_post(event(std::to_string(i))));
      posted_.insert(std::to_string(i));
    }
    Caller(port).wait_for_metric("tally_producer_http_events_in_flight " +
                                 std::to_string(kRequests));
  }
  static void wait_until_nobody_listens(std::uint16_t port) {
    try {
      while (true) {
        const RawSocket socket(port);
        std::this_thread::yield();
      }
    } catch (const std::runtime_error&) {
      return;
    }
  }

  std::deque<RawSocket> sockets_;
  std::set<std::string> posted_;
};

TEST_F(Waiting, WhatWasBegunIsAnsweredByADaemonThatStops) {
  RunningDaemon daemon(options(Level::kAcked));
  post_from_each(daemon.port());
  daemon.begin_stop();
  wait_until_nobody_listens(daemon.port());
  kafka_.come_back();
  for (RawSocket& socket : sockets_) {
    const std::string answer = socket.read_until();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 202 "));
    EXPECT_THAT(answer, HasSubstr("\r\nConnection: close\r\n"));
  }
  EXPECT_EQ(daemon.stop(), "");
  EXPECT_EQ(kafka_.keys(), posted_);
}

// Their events end when the server is gone.
TEST_F(Waiting, BehindTheDrainTimeoutTheyAreCut) {
  DaemonOptions settings = options(Level::kAcked);
  settings.drain_timeout = milliseconds(0);
  RunningDaemon daemon(settings);
  post_from_each(daemon.port());
  EXPECT_EQ(daemon.stop(), "");
  for (RawSocket& socket : sockets_) EXPECT_EQ(socket.read_until(), "");
  kafka_.come_back();
  EXPECT_EQ(kafka_.keys(), std::set<std::string>());
}

TEST_F(WholeDaemon, ConnectionsBeyondTheBoundAreCounted) {
  DaemonOptions settings = options(Level::kAcked);
  settings.http.max_connections = 1;
  RunningDaemon daemon(settings);
  Caller first(daemon.port());
  EXPECT_EQ(first.send(post_one(event("a"))), 202);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(RawSocket(daemon.port()).read_until(), StartsWith("HTTP/1.1 503 "));
  }
  first.wait_for_metric("tally_producer_http_connections_closed_total{reason=\"too_many\"} 2");
  first.wait_for_metric("tally_producer_http_connections_closed_total{reason=\"no_memory\"} 0");
}

TEST_F(WholeDaemon, WhatIsInTheSpoolGoesOutWithTheNextOne) {
  kafka_.go_away();
  std::set<std::string> kept;
  {
    RunningDaemon daemon(options(Level::kSpooled));
    Caller caller(daemon.port());
    for (int i = 0; i < 50; ++i) {
      const std::string id = std::to_string(i);
      EXPECT_EQ(caller.send(post_one(event(id))), 202);
      kept.insert(id);
    }
  }
  kafka_.come_back();
  RunningDaemon daemon(options(Level::kSpooled));
  Caller(daemon.port()).wait_for_metric("tally_producer_spool_delivered_records 50");
  EXPECT_EQ(daemon.stop(), "");
  EXPECT_EQ(kafka_.keys(), kept);
}

TEST_F(WholeDaemon, ACertificateIsReadAnewBesideThoseWhoSend) {
  runtime::http::write_certificate("first", path("cert"), path("key"));
  DaemonOptions settings = options(Level::kAcked);
  settings.http.tls_certificate_file = path("cert");
  settings.http.tls_key_file = path("key");
  RunningDaemon daemon(settings);
  std::atomic<bool> may_end = false;
  std::set<std::string> kept;
  std::thread sender([&] {
    for (int i = 0; !may_end; ++i) {
      TlsPeer peer(daemon.port());
      peer.send(raw_post(event(std::to_string(i))));
      EXPECT_THAT(peer.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 202 "));
      kept.insert(std::to_string(i));
    }
  });
  for (const char* name : {"second", "third"}) {
    runtime::http::write_certificate(name, path("cert"), path("key"));
    ::raise(SIGHUP);
    while (TlsPeer(daemon.port()).server_name() != name) std::this_thread::yield();
  }
  may_end = true;
  sender.join();
  EXPECT_EQ(daemon.stop(), "");
  EXPECT_EQ(kafka_.keys(), kept);
}

}  // namespace
}  // namespace tally::producer::serve
