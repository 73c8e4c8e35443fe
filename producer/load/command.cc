#include "producer/load/command.h"

#include "producer/load/load.h"
#include "runtime/kafka/settings.h"
#include "runtime/kafka/topic.h"
#include "runtime/lifecycle/lifecycle.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>

namespace tally::producer::load {
namespace {

using runtime::config::Command;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Settings;
using std::chrono::milliseconds;

constexpr milliseconds kTopicTimeout{10'000};
constexpr std::int64_t kMostEvents = 1'000'000'000'000;
constexpr std::int64_t kSecondsUnlessSet = 10;

constexpr std::array kLoadOptions = {
    Option{"rate", Kind::kInteger, "1000", "Events a second.", 1, 1'000'000},
    Option{"duration", Kind::kInteger, "",
           "Seconds during which events are due: 10 unless this or --events is given; of both the "
           "shorter.",
           1, 1'000'000},
    Option{"events", Kind::kInteger, "", "Events that are due in all.", 1, kMostEvents},
    Option{"brokers", Kind::kText, "127.0.0.1:9092",
           "Kafka's bootstrap servers, host:port separated by commas."},
    Option{"topic", Kind::kText, "usage.events", "The topic of usage events; it must exist."},
    Option{"http", Kind::kText, "",
           "Send to a `tally-producer serve` instead of Kafka: http://HOST:PORT, https://HOST:PORT "
           "or unix:PATH."},
    Option{"api-key", Kind::kText, "", "With --http: the key to send with; empty: none.", 0, 0,
           false, true},
    Option{"connections", Kind::kInteger, "8",
           "With --http: connections, each with one request at a time.", 1, 1'024},
    Option{"batch", Kind::kInteger, "100",
           "With --http: events of a request at most; it takes what is due, and waits for no more.",
           1, 100'000},
    Option{"tenants", Kind::kInteger, "10", "Tenants: PREFIX0001, PREFIX0002, …", 1, 1'000'000},
    Option{"tenant-prefix", Kind::kText, "load-",
           "What the tenants' names begin with. Their usage is counted, and billed where they have "
           "a plan."},
    Option{"types", Kind::kText, "load.event", "Types of the events, separated by commas."},
    Option{"dimensions", Kind::kInteger, "10", "Values of /dimension in the events' data.", 1,
           1'000'000},
    Option{"duplicates", Kind::kInteger, "0",
           "Percent of the events that are earlier ones again, byte for byte.", 0, 99},
    Option{"seed", Kind::kInteger, "",
           "The same seed and settings make the same events, so a second run is all duplicates; "
           "unless set one is drawn, and told at the end.",
           0, std::numeric_limits<std::int64_t>::max()},
    Option{"source", Kind::kText, "/tally-producer/load", "The events' source."},
    Option{
        "retry", Kind::kInteger, "0",
        "How often an event that was refused with 429 or 503, lost, not answered or not sent for "
        "want of a connection is sent again at most, under the same id.",
        0, 100},
    Option{"ack-timeout-ms", Kind::kInteger, "30000",
           "Milliseconds that what was sent may take to be acked.", 1'000, 3'600'000},
    Option{"json", Kind::kSwitch, "false", "Print the account as one JSON object."},
};
constexpr std::array kFamilies = {runtime::kafka::kProducerFamily};
constexpr Command kLoad{
    "load",
    "Sends made-up usage events at a fixed rate and measures how long each takes, from the moment "
    "it was due to its ack. They count as usage like all others: look at --tenant-prefix and "
    "--types before you point it at a topic whose tenants are billed.",
    kLoadOptions,
    {},
    "tally-producer load --rate 5000 --duration 60 --duplicates 5\n"
    "  tally-producer load --http http://127.0.0.1:8480 --connections 16 --api-key-file key",
    kFamilies};

int fail(const std::string& sentence, int code) {
  fmt::print(stderr, "tally-producer: {}\n", sentence);
  return code;
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t comma = std::min(list.find(','), list.size());
    parts.emplace_back(list.substr(0, comma));
    if (comma == list.size()) return parts;
    list.remove_prefix(comma + 1);
  }
}

std::uint64_t whole(const Settings& settings, std::string_view name) {
  return static_cast<std::uint64_t>(settings.integer(name));
}

std::uint64_t events_in_all(const Settings& settings) {
  const bool counted = settings.has("events");
  if (counted && !settings.has("duration")) return whole(settings, "events");
  const std::uint64_t seconds =
      settings.has("duration") ? whole(settings, "duration") : kSecondsUnlessSet;
  const std::uint64_t timed = whole(settings, "rate") * seconds;
  return counted ? std::min(timed, whole(settings, "events")) : timed;
}

LoadOptions options_of(const Settings& settings) {
  LoadOptions options;
  StreamOptions& stream = options.stream;
  stream.seed = settings.has("seed") ? whole(settings, "seed") : std::random_device()();
  stream.tenants = whole(settings, "tenants");
  stream.tenant_prefix = settings.text("tenant-prefix");
  stream.types = split(settings.text("types"));
  stream.dimensions = whole(settings, "dimensions");
  stream.duplicates_percent = whole(settings, "duplicates");
  stream.source = settings.text("source");
  options.rate = whole(settings, "rate");
  options.events = events_in_all(settings);
  options.again = static_cast<std::uint32_t>(settings.integer("retry"));
  options.connections = whole(settings, "connections");
  const milliseconds ack_timeout(settings.integer("ack-timeout-ms"));
  if (settings.has("http")) {
    options.http = HttpTarget{settings.text("http"), settings.text("api-key"),
                              whole(settings, "batch"), ack_timeout};
  }
  options.kafka.topic = settings.text("topic");
  options.kafka.settings =
      runtime::kafka::merged({{"client.id", "tally-producer-load"}}, settings.family("kafka"));
  options.kafka.settings["bootstrap.servers"] = settings.text("brokers");
  options.kafka.ack_timeout = ack_timeout;
  return options;
}

}  // namespace

const Command& load_command() { return kLoad; }

int load(const Settings& settings) {
  // A stop drains: what was sent is waited for.
  const runtime::lifecycle::StopSignal stop;
  const LoadOptions options = options_of(settings);
  if (!options.http) {
    // Nobody else would say for some time that there is no such topic.
    auto admin = runtime::kafka::Admin::open(options.kafka.settings);
    if (!admin) return fail(admin.error().message, 1);
    const auto partitions = admin.value()->partition_count(options.kafka.topic, kTopicTimeout);
    if (!partitions) return fail(partitions.error().message, 1);
  }
  const auto account = run_load(options, stop);
  if (!account) return fail(account.error().message, 2);
  fmt::print("{}{}",
             settings.enabled("json") ? to_json(account.value()) : to_table(account.value()),
             settings.enabled("json") ? "\n" : "");
  return account.value().whole() ? 0 : 1;
}

}  // namespace tally::producer::load
