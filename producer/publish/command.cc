#include "producer/publish/command.h"

#include "producer/publish/csv_recipe.h"
#include "producer/publish/publisher.h"
#include "runtime/kafka/settings.h"
#include "runtime/kafka/topic.h"
#include "runtime/lifecycle/lifecycle.h"

#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

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
constexpr int kWrongSettings = 2;

constexpr std::array kPublishOptions = {
    Option{"brokers", Kind::kText, "127.0.0.1:9092",
           "Kafka's bootstrap servers, host:port separated by commas."},
    Option{"topic", Kind::kText, "usage.events", "The topic of usage events; it must exist."},
    Option{"format", Kind::kText, "ndjson", "ndjson, or csv: with a header row, and map."},
    Option{"map", Kind::kText, "",
           "Of format csv: the JSON file that says which columns are what of an event "
           "(schemas/csv)."},
    Option{"delimiter", Kind::kText, ",", "Of format csv: one character, or tab."},
    Option{"follow", Kind::kSwitch, "false",
           "Go on as the file grows and is rotated, until SIGTERM."},
    Option{"state", Kind::kText, "",
           "File that keeps how far everything was acked: the next run goes on there."},
    Option{"strict", Kind::kSwitch, "false", "Stop at the first line that is no valid event."},
    Option{"json", Kind::kSwitch, "false", "Print the account as one JSON object."},
    Option{"delivery-timeout-ms", Kind::kInteger, "120000",
           "Milliseconds after which an event that no broker took has failed.", 1'000, 3'600'000},
    Option{"drain-timeout-ms", Kind::kInteger, "60000",
           "Milliseconds to wait at the end for what is still on its way.", 0, 3'600'000},
};
constexpr std::array kPublishFiles = {
    Positional{"FILE", "One structured CloudEvent a line (NDJSON), or CSV; - is standard input.",
               true},
};
constexpr std::array kFamilies = {runtime::kafka::kProducerFamily};
constexpr Command kPublish{
    "publish",
    "Publishes a file of usage events and accounts for every line.",
    kPublishOptions,
    kPublishFiles,
    "tally-producer publish events.ndjson --brokers kafka:9092 --topic usage.events\n"
    "  tally-producer publish usage.csv --format csv --map usage.json --state usage.state\n"
    "    where usage.json is {\"id\": \"request_id\", \"time\": \"at\", \"subject\": "
    "\"customer\",\n"
    "      \"type\": {\"constant\": \"llm.completion\"}, \"source\": {\"constant\": "
    "\"/gateway\"},\n"
    "      \"data\": {\"tokens\": {\"column\": \"tokens\", \"as\": \"number\"}, \"model\": "
    "\"model\"}}",
    kFamilies};

int fail(const std::string& sentence, int code = 1) {
  fmt::print(stderr, "tally-producer: {}\n", sentence);
  return code;
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
  options.on_bad_record = settings.enabled("strict") ? OnBadRecord::kStop : OnBadRecord::kGoOn;
  options.state_file = settings.text("state");
  options.drain_timeout = milliseconds(settings.integer("drain-timeout-ms"));
  options.stopping = [&stop] { return stop.requested(); };
  options.on_refused = [file = settings.text("FILE"), shown = std::uint64_t{0}](
                           std::uint64_t line, const std::string& problem) mutable {
    if (++shown <= kMaxShownLines) fmt::print(stderr, "{}:{}: {}\n", file, line, problem);
    if (shown == kMaxShownLines) fmt::print(stderr, "further bad lines are only counted\n");
  };
  return options;
}

// What a column is separated by; nullopt: that is no single character.
std::optional<char> delimiter_of(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  const bool good = text.size() == 1 && text != "\"" && text != "\r" && text != "\n";
  return good ? std::optional(text.front()) : std::nullopt;
}

core::Result<std::string> text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return core::invalid(fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
  }
  return text.str();
}

core::Result<std::unique_ptr<Recipe>> csv_recipe(const Settings& settings,
                                                 PublishOptions& options) {
  options.csv_delimiter = delimiter_of(settings.text("delimiter"));
  if (!options.csv_delimiter) {
    return core::invalid(fmt::format("delimiter is \"{}\": it is one character, or tab",
                                     settings.text("delimiter")));
  }
  const std::string& path = settings.text("map");
  if (path.empty()) {
    return core::invalid("format csv needs --map FILE, which says which columns are what");
  }
  const auto text = text_of_file(path);
  if (!text) return text.error();
  auto mapping = parse_mapping(text.value());
  if (!mapping) return core::invalid(fmt::format("{}: {}", path, mapping.error().message));
  return std::unique_ptr<Recipe>(
      std::make_unique<CsvRecipe>(std::move(mapping.value()), *options.csv_delimiter));
}

core::Result<std::unique_ptr<Recipe>> recipe_of(const Settings& settings, PublishOptions& options) {
  const std::string& format = settings.text("format");
  if (format == "csv") return csv_recipe(settings, options);
  if (format != "ndjson") {
    return core::invalid(fmt::format("format is \"{}\": it is ndjson or csv", format));
  }
  if (settings.has("map")) return core::invalid("map is for format csv: say --format csv");
  return std::unique_ptr<Recipe>(std::make_unique<NdjsonRecipe>());
}

// The topic must exist before anything is queued: nobody else would say so for 30 seconds.
core::Result<void> topic_is_there(const Settings& settings) {
  auto admin = runtime::kafka::Admin::open(client_settings(settings));
  if (!admin) return admin.error();
  const auto partitions = admin.value()->partition_count(settings.text("topic"), kTopicTimeout);
  if (!partitions) return partitions.error();
  return boost::outcome_v2::success();
}

}  // namespace

const Command& publish_command() { return kPublish; }

int publish(const Settings& settings) {
  // A stop drains: what was read is delivered or accounted for.
  const runtime::lifecycle::StopSignal stop;
  PublishOptions options = options_of(settings, stop);
  const auto recipe = recipe_of(settings, options);
  if (!recipe) return fail(recipe.error().message, kWrongSettings);
  const bool follow = settings.enabled("follow");
  Input input(settings.text("FILE"), follow ? std::optional(Follow{}) : std::nullopt);
  if (follow && !input.has_places()) {
    return fail("follow is for files: a pipe is read as it comes", kWrongSettings);
  }
  if (const auto there = topic_is_there(settings); !there) return fail(there.error().message);
  const auto account = publish_records(input, *recipe.value(), options);
  if (!account) return fail(fmt::format("{}: {}", settings.text("FILE"), account.error().message));
  fmt::print("{}{}",
             settings.enabled("json") ? to_json(account.value()) : to_table(account.value()),
             settings.enabled("json") ? "\n" : "");
  return account.value().whole() ? 0 : 1;
}

}  // namespace tally::producer::publish
