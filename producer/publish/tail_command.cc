#include "producer/publish/tail_command.h"

#include "producer/publish/job.h"
#include "producer/publish/log_recipe.h"
#include "runtime/kafka/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::producer::publish {
namespace {

using runtime::config::Command;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Positional;
using runtime::config::Settings;

constexpr std::array kTailOptions = {
    kBrokersOption,
    kTopicOption,
    Option{"pattern", Kind::kText, "",
           "Regular expression (RE2) that is found in a line; its groups `(?P<name>...)` id, time, "
           "tenant, type and source become the event's attributes, all others members of data."},
    Option{
        "preset", Kind::kText, "",
        "Instead of pattern: combined, access logs of nginx and Apache (data: method, path "
        "without its query, status and bytes as numbers). The tenant is the name that the client "
        "gave: only for locations that authentication guards; lines with status 401 are no "
        "events."},
    Option{
        "time-format", Kind::kText, "",
        "Of the group time: rfc3339 (unless set; preset combined: clf), unix, unix-ms, clf, or a "
        "pattern of strptime's."},
    Option{"numbers", Kind::kText, "", "Groups that become numbers, separated by commas."},
    Option{"tenant", Kind::kText, "", "The tenant of every event, in place of a group."},
    Option{"type", Kind::kText, "", "The type of every event, in place of a group."},
    Option{"source", Kind::kText, "", "The source of every event, in place of a group."},
    Option{"id-prefix", Kind::kText, "",
           "Before each id that is made of a line's place and text: give each log that does "
           "not continue another its own, and never change it."},
    Option{"unmatched", Kind::kText, "count",
           "Lines that do not match, or name no tenant: count them, or error."},
    Option{"whole-file", Kind::kSwitch, "false",
           "Of a pipe and a pattern without a group id: it holds one file from its first byte on."},
    Option{"once", Kind::kSwitch, "false", "End at the end of the file."},
    kRotateGraceOption,
    kStateOption,
    kJsonOption,
    Option{"delivery-timeout-ms", Kind::kInteger, "3600000",
           "Milliseconds after which an event that no broker took has failed; with a state it ends "
           "then, to go on there.",
           1'000, 3'600'000},
    kDrainOption,
};
constexpr std::array kTailFiles = {
    Positional{"FILE", "A log to follow as it grows and is rotated; - is standard input.", true},
};
constexpr std::array kFamilies = {runtime::kafka::kProducerFamily};
constexpr Command kTail{
    "tail",
    "Follows a log from its start and publishes an event for each line that matches a pattern.",
    kTailOptions,
    kTailFiles,
    "tally-producer tail /var/log/nginx/access.log --preset combined --type api.request "
    "--source /nginx \\\n"
    "    --state /var/lib/tally/access.state\n"
    "  tally-producer tail app.log --type llm.completion --source /app --numbers tokens --state "
    "app.state "
    "\\\n"
    "    --pattern '^(?P<time>\\S+) request=(?P<id>\\S+) tenant=(?P<tenant>\\S+) "
    "tokens=(?P<tokens>\\d+)'",
    kFamilies};

std::vector<std::string> names_in(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) out.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return out;
}

core::Result<LogOptions> log_options(const Settings& settings) {
  LogOptions log;
  if (settings.has("pattern") == settings.has("preset")) {
    return core::invalid("give either --pattern or --preset combined");
  }
  log.pattern = settings.text("pattern");
  log.numbers = names_in(settings.text("numbers"));
  std::string format = settings.has("time-format") ? settings.text("time-format") : "rfc3339";
  if (settings.has("preset")) {
    if (settings.text("preset") != "combined") {
      return core::invalid(
          fmt::format("preset is \"{}\": there is combined", settings.text("preset")));
    }
    log.pattern = kCombinedPattern;
    log.numbers = {"status", "bytes"};
    log.status_tells_who = true;
    if (!settings.has("time-format")) format = "clf";
  }
  const auto known = TimeFormat::of(format);
  if (!known) return core::invalid("time-format: " + known.error().message);
  log.time_format = known.value();
  const std::string& unmatched = settings.text("unmatched");
  if (unmatched != "count" && unmatched != "error") {
    return core::invalid(fmt::format("unmatched is \"{}\": it is count or error", unmatched));
  }
  log.unmatched_is_wrong = unmatched == "error";
  log.tenant = settings.text("tenant");
  log.type = settings.text("type");
  log.source = settings.text("source");
  log.id_prefix = settings.text("id-prefix");
  return log;
}

}  // namespace

const Command& tail_command() { return kTail; }

int tail(const Settings& settings) {
  auto log = log_options(settings);
  if (!log) return fail(log.error().message, kWrongSettings);
  auto recipe = LogRecipe::make_from(std::move(log.value()));
  if (!recipe) return fail(recipe.error().message, kWrongSettings);
  return run_job(settings, {.recipe = std::move(recipe.value()),
                            .follow = !settings.enabled("once") && settings.text("FILE") != "-",
                            .once = settings.enabled("once"),
                            .pipe_is_whole_file = settings.enabled("whole-file"),
                            .pipe_is_a_log = true});
}

}  // namespace tally::producer::publish
