// A daemon on a thread of its own, and those who ask it over its sockets.
#pragma once

#include "producer/serve/daemon.h"
#include "runtime/http/client.h"
#include "runtime/lifecycle/lifecycle.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace tally::producer::serve {

inline constexpr std::chrono::seconds kPatience{300};  // for what is to come, however slow it is

class RunningDaemon {
 public:
  // Serves when it is made. One in a process at a time.
  explicit RunningDaemon(DaemonOptions options) : port_file_(options.port_file) {
    std::filesystem::remove(port_file_);
    ended_ = std::async(std::launch::async, [this, options = std::move(options)] {
      return run_daemon(options, stop_);
    });
    while (!std::filesystem::exists(port_file_)) {
      if (ended_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) break;
      std::this_thread::yield();
    }
    std::ifstream(port_file_) >> port_;
  }
  ~RunningDaemon() {
    if (ended_.valid()) {
      EXPECT_EQ(stop(), "");
    }
  }
  RunningDaemon(const RunningDaemon&) = delete;
  RunningDaemon& operator=(const RunningDaemon&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void begin_stop() { stop_.request(); }
  // "" or why it failed.
  std::string stop() {
    begin_stop();
    const auto ended = ended_.get();
    return ended ? "" : ended.error().message;
  }

 private:
  std::string port_file_;
  runtime::lifecycle::StopSignal stop_;
  std::uint16_t port_ = 0;
  std::future<core::Result<void>> ended_;
};

// A sender with one kept-alive connection. One thread.
class Caller {
 public:
  explicit Caller(std::uint16_t port, std::string key = "")
      : client_("http://127.0.0.1:" + std::to_string(port)), key_(std::move(key)) {}
  // The status; 0: no answer came.
  int send(runtime::http::Request request) {
    if (!key_.empty()) request.headers.set("X-API-Key", key_);
    last_ = client_.send(request, kPatience);
    return last_.fate == runtime::http::Fate::kAnswered ? last_.response.status : 0;
  }
  // The body of the answer.
  const std::string& get(std::string_view target) {
    runtime::http::Request request;
    request.target = target;
    send(std::move(request));
    return last_.response.body;
  }
  // Asks for the metrics until they say so.
  void wait_for_metric(const std::string& line) {
    while (get("/metrics").find("\n" + line + "\n") == std::string::npos) std::this_thread::yield();
  }

 private:
  runtime::http::Client client_;
  std::string key_;
  runtime::http::Outcome last_;
};

}  // namespace tally::producer::serve
