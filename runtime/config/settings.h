// Settings declared as data: a flag over an environment variable over a file (`--config FILE` or
// TALLY_CONFIG; lines of `name = value`, `#` begins a comment line) over the default, each checked
// against its bounds at start. --help and docs/operating/settings.md are made from the same table.
// CLI11 is included by settings.cc alone.
//
// A variable that is set but empty counts as unset (but see customary_variable). A name in the file
// that no command of the program knows is an error; one that only another command knows is skipped.
// Values of switches: true, yes, on, 1 / false, no, off, 0 (on the command line --name or
// --name=false).
#pragma once

#include "runtime/config/family.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tally::runtime::config {

enum class Kind { kText, kInteger, kSwitch };

// `name` is the flag ("commit-interval-ms"); the environment variable is TALLY_COMMIT_INTERVAL_MS.
struct Option {
  std::string_view name;
  Kind kind = Kind::kText;
  std::string_view default_value = {};  // "" with required=false: unset
  std::string_view sentence = {};       // one sentence for --help
  std::int64_t min = 0;                 // kInteger only
  std::int64_t max = 0;                 // kInteger only
  bool required = false;
  // Refused on the command line and in the file of settings, where others could read it: from
  // TALLY_NAME, or from a file of its own by --NAME-file (TALLY_NAME_FILE, NAME-file = PATH).
  bool secret = false;
  // Of a secret: a variable that others name it by too; the last that is looked at, and not at all
  // where TALLY_NAME is set, be it empty.
  std::string_view customary_variable = {};
};

struct Positional {
  std::string_view name;  // "FILE"
  std::string_view sentence = {};
  bool required = true;
};

struct Command {
  std::string_view name;  // "publish"; "" for a program without sub-commands
  std::string_view sentence = {};
  std::span<const Option> options = {};
  std::span<const Positional> positionals = {};
  std::string_view example = {};  // shown at the end of --help
  std::span<const Family> families = {};
};

// Immutable after parse(); any thread. Asking for a name that was not declared is a bug (CHECK).
class Settings {
 public:
  [[nodiscard]] const std::string& command() const { return command_; }
  // An option's or a positional's value; "" when unset.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] bool enabled(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;  // set by anyone, or has a default
  // Whether a secret came by its customary variable, which was perhaps not meant for tally.
  [[nodiscard]] bool is_customary(std::string_view name) const;
  // What was given of a family, by names without the prefix, a dot for each underscore.
  [[nodiscard]] const FamilyValues& family(std::string_view prefix) const;

 private:
  friend struct Parser;
  std::string command_;
  std::unordered_map<std::string, std::string> values_;
  std::vector<std::string> customary_;  // names
  std::map<std::string, FamilyValues, std::less<>> families_;
};

// What parse() found: settings to run with, or an exit code after help, version or an error was
// printed (0 for help and version, 2 for a wrong flag or value: one sentence that names flag, value
// and limit).
struct Parsed {
  std::optional<Settings> settings;
  int exit_code = 0;
};

[[nodiscard]] Parsed parse(std::string_view program, std::string_view summary,
                           std::span<const Command> commands, int argc, const char* const* argv);

// `--help` of the program, or of one command. For parse() and the docs.
[[nodiscard]] std::string help_text(std::string_view program, std::string_view summary,
                                    std::span<const Command> commands, const Command* only);

// "TALLY_COMMIT_INTERVAL_MS" for "commit-interval-ms".
[[nodiscard]] std::string environment_name(std::string_view option);

// The table of docs/operating/settings.md, one program at a time (hidden flag
// --print-settings-markdown).
[[nodiscard]] std::string markdown_table(std::string_view program,
                                         std::span<const Command> commands);

}  // namespace tally::runtime::config
