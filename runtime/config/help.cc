#include "runtime/config/settings.h"

#include <fmt/format.h>

#include <algorithm>

namespace tally::runtime::config {
namespace {

std::string bounds(const Option& option) {
  if (option.kind == Kind::kSwitch) return "on or off";
  if (option.kind == Kind::kText || option.min == option.max) return "";
  return fmt::format("{} to {}", option.min, option.max);
}

std::string flag(const Option& option) {
  if (option.secret) return fmt::format("--{}-file PATH", option.name);
  switch (option.kind) {
    case Kind::kText:
      return fmt::format("--{} TEXT", option.name);
    case Kind::kInteger:
      return fmt::format("--{} N", option.name);
    case Kind::kSwitch:
      return fmt::format("--{}", option.name);
  }
  return std::string(option.name);
}

std::string remarks(const Option& option) {
  std::string text = environment_name(option.name);
  if (!option.customary_variable.empty()) text += fmt::format(" or {}", option.customary_variable);
  if (const std::string range = bounds(option); !range.empty()) text += ", " + range;
  if (option.required) {
    text += ", required";
  } else if (!option.default_value.empty()) {
    text += fmt::format(", default {}", option.default_value);
  }
  return text;
}

void append_options(std::string& out, const Command& command) {
  out += "\nOptions (flag over environment over --config FILE over default):\n";
  for (const Option& option : command.options) {
    out += fmt::format("  {}\n      {} [{}]\n", flag(option), option.sentence, remarks(option));
  }
  for (const Family& family : command.families) {
    out +=
        fmt::format("  --{}.NAME=VALUE, --{}.NAME-file PATH\n      {} [{}_NAME]\n", family.prefix,
                    family.prefix, family.sentence, environment_name(family.prefix));
  }
  out += "  --config FILE\n      Lines of `name = value`. [TALLY_CONFIG]\n";
  out += "  --help, --version\n";
}

std::string usage(std::string_view program, const Command& command) {
  std::string line(program);
  if (!command.name.empty()) line += fmt::format(" {}", command.name);
  line += " [OPTIONS]";
  for (const Positional& positional : command.positionals) {
    line += positional.required ? fmt::format(" {}", positional.name)
                                : fmt::format(" [{}]", positional.name);
  }
  return line;
}

// A table cell: the bars of the sentence must not become columns.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

void append_family(std::string& out, const Family& family) {
  out += fmt::format("| `--{}.NAME` | `{}_NAME` |  |  | {} |\n", family.prefix,
                     environment_name(family.prefix), cell(family.sentence));
  out += fmt::format("\nRefused of `{}.NAME`:\n\n| NAME | why |\n|---|---|\n", family.prefix);
  for (const auto& [name, why] : family.refused()) {
    out += fmt::format("| `{}` | {} |\n", name, cell(why));
  }
}

}  // namespace

std::string environment_name(std::string_view option) {
  std::string out = "TALLY_";
  for (const char c : option) {
    out += c == '-' || c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

std::string help_text(std::string_view program, std::string_view summary,
                      std::span<const Command> commands, const Command* only) {
  std::string out = fmt::format("{}: {}\n", program, summary);
  if (only == nullptr) {
    out += fmt::format("\nUsage: {} COMMAND [OPTIONS]\n\nCommands:\n", program);
    std::size_t width = 0;
    for (const Command& command : commands) width = std::max(width, command.name.size());
    for (const Command& command : commands) {
      out += fmt::format("  {:<{}}  {}\n", command.name, width, command.sentence);
    }
    return out + fmt::format("\n`{} COMMAND --help` tells more.\n", program);
  }
  if (!only->name.empty()) out += fmt::format("\n{}: {}\n", only->name, only->sentence);
  out += fmt::format("\nUsage: {}\n", usage(program, *only));
  for (const Positional& positional : only->positionals) {
    out += fmt::format("  {}\n      {}\n", positional.name, positional.sentence);
  }
  append_options(out, *only);
  if (!only->example.empty()) out += fmt::format("\nExample: {}\n", only->example);
  return out;
}

std::string markdown_table(std::string_view program, std::span<const Command> commands) {
  std::string out = fmt::format("## {}\n", program);
  for (const Command& command : commands) {
    if (!command.name.empty()) {
      out += fmt::format("\n### {} {}\n\n{}\n", program, command.name, command.sentence);
    }
    out += "\n| setting | environment | bounds | default | meaning |\n|---|---|---|---|---|\n";
    for (const Option& option : command.options) {
      const std::string name =
          option.secret ? fmt::format("{}-file", option.name) : std::string(option.name);
      const std::string standard = option.required ? "required"
                                   : option.default_value.empty()
                                       ? ""
                                       : fmt::format("`{}`", option.default_value);
      std::string variables = fmt::format("`{}`", environment_name(option.name));
      if (!option.customary_variable.empty())
        variables += fmt::format(" or `{}`", option.customary_variable);
      out += fmt::format("| `--{}` | {} | {} | {} | {} |\n", name, variables, bounds(option),
                         standard, cell(option.sentence));
    }
    for (const Family& family : command.families) append_family(out, family);
  }
  return out;
}

}  // namespace tally::runtime::config
