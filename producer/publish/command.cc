#include "producer/publish/command.h"

#include "producer/publish/publisher.h"
#include "runtime/kafka/settings.h"
#include "runtime/kafka/topic.h"
#include "runtime/lifecycle/lifecycle.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace tally::producer::publish {
namespace {

using runtime::config::Command;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Positional;
using runtime::config::Settings;
using std::chrono::milliseconds;

constexpr milliseconds kTopicTimeout{10'000};
constexpr std::uint64_t kMaxShownLines = 100;

constexpr std::array kPublishOptions = {
    Option{"brokers", Kind::kText, "127.0.0.1:9092",
           "Kafka's bootstrap servers, host:port separated by commas."},
    Option{"topic", Kind::kText, "usage.events", "The topic of usage events; it must exist."},
    Option{"strict", Kind::kSwitch, "false", "Stop at the first line that is no valid event."},
    Option{"json", Kind::kSwitch, "false", "Print the account as one JSON object."},
    Option{"delivery-timeout-ms", Kind::kInteger, "120000",
           "Milliseconds after which an event that no broker took has failed.", 1'000, 3'600'000},
    Option{"drain-timeout-ms", Kind::kInteger, "60000",
           "Milliseconds to wait at the end for what is still on its way.", 0, 3'600'000},
};
constexpr std::array kPublishFiles = {
    Positional{"FILE", "NDJSON, one structured CloudEvent a line; - is standard input.", true},
};
constexpr std::array kFamilies = {runtime::kafka::kProducerFamily};
constexpr Command kPublish{
    "publish",
    "Publishes a file of usage events and accounts for every line.",
    kPublishOptions,
    kPublishFiles,
    "tally-producer publish events.ndjson --brokers kafka:9092 --topic usage.events",
    kFamilies};

class Input {
 public:
  explicit Input(const std::string& path) {
    descriptor_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about = {};
    if (descriptor_ >= 0 && ::fstat(descriptor_, &about) == 0 && S_ISREG(about.st_mode)) {
      bytes_ = static_cast<std::uint64_t>(about.st_size);
    }
  }
  ~Input() {
    if (descriptor_ > STDIN_FILENO) ::close(descriptor_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;  // 0: a pipe, its length is not known
};

int fail(const std::string& sentence) {
  fmt::print(stderr, "tally-producer: {}\n", sentence);
  return 1;
}

// What people set, under what tally sets.
runtime::kafka::ClientSettings client_settings(const Settings& settings) {
  auto kafka = runtime::kafka::merged({{"client.id", "tally-producer"}}, settings.family("kafka"));
  kafka["bootstrap.servers"] = settings.text("brokers");
  return kafka;
}

PublishOptions options_of(const Settings& settings, const runtime::lifecycle::StopSignal& stop) {
  PublishOptions options;
  options.topic = settings.text("topic");
  options.kafka = client_settings(settings);
  options.kafka["message.timeout.ms"] = settings.text("delivery-timeout-ms");
  options.on_bad_line = settings.enabled("strict") ? OnBadLine::kStop : OnBadLine::kGoOn;
  options.drain_timeout = milliseconds(settings.integer("drain-timeout-ms"));
  options.stopping = [&stop] { return stop.requested(); };
  options.on_refused = [file = settings.text("FILE"), shown = std::uint64_t{0}](
                           std::uint64_t line, const std::string& problem) mutable {
    if (++shown <= kMaxShownLines) fmt::print(stderr, "{}:{}: {}\n", file, line, problem);
    if (shown == kMaxShownLines) fmt::print(stderr, "further bad lines are only counted\n");
  };
  return options;
}

}  // namespace

const Command& publish_command() { return kPublish; }

int publish(const Settings& settings) {
  // A stop drains: what was read is delivered or accounted for.
  const runtime::lifecycle::StopSignal stop;
  const std::string& path = settings.text("FILE");
  const Input input(path);
  if (input.descriptor() < 0) {
    return fail(fmt::format("{}: cannot be opened: {}", path, std::strerror(errno)));
  }
  // The topic must exist before anything is queued: nobody else would say so for 30 seconds.
  auto admin = runtime::kafka::Admin::open(client_settings(settings));
  if (!admin) return fail(admin.error().message);
  const auto partitions = admin.value()->partition_count(settings.text("topic"), kTopicTimeout);
  if (!partitions) return fail(partitions.error().message);
  admin.value().reset();

  const auto account = publish_lines(input.descriptor(), input.bytes(), options_of(settings, stop));
  if (!account) return fail(account.error().message);
  fmt::print("{}{}",
             settings.enabled("json") ? to_json(account.value()) : to_table(account.value()),
             settings.enabled("json") ? "\n" : "");
  return account.value().whole() ? 0 : 1;
}

}  // namespace tally::producer::publish
