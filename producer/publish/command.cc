#include "producer/publish/command.h"

#include "producer/publish/csv_recipe.h"
#include "producer/publish/job.h"
#include "runtime/kafka/settings.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
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

constexpr std::array kPublishOptions = {
    kBrokersOption,
    kTopicOption,
    Option{"format", Kind::kText, "ndjson", "ndjson, or csv: with a header row, and map."},
    Option{"map", Kind::kText, "",
           "Of format csv: the JSON file that says which columns are what of an event "
           "(schemas/csv)."},
    Option{"delimiter", Kind::kText, ",", "Of format csv: one character, or tab."},
    Option{"follow", Kind::kSwitch, "false",
           "Go on as the file grows and is rotated, until SIGTERM."},
    kRotateGraceOption,
    kStateOption,
    Option{"strict", Kind::kSwitch, "false", "Stop at the first line that is no valid event."},
    kJsonOption,
    Option{"delivery-timeout-ms", Kind::kInteger, "120000",
           "Milliseconds after which an event that no broker took has failed.", 1'000, 3'600'000},
    kDrainOption,
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

// What a column is separated by; nullopt: that is no single character.
std::optional<char> delimiter_of(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  const bool good = text.size() == 1 && text != "\"" && text != "\r" && text != "\n";
  return good ? std::optional(text.front()) : std::nullopt;
}

core::Result<std::string> text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // Of an empty one nothing is put: that is no failure to read it.
  if (file && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad() || !text) {
    return core::invalid(fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
  }
  return text.str();
}

core::Result<Job> csv_job(const Settings& settings) {
  const auto delimiter = delimiter_of(settings.text("delimiter"));
  if (!delimiter) {
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
  return Job{.recipe = std::make_unique<CsvRecipe>(std::move(mapping.value()), *delimiter),
             .csv_delimiter = delimiter};
}

core::Result<Job> job_of(const Settings& settings) {
  const std::string& format = settings.text("format");
  if (format == "csv") return csv_job(settings);
  if (format != "ndjson") {
    return core::invalid(fmt::format("format is \"{}\": it is ndjson or csv", format));
  }
  if (settings.has("map")) return core::invalid("map is for format csv: say --format csv");
  return Job{.recipe = std::make_unique<NdjsonRecipe>()};
}

}  // namespace

const Command& publish_command() { return kPublish; }

int publish(const Settings& settings) {
  auto job = job_of(settings);
  if (!job) return fail(job.error().message, kWrongSettings);
  job.value().on_bad_record = settings.enabled("strict") ? OnBadRecord::kStop : OnBadRecord::kGoOn;
  job.value().follow = settings.enabled("follow");
  return run_job(settings, std::move(job.value()));
}

}  // namespace tally::producer::publish
