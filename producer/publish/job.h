// What `publish` and `tail` have in common: settings, and the run from the open file to the
// account.
#pragma once

#include "core/result.h"
#include "producer/publish/input.h"
#include "producer/publish/publisher.h"
#include "producer/publish/recipe.h"
#include "runtime/config/settings.h"

#include <memory>
#include <optional>
#include <string>

namespace tally::producer::publish {

inline constexpr int kWrongSettings = 2;

inline constexpr runtime::config::Option kBrokersOption{
    "brokers", runtime::config::Kind::kText, "127.0.0.1:9092",
    "Kafka's bootstrap servers, host:port separated by commas."};
inline constexpr runtime::config::Option kTopicOption{"topic", runtime::config::Kind::kText,
                                                      "usage.events",
                                                      "The topic of usage events; it must exist."};
inline constexpr runtime::config::Option kStateOption{
    "state", runtime::config::Kind::kText, "",
    "File that keeps how far everything was acked: the next run goes on there."};
inline constexpr runtime::config::Option kJsonOption{
    "json", runtime::config::Kind::kSwitch, "false", "Print the account as one JSON object."};
inline constexpr runtime::config::Option kDrainOption{
    "drain-timeout-ms",
    runtime::config::Kind::kInteger,
    "60000",
    "Milliseconds to wait at the end for what is still on its way.",
    0,
    3'600'000};

inline constexpr runtime::config::Option kRotateGraceOption{
    "rotate-grace-ms",
    runtime::config::Kind::kInteger,
    "5000",
    "Of a file that is followed or has a state: milliseconds for which a rotated one must not have "
    "grown before the next "
    "one is read.",
    0,
    3'600'000};

struct Job {
  std::unique_ptr<Recipe> recipe = nullptr;
  std::optional<char> csv_delimiter = std::nullopt;
  OnBadRecord on_bad_record = OnBadRecord::kGoOn;
  bool follow = false;
  bool once = false;  // what is written goes on growing, and is read to where it ends now
  bool pipe_is_whole_file = false;
  // Standard input holds lines that somebody goes on writing: its last one may not be whole.
  bool pipe_is_a_log = false;
};

// A last line without its line end is a record only of what is known to be complete: a pipe or a
// file that is published once, from its begin to its end.
enum class From { kPipe, kFile, kFileWithState };
[[nodiscard]] LastLine last_line_of(const Job& job, From from);

// Says it on stderr; returns the code.
int fail(const std::string& sentence, int code = 1);

// An error: what the job is told to do cannot be done with this input.
[[nodiscard]] core::Result<void> fits(const Job& job, const Input& input, const std::string& path,
                                      const std::string& state = "");

// The exit code: 0 when every event was delivered; the account is on stdout. Throws
// std::system_error when the file cannot be read.
[[nodiscard]] int run_job(const runtime::config::Settings& settings, Job job);

}  // namespace tally::producer::publish
