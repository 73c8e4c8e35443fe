// Records events through the client library on a timetable; see README.md.
#include "producer/usage_client.h"
#include "runtime/config/settings.h"
#include "tests/support/recorder/told.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <thread>

namespace {

using namespace tally;
using drill::Told;
using producer::Field;
using producer::Level;
using producer::Outcome;
using producer::Recorded;
using producer::SpoolAccount;
using producer::UsageClient;
using runtime::config::Kind;
using runtime::config::Option;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::array kOptions = {
    Option{"brokers", Kind::kText, "", "Kafka's bootstrap servers."},
    Option{"topic", Kind::kText, "usage.events", "The topic."},
    Option{"level", Kind::kText, "acked", "memory, spooled or acked."},
    Option{"spool", Kind::kText, "", "The spool's directory, of level spooled."},
    Option{"file", Kind::kText, "", "What was told about each event, a byte each."},
    Option{"prefix", Kind::kText, "r", "Ids are PREFIX-N."},
    Option{"events", Kind::kInteger, "10000", "Events in all.", 1, 1'000'000'000},
    Option{"rate", Kind::kInteger, "1000", "Events a second.", 1, 10'000'000},
    Option{"tenants", Kind::kInteger, "10", "Tenants, in turns.", 1, 1'000'000},
    Option{"pad-bytes", Kind::kInteger, "0", "What each event carries beside its number.", 0,
           60'000},
    Option{"spool-mb", Kind::kInteger, "4096", "Bound of the spool.", 128, 1'000'000},
    Option{"delivery-timeout-ms", Kind::kInteger, "120000", "Of the client.", 1, 3'600'000},
    Option{"queue-events", Kind::kInteger, "500000", "max_outstanding_events of the client.", 1,
           100'000'000},
    Option{"drain-timeout-ms", Kind::kInteger, "120000", "Of the end.", 0, 3'600'000},
    Option{"retry", Kind::kSwitch, "false", "First what the file says was not kept."},
    Option{"stay", Kind::kSwitch, "false",
           "After the account stay until SIGTERM: the spool's rest is delivered."},
};

std::atomic<int> sigterms{0};

class Recorder {
 public:
  explicit Recorder(const runtime::config::Settings& settings)
      : settings_(settings),
        prefix_(settings.text("prefix") + "-"),
        pad_(static_cast<std::size_t>(settings.integer("pad-bytes")), '.'),
        events_(static_cast<std::size_t>(settings.integer("events"))),
        told_(settings.text("file"), events_) {}

  int run() {
    const std::string& level = settings_.text("level");
    auto opened = UsageClient::open({
        .brokers = settings_.text("brokers"),
        .topic = settings_.text("topic"),
        .source = "/recorder",
        .level = level == "memory"    ? Level::kMemory
                 : level == "spooled" ? Level::kSpooled
                                      : Level::kAcked,
        .spool_directory = settings_.text("spool"),
        .spool_bytes = static_cast<std::uint64_t>(settings_.integer("spool-mb")) << 20U,
        .max_outstanding_events = static_cast<std::size_t>(settings_.integer("queue-events")),
        .delivery_timeout = milliseconds(settings_.integer("delivery-timeout-ms")),
        .on_outcome = [this](const Outcome& outcome) { told_.set(outcome.tag, 'k'); },
        .on_loss =
            [this](const Outcome& outcome) {
              told_.set(outcome.tag, outcome.may_be_kept ? 'l' : 'n');
            },
    });
    if (!opened.client) {
      fmt::print(stderr, "tally-recorder: {}\n", opened.problem);
      return 1;
    }
    const std::size_t first = told_.first_unrecorded();
    if (settings_.enabled("retry")) {
      for (std::size_t event = 0; event < first && sigterms == 0; ++event) {
        if (told_.at(event) != 'k') record(*opened.client, event);
      }
    }
    due_ = Clock::now();
    for (std::size_t event = first; event < events_ && sigterms == 0; ++event) {
      record(*opened.client, event);
    }
    const int told_so_far = sigterms;
    const auto left = opened.client->flush(milliseconds(settings_.integer("drain-timeout-ms")));
    const auto counts = opened.client->counts();
    const auto spool = opened.client->spool_account();
    fmt::print(
        R"({{"accepted":{},"delivered":{},"spooled":{},"failed":{},"dropped":{},"closed":{},)"
        R"("left":{},"longest_us":{},"stream":"{}","spool":{}}})"
        "\n",
        counts.accepted, counts.delivered, counts.spooled, counts.failed, counts.dropped_full,
        counts.closed, left, longest_ / std::chrono::microseconds(1), opened.client->stream_id(),
        spool ? json_of(*spool) : "null");
    std::fflush(stdout);
    while (settings_.enabled("stay") && sigterms == told_so_far) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    return left == 0 ? 0 : 1;
  }

 private:
  static std::string json_of(const SpoolAccount& spool) {
    return fmt::format(
        R"({{"found":{},"kept":{},"delivered":{},"refused":{},"lost":{},"torn":{},"waiting":{}}})",
        spool.found, spool.spooled, spool.delivered, spool.refused, spool.lost, spool.torn,
        spool.waiting);
  }

  void record(UsageClient& client, std::size_t event) {
    due_ += std::chrono::nanoseconds(1'000'000'000 / settings_.integer("rate"));
    while (Clock::now() < due_) std::this_thread::sleep_until(due_);
    const std::string id = prefix_ + std::to_string(event);
    const std::string tenant =
        "tenant_" + std::to_string(event % static_cast<std::size_t>(settings_.integer("tenants")));
    told_.set(event, 'a');  // before its end can be told
    const auto began = Clock::now();
    const std::array fields = {Field{"calls", 1}, Field{"n", event}, Field{"pad", pad_}};
    const auto receipt =
        client.record("api.request", tenant, std::span(fields.data(), pad_.empty() ? 2 : 3),
                      {.id = id, .tag = event});
    longest_ = std::max(longest_, Clock::now() - began);
    if (!receipt) told_.set(event, receipt.recorded == Recorded::kQueueFull ? 'd' : 'c');
  }

  const runtime::config::Settings& settings_;
  std::string prefix_;
  std::string pad_;
  std::size_t events_;
  Told told_;
  Clock::time_point due_ = Clock::now();
  Clock::duration longest_{0};
};

}  // namespace

int main(int argc, char** argv) {
  constexpr std::array kCommands = {
      runtime::config::Command{"", "Records events on a timetable.", kOptions, {}, ""}};
  const auto parsed =
      runtime::config::parse("tally-recorder", "A service for drills.", kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  std::signal(SIGTERM, [](int) { ++sigterms; });
  return Recorder(*parsed.settings).run();
}
