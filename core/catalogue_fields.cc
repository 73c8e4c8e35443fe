#include "core/catalogue_fields.h"

#include "core/limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace tally::core {
namespace {

using Kind = JsonValue::Kind;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::optional<std::string> unescape_segment(std::string_view segment) {
  std::string out;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '~') {
      out += segment[i];
      continue;
    }
    const char code = i + 1 < segment.size() ? segment[i + 1] : '\0';
    if (code != '0' && code != '1') return std::nullopt;
    out += code == '0' ? '~' : '/';
    ++i;
  }
  return out;
}

}  // namespace

bool is_slug(std::string_view text) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  if (text.empty() || text.size() > kMaxSlugBytes || !is_lower(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_lower(c) || (c >= '0' && c <= '9') || c == '_'; });
}

Result<JsonPath> parse_pointer(std::string_view pointer) {
  if (pointer.empty() || pointer.front() != '/') {
    return invalid(fmt::format("\"{}\" is not a JSON pointer: start it with /", pointer));
  }
  JsonPath path;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view segment = pointer.substr(0, pointer.find('/'));
    auto name = unescape_segment(segment);
    if (!name) return invalid("a ~ in a JSON pointer must be followed by 0 or 1");
    path.push_back(*std::move(name));
    pointer.remove_prefix(segment.size());
  }
  if (path.size() > kMaxPointerDepth) {
    return invalid(
        fmt::format("a JSON pointer of {} steps, the limit is {}", path.size(), kMaxPointerDepth));
  }
  return path;
}

std::string to_pointer(const JsonPath& path) {
  std::string out;
  for (const std::string& segment : path) {
    out += '/';
    for (const char c : segment) {
      if (c == '~') {
        out += "~0";
      } else if (c == '/') {
        out += "~1";
      } else {
        out += c;
      }
    }
  }
  return out;
}

CatalogueFields::CatalogueFields(const JsonValue& value, std::string entry)
    : value_(value), entry_(std::move(entry)) {
  if (value.kind != Kind::kObject) {
    error_ = invalid(fmt::format("{}: not a JSON object", entry_));
  }
}

void CatalogueFields::fail(std::string_view field, std::string_view message) {
  fail(invalid(fmt::format("{}: field \"{}\": {}", entry_, field, message)));
}

void CatalogueFields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

const JsonValue* CatalogueFields::take(std::string_view name) {
  if (failed()) return nullptr;
  taken_.push_back(name);
  const JsonValue* const member = value_.find(name);
  return member == nullptr || member->kind == Kind::kNull ? nullptr : member;
}

const JsonValue* CatalogueFields::optional_value(std::string_view name) { return take(name); }

const JsonValue* CatalogueFields::array(std::string_view name) {
  const JsonValue* const member = take(name);
  if (member == nullptr || member->kind == Kind::kArray) return member;
  fail(name, "not an array");
  return nullptr;
}

std::optional<std::string> CatalogueFields::optional_text(std::string_view name, Bytes limit) {
  const JsonValue* const member = take(name);
  if (member == nullptr) return std::nullopt;
  if (member->kind != Kind::kString) {
    fail(name, "not a string: put it in quotes");
  } else if (member->text.empty() || member->text.size() > limit.max) {
    fail(name, fmt::format("has {} bytes, give 1 to {}", member->text.size(), limit.max));
  } else if (std::any_of(member->text.begin(), member->text.end(), is_control)) {
    fail(name, "holds a control character: remove it");
  }
  if (failed()) return std::nullopt;
  return member->text;
}

std::string CatalogueFields::text(std::string_view name, Bytes limit) {
  auto found = optional_text(name, limit);
  if (!found) fail(name, "missing");
  return std::move(found).value_or(std::string());
}

std::string CatalogueFields::slug(std::string_view name) {
  std::string found = text(name, Bytes{kMaxSlugBytes});
  if (!failed() && !is_slug(found)) {
    fail(name, fmt::format("\"{}\" is not a slug: use a-z, 0-9 and _, a letter first", found));
  }
  return found;
}

std::optional<Decimal> CatalogueFields::optional_decimal(std::string_view name) {
  const JsonValue* const member = take(name);
  if (member == nullptr) return std::nullopt;
  if (member->kind != Kind::kString) {
    fail(name, "not a decimal in quotes: write \"0.000015\"");
    return std::nullopt;
  }
  const auto parsed = Decimal::parse(member->text);
  if (parsed) return parsed.value();
  fail(name, fmt::format("\"{}\" is {}", member->text, parsed.error().message));
  return std::nullopt;
}

std::optional<JsonPath> CatalogueFields::optional_path(std::string_view name) {
  const auto pointer = optional_text(name, Bytes{kMaxDataBytes});
  if (!pointer) return std::nullopt;
  auto path = parse_pointer(*pointer);
  if (path) return std::move(path).value();
  fail(name, path.error().message);
  return std::nullopt;
}

bool CatalogueFields::optional_flag(std::string_view name) {
  const JsonValue* const member = take(name);
  if (member == nullptr) return false;
  if (member->kind != Kind::kBoolean) fail(name, "is neither true nor false");
  return member->text == "true";
}

std::optional<int> CatalogueFields::optional_small_int(std::string_view name, int max) {
  const JsonValue* const member = take(name);
  if (member == nullptr) return std::nullopt;
  if (member->kind == Kind::kNumber) {
    for (int i = 0; i <= max; ++i) {
      if (member->text == std::to_string(i)) return i;
    }
  }
  fail(name, fmt::format("is not a whole number from 0 to {}", max));
  return std::nullopt;
}

std::size_t CatalogueFields::choice(std::string_view name,
                                    std::span<const std::string_view> choices,
                                    std::size_t fallback) {
  const auto found = optional_text(name, Bytes{kMaxNameBytes});
  if (!found) return fallback;
  const auto place = std::find(choices.begin(), choices.end(), *found);
  if (place != choices.end()) return static_cast<std::size_t>(place - choices.begin());
  fail(name, fmt::format("\"{}\" is none of {}", *found, fmt::join(choices, ", ")));
  return fallback;
}

void CatalogueFields::refuse_unknown() {
  for (const std::string& name : value_.names) {
    if (std::find(taken_.begin(), taken_.end(), name) == taken_.end()) {
      fail(name, "unknown: remove it or correct its name");
    }
  }
}

}  // namespace tally::core
