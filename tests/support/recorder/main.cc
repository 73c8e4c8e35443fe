// Records events through the client library on a timetable; see README.md.
#include "core/check.h"
#include "producer/usage_client.h"
#include "runtime/config/settings.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>

namespace {

using namespace tally;
using producer::Level;
using producer::Outcome;
using producer::Recorded;
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
    Option{"delivery-timeout-ms", Kind::kInteger, "120000", "Of the client.", 1, 3'600'000},
    Option{"queue-events", Kind::kInteger, "500000", "max_outstanding_events of the client.", 1,
           100'000'000},
    Option{"drain-timeout-ms", Kind::kInteger, "120000", "Of the end.", 0, 3'600'000},
    Option{"retry", Kind::kSwitch, "false", "First what the file says was not kept."},
};

std::atomic<bool> stopped{false};

// One byte for each event, in a file that the kernel keeps whatever becomes of this process.
class Told {
 public:
  Told(const std::string& path, std::size_t events) : size_(events) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    TALLY_CHECK(file >= 0 && ::ftruncate(file, static_cast<off_t>(events)) == 0, "{}: {}", path,
                std::strerror(errno));
    void* memory = ::mmap(nullptr, events, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    TALLY_CHECK(memory != MAP_FAILED, "{}: {}", path, std::strerror(errno));
    bytes_ = static_cast<char*>(memory);
    ::close(file);
  }
  ~Told() { ::munmap(bytes_, size_); }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;

  [[nodiscard]] char at(std::size_t event) const { return byte(event).load(); }
  void set(std::size_t event, char what) { byte(event).store(what); }
  [[nodiscard]] std::size_t first_unrecorded() const {
    std::size_t event = size_;
    while (event > 0 && at(event - 1) == 0) --event;
    return event;
  }

 private:
  [[nodiscard]] std::atomic_ref<char> byte(std::size_t event) const {
    return std::atomic_ref<char>(bytes_[event]);
  }
  char* bytes_ = nullptr;
  std::size_t size_;
};

class Recorder {
 public:
  explicit Recorder(const runtime::config::Settings& settings)
      : settings_(settings),
        prefix_(settings.text("prefix") + "-"),
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
        .max_outstanding_events = static_cast<std::size_t>(settings_.integer("queue-events")),
        .delivery_timeout = milliseconds(settings_.integer("delivery-timeout-ms")),
        .on_outcome = [this](const Outcome& outcome) { told_.set(outcome.tag, 'k'); },
        .on_loss = [this](const Outcome& outcome) { told_.set(outcome.tag, 'l'); },
    });
    if (!opened.client) {
      fmt::print(stderr, "tally-recorder: {}\n", opened.problem);
      return 1;
    }
    const std::size_t first = told_.first_unrecorded();
    if (settings_.enabled("retry")) {
      for (std::size_t event = 0; event < first && !stopped; ++event) {
        if (told_.at(event) != 'k') record(*opened.client, event);
      }
    }
    due_ = Clock::now();
    for (std::size_t event = first; event < events_ && !stopped; ++event) {
      record(*opened.client, event);
    }
    const auto left = opened.client->flush(milliseconds(settings_.integer("drain-timeout-ms")));
    const auto counts = opened.client->counts();
    fmt::print(
        R"({{"accepted":{},"delivered":{},"spooled":{},"failed":{},"dropped":{},"closed":{},)"
        R"("left":{},"longest_us":{},"stream":"{}"}})"
        "\n",
        counts.accepted, counts.delivered, counts.spooled, counts.failed, counts.dropped_full,
        counts.closed, left, longest_ / std::chrono::microseconds(1), opened.client->stream_id());
    return left == 0 ? 0 : 1;
  }

 private:
  void record(UsageClient& client, std::size_t event) {
    due_ += std::chrono::nanoseconds(1'000'000'000 / settings_.integer("rate"));
    while (Clock::now() < due_) std::this_thread::sleep_until(due_);
    const std::string id = prefix_ + std::to_string(event);
    const std::string tenant =
        "tenant_" + std::to_string(event % static_cast<std::size_t>(settings_.integer("tenants")));
    told_.set(event, 'a');  // before its end can be told
    const auto began = Clock::now();
    const auto receipt = client.record("api.request", tenant, {{"calls", 1}, {"n", event}},
                                       {.id = id, .tag = event});
    longest_ = std::max(longest_, Clock::now() - began);
    if (!receipt) told_.set(event, receipt.recorded == Recorded::kQueueFull ? 'd' : 'c');
  }

  const runtime::config::Settings& settings_;
  std::string prefix_;
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
  std::signal(SIGTERM, [](int) { stopped = true; });
  return Recorder(*parsed.settings).run();
}
