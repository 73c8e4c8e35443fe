#include "runtime/config/settings.h"

#include "core/check.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include <unistd.h>

namespace tally::runtime::config {
namespace {

// A wrong setting: ends parse() with code 2 and this one sentence.
struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value and where it came from, for the error message.
struct Found {
  std::string value;
  std::string origin;
};

using FileLines = std::map<std::string, Found, std::less<>>;

constexpr std::size_t kMaxFileBytes = 1024 * 1024;

std::string_view trim(std::string_view text) {
  static constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string read_whole(const std::string& path, std::string_view asked_by) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) {
    throw Wrong(fmt::format("{}: cannot read \"{}\", or it is empty; give a readable file",
                            asked_by, path));
  }
  if (content.view().size() > kMaxFileBytes) {
    throw Wrong(fmt::format("{}: \"{}\" is over {} bytes", asked_by, path, kMaxFileBytes));
  }
  return content.str();
}

std::optional<Found> from_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return Found{value, name};
}

std::optional<Found> from_environment(std::string_view option) {
  return from_variable(environment_name(option));
}

// "kafka" for "kafka.sasl.username", where the command has that family; else nullptr.
const Family* family_of(std::string_view name, std::span<const Family> families) {
  for (const Family& family : families) {
    if (name.size() > family.prefix.size() + 1 && name.starts_with(family.prefix) &&
        name[family.prefix.size()] == '.') {
      return &family;
    }
  }
  return nullptr;
}

// Variables cannot tell a dot from an underscore, so no name does.
std::string dotted(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '.');
  return out;
}

// The name whose value a family's entry gives: of a secret's file the secret's.
std::string member_of(const Family& family, std::string_view name, std::string_view file_ending) {
  std::string member = dotted(name);
  if (!member.ends_with(file_ending)) return member;
  const std::string secret = member.substr(0, member.size() - file_ending.size());
  return family.is_secret(secret) ? secret : member;
}

bool is_family(std::string_view name, std::span<const Command> commands) {
  return std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
    return family_of(name, command.families) != nullptr;
  });
}

bool is_known(std::string_view name, std::span<const Command> commands) {
  if (is_family(name, commands)) return true;
  for (const Command& command : commands) {
    for (const Option& option : command.options) {
      if (option.name == name) return true;
      if (option.secret && fmt::format("{}-file", option.name) == name) return true;
    }
  }
  return false;
}

FileLines read_file(const std::string& path, std::string_view asked_by,
                    std::span<const Command> commands) {
  FileLines lines;
  std::istringstream stream(read_whole(path, asked_by));
  std::string raw;
  for (int number = 1; std::getline(stream, raw); ++number) {
    const std::string_view line = trim(raw);
    if (line.empty() || line.front() == '#') continue;
    const std::string origin = fmt::format("{}:{}", path, number);
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) {
      throw Wrong(fmt::format("{}: a line must read `name = value`", origin));
    }
    std::string name(trim(line.substr(0, equals)));
    if (!is_known(name, commands)) {
      throw Wrong(fmt::format("{}: there is no setting \"{}\"; --help lists them", origin, name));
    }
    if (is_family(name, commands)) name = dotted(name);
    const bool first =
        lines.emplace(name, Found{std::string(trim(line.substr(equals + 1))), origin}).second;
    if (!first) throw Wrong(fmt::format("{}: \"{}\" is set twice in this file", origin, name));
  }
  return lines;
}

std::string checked_integer(const Option& option, const Found& found) {
  std::int64_t value = 0;
  const std::string& text = found.value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool bounded = option.min != option.max;
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && (!bounded || (value >= option.min && value <= option.max))) return text;
  throw Wrong(fmt::format("{} is \"{}\", but {} must be a whole number{}", found.origin, text,
                          option.name,
                          bounded ? fmt::format(" from {} to {}", option.min, option.max) : ""));
}

std::string checked_switch(const Option& option, const Found& found) {
  for (const std::string_view yes : {"true", "yes", "on", "1"}) {
    if (found.value == yes) return "true";
  }
  for (const std::string_view no : {"false", "no", "off", "0"}) {
    if (found.value == no) return "false";
  }
  throw Wrong(fmt::format("{} is \"{}\", but {} must be true or false", found.origin, found.value,
                          option.name));
}

std::string checked(const Option& option, const Found& found) {
  switch (option.kind) {
    case Kind::kInteger:
      return checked_integer(option, found);
    case Kind::kSwitch:
      return checked_switch(option, found);
    case Kind::kText:
      break;
  }
  if (found.value.find('\0') != std::string::npos) {
    throw Wrong(fmt::format("{} holds a zero byte", found.origin));
  }
  return found.value;
}

std::string read_secret(const Found& path) {
  const std::string content = read_whole(path.value, path.origin);
  const std::string_view secret = trim(content);
  if (secret.empty() || secret.find_first_of("\r\n") != std::string_view::npos) {
    throw Wrong(
        fmt::format("{}: \"{}\" must hold the secret alone, in one line", path.origin, path.value));
  }
  return std::string(secret);
}

void check_declaration(const Option& option) {
  const bool judged = option.kind != Kind::kText && !option.default_value.empty();
  if (judged) checked(option, {std::string(option.default_value), "the default"});
  TALLY_CHECK(!option.secret || option.kind == Kind::kText, "{}", option.name);
  TALLY_CHECK(option.secret || option.customary_variable.empty(), "{}", option.name);
  TALLY_CHECK(!option.required || option.default_value.empty(), "{}", option.name);
  TALLY_CHECK(option.min <= option.max, "{}", option.name);
}

}  // namespace

// Builds the CLI11 program from the table and gathers the values; one use.
struct Parser {
  std::string_view program;
  std::span<const Command> commands;
  // What the command line gave, by command and flag; filled by CLI11 while it parses.
  std::map<const Command*, std::map<std::string, std::string, std::less<>>> given;
  std::map<const Command*, CLI::App*> apps;
  // Flags of families, which CLI11 does not know: taken out before it looks.
  std::map<std::string, std::string, std::less<>> given_families;
  bool wants_version = false;
  bool wants_markdown = false;

  [[nodiscard]] bool single() const { return commands.size() == 1 && commands[0].name.empty(); }

  void take(CLI::App& app, const Command* command, const std::string& name, const char* hidden) {
    app.add_option_function<std::string>(
           (hidden != nullptr ? "" : "--") + name,
           [this, command, name](const std::string& value) { given[command][name] = value; })
        ->take_last();
  }

  void declare(CLI::App& app, const Command& command) {
    apps[&command] = &app;
    app.set_help_flag("-h,--help");
    take(app, &command, "config", nullptr);
    for (const Option& option : command.options) {
      check_declaration(option);
      const std::string name(option.name);
      if (option.kind == Kind::kSwitch) {
        app.add_flag_function("--" + name + "{true}", [](std::int64_t) {});
      } else {
        take(app, &command, name, nullptr);
      }
      if (option.secret) take(app, &command, name + "-file", nullptr);
    }
    for (const Positional& positional : command.positionals) {
      take(app, &command, std::string(positional.name), "positional");
    }
  }

  // CLI11 counts flags; their text form (--name=false) is read back from the parsed option.
  void collect_switches(const Command& command) {
    for (const Option& option : command.options) {
      if (option.kind != Kind::kSwitch) continue;
      const CLI::Option* parsed = apps.at(&command)->get_option("--" + std::string(option.name));
      if (parsed->count() > 0) {
        given[&command][std::string(option.name)] = parsed->as<std::string>();
      }
    }
  }

  // Takes the flags of families out of the arguments and returns the rest.
  [[nodiscard]] std::vector<const char*> without_families(int argc, const char* const* argv) {
    std::vector<const char*> rest;
    bool flags_ended = false;
    for (int i = 0; i < argc; ++i) {
      const std::string_view word = argv[i];
      flags_ended = flags_ended || word == "--";
      const std::size_t equals = word.find('=');
      const std::string_view flag = word.substr(0, equals);
      if (i == 0 || flags_ended || !flag.starts_with("--") ||
          !is_family(flag.substr(2), commands)) {
        rest.push_back(argv[i]);
        continue;
      }
      if (equals == std::string_view::npos && i + 1 == argc) {
        throw Wrong(fmt::format("{} has no value: give {}=VALUE", flag, flag));
      }
      given_families[dotted(flag.substr(2))] =
          equals == std::string_view::npos ? argv[++i] : word.substr(equals + 1);
    }
    return rest;
  }

  // The names of a family that anybody gave.
  [[nodiscard]] std::set<std::string> members(const Family& family, const FileLines& file) const {
    std::set<std::string> names;
    const std::string prefix = fmt::format("{}.", family.prefix);
    const auto add = [&](const auto& entries) {
      for (const auto& [name, value] : entries) {
        if (!name.starts_with(prefix)) continue;
        names.insert(member_of(family, std::string_view(name).substr(prefix.size()), "-file"));
      }
    };
    add(given_families);
    add(file);
    const std::string variables = environment_name(prefix);
    for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
      const std::string_view entry = *variable;
      const std::size_t equals = entry.find('=');
      if (equals == std::string_view::npos || equals + 1 == entry.size() ||
          equals <= variables.size() || !entry.starts_with(variables)) {
        continue;
      }
      std::string name(entry.substr(variables.size(), equals - variables.size()));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      names.insert(member_of(family, name, ".file"));
    }
    return names;
  }

  [[nodiscard]] FamilyValues family_values(const Command& command, const Family& family,
                                           const FileLines& file) const {
    FamilyValues values;
    std::map<std::string, std::string> origins;
    for (const std::string& member : members(family, file)) {
      const std::string name = fmt::format("{}.{}", family.prefix, member);
      if (family.is_secret(member)) {
        const Option secret{.name = name, .secret = true};
        if (auto value = secret_value(command, secret, file)) values[member] = std::move(*value);
        origins[member] = name;
      } else if (auto found = look_up(command, name, file)) {
        values[member] = std::move(found->value);
        origins[member] = std::move(found->origin);
      }
    }
    if (const auto objection = family.judge(values)) {
      const auto origin = origins.find(objection->name);
      throw Wrong(fmt::format("{}: {}",
                              origin == origins.end() ? std::string(family.prefix) : origin->second,
                              objection->sentence));
    }
    return values;
  }

  void refuse_foreign_families(const Command& command) const {
    for (const auto& [name, value] : given_families) {
      if (family_of(name, command.families) != nullptr) continue;
      throw Wrong(fmt::format("--{}: {} has no such settings", name, command.name));
    }
  }

  [[nodiscard]] std::optional<Found> from_flag(const Command& command,
                                               std::string_view name) const {
    const auto member = given_families.find(name);
    if (member != given_families.end()) return Found{member->second, fmt::format("--{}", name)};
    const auto flags = given.find(&command);
    if (flags == given.end()) return std::nullopt;
    const auto value = flags->second.find(name);
    if (value == flags->second.end()) return std::nullopt;
    return Found{value->second, fmt::format("--{}", name)};
  }

  [[nodiscard]] std::optional<Found> look_up(const Command& command, const std::string& name,
                                             const FileLines& file) const {
    if (auto found = from_flag(command, name)) return found;
    if (auto found = from_environment(name)) return found;
    const auto line = file.find(name);
    return line == file.end() ? std::nullopt : std::optional(line->second);
  }

  [[nodiscard]] std::optional<std::string> secret_value(const Command& command,
                                                        const Option& option,
                                                        const FileLines& file) const {
    const std::string name(option.name);
    const std::string advice =
        fmt::format("set {} or give a file by --{}-file PATH", environment_name(name), name);
    if (from_flag(command, name)) {
      throw Wrong(fmt::format(
          "--{} is refused on the command line, where every user could read it: {}", name, advice));
    }
    if (const auto line = file.find(name); line != file.end()) {
      throw Wrong(fmt::format("{}: the secret {} does not belong into this file: {}",
                              line->second.origin, name, advice));
    }
    if (auto path = from_flag(command, name + "-file")) return read_secret(*path);
    if (auto found = from_environment(name)) return found->value;
    if (auto path = look_up(command, name + "-file", file)) return read_secret(*path);
    return std::nullopt;
  }

  [[nodiscard]] static std::optional<Found> customary_value(const Option& option) {
    if (std::getenv(environment_name(option.name).c_str()) != nullptr) return std::nullopt;
    return from_variable(std::string(option.customary_variable));
  }

  [[nodiscard]] Settings settings(const Command& command) {
    FileLines file;
    if (auto path = look_up(command, "config", {})) {
      file = read_file(path->value, path->origin, commands);
    }
    Settings out;
    out.command_ = command.name;
    for (const Option& option : command.options) {
      const std::string name(option.name);
      std::string& value = out.values_[name];
      value = option.default_value;
      if (option.secret) {
        if (auto secret = secret_value(command, option, file)) {
          value = std::move(*secret);
        } else if (auto found = customary_value(option)) {
          value = std::move(found->value);
          out.customary_.push_back(name);
        }
      } else if (auto found = look_up(command, name, file)) {
        value = checked(option, *found);
      }
      if (option.required && value.empty()) throw Wrong(missing(option));
    }
    for (const Positional& positional : command.positionals) {
      auto found = from_flag(command, positional.name);
      if (!found && positional.required) {
        throw Wrong(fmt::format("{} is missing: {}", positional.name, positional.sentence));
      }
      out.values_[std::string(positional.name)] = found ? found->value : "";
    }
    refuse_foreign_families(command);
    for (const Family& family : command.families) {
      out.families_.emplace(family.prefix, family_values(command, family, file));
    }
    return out;
  }

  [[nodiscard]] static std::string missing(const Option& option) {
    const std::string name(option.name);
    return option.secret
               ? fmt::format("{} is required: set {} or give a file by --{}-file PATH", name,
                             environment_name(name), name)
               : fmt::format("{} is required: give --{}, set {}, or write it in the --config file",
                             name, name, environment_name(name));
  }
};

namespace {

// The command whose --help or settings are meant; nullptr: the program as a whole.
const Command* chosen(const Parser& parser, const CLI::App& root) {
  if (parser.single()) return &parser.commands[0];
  for (const Command& command : parser.commands) {
    if (root.got_subcommand(std::string(command.name))) return &command;
  }
  return nullptr;
}

void declare_all(Parser& parser, CLI::App& root) {
  root.set_help_flag("-h,--help");
  root.add_flag("--version", parser.wants_version);
  root.add_flag("--print-settings-markdown", parser.wants_markdown);
  for (const Command& command : parser.commands) {
    CLI::App* app = parser.single() ? &root : root.add_subcommand(std::string(command.name));
    parser.declare(*app, command);
  }
}

std::string unknown_command(const Parser& parser, std::string_view given) {
  std::string names;
  for (const Command& command : parser.commands) {
    names += names.empty() ? "" : ", ";
    names += command.name;
  }
  return given.empty() ? fmt::format("name a command: {}", names)
                       : fmt::format("there is no command \"{}\"; there are {}", given, names);
}

Parsed fail(std::string_view program, std::string_view sentence) {
  fmt::print(stderr, "{}: {}\n", program, sentence);
  return {std::nullopt, 2};
}

}  // namespace

Parsed parse(std::string_view program, std::string_view summary, std::span<const Command> commands,
             int argc, const char* const* argv) {
  CLI::App root{std::string(summary), std::string(program)};
  Parser parser{program, commands, {}, {}, {}, false, false};
  declare_all(parser, root);
  try {
    const std::vector<const char*> rest = parser.without_families(argc, argv);
    root.parse(static_cast<int>(rest.size()), rest.data());
  } catch (const Wrong& wrong) {
    return fail(program, wrong.what());
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", help_text(program, summary, commands, chosen(parser, root)));
    return {std::nullopt, 0};
  } catch (const CLI::ParseError& error) {
    const bool lost = !parser.single() && chosen(parser, root) == nullptr && argc > 1 &&
                      !std::string_view(argv[1]).starts_with('-');
    return fail(program,
                lost ? unknown_command(parser, argv[1])
                     : fmt::format("{}; `{} --help` lists what there is", error.what(), program));
  }
  if (parser.wants_version || parser.wants_markdown) {
    fmt::print("{}", parser.wants_version ? fmt::format("{} {}\n", program, TALLY_VERSION)
                                          : markdown_table(program, commands));
    return {std::nullopt, 0};
  }
  const Command* command = chosen(parser, root);
  if (command == nullptr) return fail(program, unknown_command(parser, ""));
  try {
    parser.collect_switches(*command);
    return {parser.settings(*command), 0};
  } catch (const Wrong& wrong) {
    return fail(program, wrong.what());
  }
}

}  // namespace tally::runtime::config
