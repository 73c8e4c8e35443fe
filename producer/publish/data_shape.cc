#include "producer/publish/data_shape.h"

#include "core/decimal.h"
#include "core/json_cursor.h"
#include "core/limits.h"
#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace tally::producer::publish {
namespace {

constexpr std::size_t kMaxShownBytes = 64;

core::Error wrong(const DataField& field, std::string_view text, std::string_view what) {
  return core::invalid(
      fmt::format("{}: `{}` {}", field.origin, core::printable_ascii(text, kMaxShownBytes), what));
}

core::Result<void> append_number(const DataField& field, std::string_view text, std::string& out) {
  const auto number = core::Decimal::parse(text);
  if (!number) return wrong(field, text, "is no number: it is written as 12 or -0.5");
  const core::Int128 units = number.value().units();
  if (units > core::kMaxValueUnits || units < -core::kMaxValueUnits) {
    return wrong(field, text, "is beyond 10^18, the limit of a value");
  }
  out += text;
  return boost::outcome_v2::success();
}

core::Result<void> append_bool(const DataField& field, std::string_view text, std::string& out) {
  std::string word(text);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool yes = word == "true" || word == "1";
  if (!yes && word != "false" && word != "0") {
    return wrong(field, text, "is no bool: it is true, false, 1 or 0");
  }
  out += yes ? "true" : "false";
  return boost::outcome_v2::success();
}

core::Result<void> append_value(const DataField& field, std::string_view text, std::string& out) {
  if (field.as == As::kNumber) return append_number(field, text, out);
  if (field.as == As::kBool) return append_bool(field, text, out);
  if (!core::valid_utf8(text)) return wrong(field, text, "is not UTF-8: encode it so");
  core::append_json_string(text, out);
  return boost::outcome_v2::success();
}

}  // namespace

std::optional<As> as_of(std::string_view word) {
  if (word == "string") return As::kString;
  if (word == "number") return As::kNumber;
  if (word == "bool") return As::kBool;
  return std::nullopt;
}

core::Result<void> DataShape::add(const DataField& field) {
  Node* at = &root_;
  for (std::string_view rest = field.path;;) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view name = rest.substr(0, dot);
    if (name.empty()) {
      return core::invalid(fmt::format("data \"{}\" has an empty name in it", field.path));
    }
    const bool last = dot == rest.size();
    const auto same = std::find_if(at->children.begin(), at->children.end(),
                                   [&](const Node& child) { return child.name == name; });
    const bool found = same != at->children.end();
    if (found && (last || same->children.empty())) {
      return core::invalid(
          fmt::format("data \"{}\" is taken by another field: give each its own", field.path));
    }
    at = found ? &*same : &at->children.emplace_back(Node{std::string(name), {}, {}});
    if (last) break;
    rest.remove_prefix(dot + 1);
  }
  at->field = field;
  return boost::outcome_v2::success();
}

core::Result<void> DataShape::write_node(const Node& node, std::span<const std::string_view> texts,
                                         std::string& out) {
  out += '{';
  for (const Node& child : node.children) {
    const bool leaf = child.children.empty();
    if (leaf && texts[child.field.from].empty()) {
      if (child.field.may_be_empty) continue;
      if (child.field.as != As::kString) {
        return wrong(child.field, "", "is empty: give a value, or say that it is optional");
      }
    }
    if (out.back() != '{') out += ',';
    core::append_json_string(child.name, out);
    out += ':';
    const auto written = leaf ? append_value(child.field, texts[child.field.from], out)
                              : write_node(child, texts, out);
    if (!written) return written.error();
  }
  out += '}';
  return boost::outcome_v2::success();
}

core::Result<void> DataShape::write(std::span<const std::string_view> texts,
                                    std::string& out) const {
  return write_node(root_, texts, out);
}

}  // namespace tally::producer::publish
