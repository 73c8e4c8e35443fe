#include "producer/publish/job.h"

#include "producer/publish/publisher.h"
#include "producer/publish/rotation.h"
#include "producer/publish/state_file.h"
#include "runtime/kafka/settings.h"
#include "runtime/kafka/topic.h"
#include "runtime/lifecycle/lifecycle.h"

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

namespace tally::producer::publish {
namespace {

using runtime::config::Settings;
using std::chrono::milliseconds;

constexpr milliseconds kTopicTimeout{10'000};
constexpr std::uint64_t kMaxShownLines = 100;

// What people set, under what tally sets.
runtime::kafka::ClientSettings client_settings(const Settings& settings) {
  auto kafka = runtime::kafka::merged({{"client.id", "tally-producer"}}, settings.family("kafka"));
  kafka["bootstrap.servers"] = settings.text("brokers");
  return kafka;
}

// With a state also who does not follow goes on in the file that was rotated since.
std::optional<Follow> follow_of(const Settings& settings, const Job& job) {
  const bool goes_on = !settings.text("state").empty() && settings.text("FILE") != "-";
  if (!job.follow && !goes_on) return std::nullopt;
  return Follow{.grace = milliseconds(settings.integer("rotate-grace-ms")), .to_end = !job.follow};
}

PublishOptions options_of(const Settings& settings, const Job& job, const Input& input,
                          const runtime::lifecycle::StopSignal& stop) {
  PublishOptions options;
  options.topic = settings.text("topic");
  options.kafka = client_settings(settings);
  options.kafka["message.timeout.ms"] = settings.text("delivery-timeout-ms");
  options.csv_delimiter = job.csv_delimiter;
  options.on_bad_record = job.on_bad_record;
  options.state_file = settings.text("state");
  options.last_line = last_line_of(job, !input.has_places()          ? From::kPipe
                                        : options.state_file.empty() ? From::kFile
                                                                     : From::kFileWithState);
  options.drain_timeout = milliseconds(settings.integer("drain-timeout-ms"));
  options.stopping = [&stop] { return stop.requested(); };
  options.on_trouble = [](const std::string& sentence) { fail(sentence); };
  options.on_refused = [file = settings.text("FILE"), shown = std::uint64_t{0}](
                           std::uint64_t line, const std::string& problem) mutable {
    if (++shown <= kMaxShownLines) fmt::print(stderr, "{}:{}: {}\n", file, line, problem);
    if (shown == kMaxShownLines) fmt::print(stderr, "further bad lines are only counted\n");
  };
  return options;
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

LastLine last_line_of(const Job& job, From from) {
  const bool is_read_again =
      from == From::kFileWithState || (from == From::kFile && (job.once || job.follow));
  const bool is_written_on = job.pipe_is_a_log && !job.pipe_is_whole_file;
  return is_read_again || is_written_on ? LastLine::kIsLeft : LastLine::kIsRecord;
}

int fail(const std::string& sentence, int code) {
  fmt::print(stderr, "tally-producer: {}\n", sentence);
  return code;
}

namespace {

bool is_one_file(const std::string& one, const std::string& other) {
  std::error_code absent;  // what does not exist yet may be made under that name later
  const auto name_of = [&](const std::string& path) {
    return std::filesystem::absolute(path, absent).lexically_normal();
  };
  return std::filesystem::equivalent(one, other, absent) || name_of(one) == name_of(other);
}

}  // namespace

core::Result<void> fits(const Job& job, const Input& input, const std::string& path,
                        const std::string& state) {
  const auto name_of = [](const std::string& file) {
    return std::filesystem::path(file).filename().string();
  };
  for (const std::string& own : {state, state + kNewSuffix, state + kLockSuffix}) {
    if (!state.empty() && is_one_file(path, own)) {
      return core::invalid(
          fmt::format("state {} would be written over {}, which is to be read: name it otherwise",
                      state, path));
    }
  }
  if (!state.empty() && is_log_name(name_of(path), name_of(state))) {
    return core::invalid(fmt::format(
        "state {} is called as a rotated {} may be, and would be read as one: name it otherwise",
        state, path));
  }
  if (job.follow && input.has_places() && std::filesystem::is_symlink(path)) {
    return core::invalid(fmt::format(
        "{} is a symbolic link to {}: what it points to later would not be known as the file that "
        "comes next; follow the file itself, by a name that the newest one always has",
        path, std::filesystem::read_symlink(path).string()));
  }
  if (input.has_places()) return boost::outcome_v2::success();
  if (job.follow) {
    return core::invalid(
        fmt::format("{} is no file: a pipe is read as it comes and cannot be followed", path));
  }
  if (job.recipe->makes_ids_of_places() && !job.pipe_is_whole_file) {
    return core::invalid(fmt::format(
        "{} is no file: without a group id each id holds the line's place, which in a "
        "pipe is another one on each run, so that lines would count twice; tail the "
        "file itself, give the pattern a group (?P<id>…), or say --whole-file where the "
        "pipe holds a file from its first byte on",
        path));
  }
  return boost::outcome_v2::success();
}

int run_job(const Settings& settings, Job job) {
  // A stop drains: what was read is delivered or accounted for.
  const runtime::lifecycle::StopSignal stop;
  const std::string& path = settings.text("FILE");
  Input input(path, follow_of(settings, job));
  if (const auto fit = fits(job, input, path, settings.text("state")); !fit) {
    return fail(fit.error().message, kWrongSettings);
  }
  if (const auto there = topic_is_there(settings); !there) return fail(there.error().message);
  const auto account = publish_records(input, *job.recipe, options_of(settings, job, input, stop));
  if (!account) return fail(fmt::format("{}: {}", path, account.error().message));
  fmt::print("{}{}",
             settings.enabled("json") ? to_json(account.value()) : to_table(account.value()),
             settings.enabled("json") ? "\n" : "");
  return account.value().whole() ? 0 : 1;
}

}  // namespace tally::producer::publish
