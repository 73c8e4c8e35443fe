// Posts events to `tally-producer serve` on a timetable; see README.md.
#include "core/check.h"
#include "runtime/config/settings.h"
#include "tests/support/poster/books.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

namespace {

using namespace tally;
using drill::Books;
using drill::Connection;
using drill::Numbers;
using runtime::config::Kind;
using runtime::config::Option;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::array kOptions = {
    Option{"where", Kind::kText, "", "A file that says LIFE PORT of the daemon that runs now."},
    Option{"file", Kind::kText, "", "What was told about each event, a byte each."},
    Option{"prefix", Kind::kText, "p", "Ids are PREFIX-N."},
    Option{"events", Kind::kInteger, "10000", "Events in all.", 1, 1'000'000'000},
    Option{"rate", Kind::kInteger, "1000", "Events a second.", 1, 10'000'000},
    Option{"tenants", Kind::kInteger, "10", "Tenants, in turns.", 1, 1'000'000},
    Option{"pad-bytes", Kind::kInteger, "0", "What each event carries beside its number.", 0,
           60'000},
    Option{"batch", Kind::kInteger, "64", "Events of a request; each fourth has one.", 1, 10'000},
    Option{"connections", Kind::kInteger, "64", "Keep-alive connections.", 1, 1'000},
    Option{"retry", Kind::kSwitch, "false",
           "Nothing new: what the file says was not kept, until it is."},
};

std::atomic<bool> stopped{false};

class Poster {
 public:
  explicit Poster(const runtime::config::Settings& settings)
      : settings_(settings),
        pad_(static_cast<std::size_t>(settings.integer("pad-bytes")), '.'),
        events_(static_cast<std::uint64_t>(settings.integer("events"))),
        rate_(static_cast<std::uint64_t>(settings.integer("rate"))),
        batch_(static_cast<std::uint64_t>(settings.integer("batch"))),
        books_(settings.text("file"), events_) {}

  int run() {
    const auto began = Clock::now();
    int passes = 0;
    if (settings_.enabled("retry")) {
      while (!stopped && !(todo_ = books_.not_kept()).empty()) {
        begin_anew();
        post_in_threads();
        ++passes;
      }
    } else {
      begin_anew();
      post_in_threads();
    }
    auto account = books_.account();
    account["milliseconds"] = (Clock::now() - began) / milliseconds(1);
    account["passes"] = passes;
    fmt::print("{}\n", account.dump());
    return 0;
  }

 private:
  void begin_anew() {
    next_ = 0;
    began_ = Clock::now();
  }

  void post_in_threads() {
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < settings_.integer("connections"); ++i) {
      threads.emplace_back([this] { post_in_turns(); });
    }
    for (std::thread& one : threads) one.join();
  }

  void post_in_turns() {
    Connection connection;
    std::string life;
    std::string body;
    while (connection.is_open() || reach(connection, life)) {
      const Numbers events = take();
      if (events.empty()) return;
      books_.sent(events);
      const std::string_view type = write(events, body);
      books_.ended(events, life, connection.post("/v1/events", type, body));
    }
  }

  // Whoever's life it is that the file names; false: stopped before.
  [[nodiscard]] bool reach(Connection& connection, std::string& life) const {
    const auto reached = [&] {
      std::uint16_t port = 0;
      std::ifstream file(settings_.text("where"));
      return file >> life >> port && connection.open(port);
    };
    while (!stopped && !reached()) std::this_thread::sleep_for(milliseconds(20));
    return connection.is_open();
  }

  // The next request's events, when their time has come; none: there are no more. One thread waits
  // for the timetable, the others for that thread.
  [[nodiscard]] Numbers take() {
    const std::scoped_lock lock(timetable_);
    const auto due = began_ + std::chrono::microseconds(next_ * 1'000'000 / rate_);
    while (!stopped && Clock::now() < due) std::this_thread::sleep_for(milliseconds(1));
    if (stopped) return {};
    const std::uint64_t count = requests_++ % 4 == 0 ? 1 : batch_;
    const bool retry = settings_.enabled("retry");
    const std::uint64_t end = std::min(next_ + count, retry ? todo_.size() : events_);
    Numbers taken;
    for (; next_ < end; ++next_) taken.push_back(retry ? todo_[next_] : next_);
    return taken;
  }

  // One as it is, several as an array or as lines, in turns. Returns the content type.
  [[nodiscard]] std::string_view write(const Numbers& events, std::string& body) const {
    const bool lines = events.front() % 2 == 0;
    body.clear();
    for (const std::uint64_t event : events) {
      if (!body.empty()) body += lines ? '\n' : ',';
      fmt::format_to(
          std::back_inserter(body),
          R"({{"specversion":"1.0","id":"{}-{}","source":"/poster","type":"api.request",)"
          R"("subject":"tenant_{}","data":{{"calls":1,"n":{},"pad":"{}"}}}})",
          settings_.text("prefix"), event,
          event % static_cast<std::uint64_t>(settings_.integer("tenants")), event, pad_);
    }
    if (events.size() == 1) return "application/cloudevents+json";
    if (lines) return "application/x-ndjson";
    body.insert(0, 1, '[');
    body += ']';
    return "application/cloudevents-batch+json";
  }

  const runtime::config::Settings& settings_;
  std::string pad_;
  std::uint64_t events_;
  std::uint64_t rate_;
  std::uint64_t batch_;
  Books books_;
  Numbers todo_;  // of a retry; constant while threads post
  std::mutex timetable_;
  std::uint64_t next_ = 0;  // of the events, or of todo_; guarded by timetable_, as the next two
  std::uint64_t requests_ = 0;
  Clock::time_point began_;
};

}  // namespace

int main(int argc, char** argv) {
  constexpr std::array kCommands = {
      runtime::config::Command{"", "Posts events on a timetable.", kOptions, {}, ""}};
  const auto parsed =
      runtime::config::parse("tally-poster", "A client for drills.", kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  std::signal(SIGTERM, [](int) { stopped = true; });
  return Poster(*parsed.settings).run();
}
