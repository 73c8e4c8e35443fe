#include "tests/support/sandbox/form.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace tally::sandbox {
namespace {

// How many characters of `text` are "[", digits and "]"; 0 when it does not begin so.
std::size_t index_length(std::string_view text) {
  std::size_t end = 1;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  const bool fits =
      end > 1 && end < 8 && text.starts_with('[') && text.substr(end).starts_with(']');
  return fits ? end + 1 : 0;
}

bool takes(std::string_view name, std::string_view key) {
  if (const auto place = name.find("[#]"); place != std::string_view::npos) {
    if (!key.starts_with(name.substr(0, place))) return false;
    const std::size_t length = index_length(key.substr(place));
    return length > 0 && takes(name.substr(place + 3), key.substr(place + length));
  }
  if (!name.ends_with("[]") && !name.ends_with("[*]")) return key == name;
  const std::string_view stem = name.substr(0, name.rfind('['));
  const std::size_t least = stem.size() + (name.ends_with("[*]") ? 3 : 2);
  return key.size() >= least && key.starts_with(stem) && key[stem.size()] == '[' &&
         key.find(']', stem.size()) == key.size() - 1;
}

// Own code: a common mistake with what tally's exporter escapes would hide in itself.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    const bool escape = text[i] == '%' && i + 2 < text.size() &&
                        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2;
    out += escape ? static_cast<char>(value) : text[i] == '+' ? ' ' : text[i];
    if (escape) i += 2;
  }
  return out;
}

}  // namespace

bool is_utf8(std::string_view text) {
  // The least character of a sequence of so many bytes.
  constexpr std::array<std::uint32_t, 4> kLeast = {0, 0x80, 0x800, 0x10000};
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text[0]);
    const std::size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if ((first >= 0x80 && first < 0xc0) || first > 0xf7 || text.size() <= more) return false;
    std::uint32_t character = more == 0 ? first : first & (0x3fU >> more);
    for (std::size_t i = 1; i <= more; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if ((byte & 0xc0U) != 0x80U) return false;
      character = character << 6U | (byte & 0x3fU);
    }
    const bool surrogate = character >= 0xd800 && character < 0xe000;
    if (character < kLeast[more] || surrogate || character > 0x10ffff) return false;
    text.remove_prefix(more + 1);
  }
  return true;
}

std::size_t count_characters(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

Form Form::parse(std::string_view text) {
  Form form;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(pair.size(), equals + 1));
    const std::string key = unescaped(pair.substr(0, equals));
    const bool is_new = form.values_.try_emplace(key, unescaped(value)).second;
    if (is_new) continue;
    if (key.ends_with("[]")) {
      form.others_[key].push_back(unescaped(value));
    } else {
      form.repeated_ = key;
    }
  }
  return form;
}

std::optional<std::string> Form::find(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::string Form::get(std::string_view key, std::string_view otherwise) const {
  return find(key).value_or(std::string(otherwise));
}

std::map<std::string, std::string> Form::map_of(std::string_view name) const {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : values_) {
    if (!takes(fmt::format("{}[*]", name), key)) continue;
    out[key.substr(name.size() + 1, key.size() - name.size() - 2)] = value;
  }
  return out;
}

Refused Form::check(const std::vector<Parameter>& known) const {
  if (!repeated_.empty()) {
    return invalid_request(fmt::format("Received the parameter twice: {}", repeated_),
                           "parameter_invalid", repeated_);
  }
  for (const auto& [key, value] : values_) {
    const auto parameter = std::find_if(known.begin(), known.end(),
                                        [&](const Parameter& p) { return takes(p.name, key); });
    if (parameter == known.end()) {
      return invalid_request(fmt::format("Received unknown parameter: {}", key),
                             "parameter_unknown", key);
    }
    if (value.empty() && !parameter->name.ends_with("[*]")) {
      return invalid_request(
          fmt::format("You passed an empty string for '{0}'. We assume empty values are an attempt "
                      "to unset a field; however '{0}' cannot be unset.",
                      key),
          "parameter_invalid_empty", key);
    }
    if (parameter->max_characters > 0 && count_characters(value) > parameter->max_characters) {
      return invalid_request(fmt::format("Invalid string: {}...; must be at most {} characters",
                                         key, parameter->max_characters),
                             "", key);
    }
  }
  for (const Parameter& parameter : known) {
    if (!parameter.required) continue;
    const bool given = std::any_of(values_.begin(), values_.end(), [&](const auto& pair) {
      return takes(parameter.name, pair.first) && !pair.second.empty();
    });
    if (given) continue;
    const std::string_view name = parameter.name.substr(0, parameter.name.find("[*]"));
    return invalid_request(fmt::format("Missing required param: {}.", name), "parameter_missing",
                           name);
  }
  return std::nullopt;
}

Refused Form::check_text() const {
  for (const auto& [key, value] : values_) {
    if (is_utf8(key) && is_utf8(value)) continue;
    return invalid_request("A parameter is not valid UTF-8.", "", is_utf8(key) ? key : "");
  }
  for (const auto& [key, values] : others_) {
    if (std::all_of(values.begin(), values.end(), is_utf8)) continue;
    return invalid_request("A parameter is not valid UTF-8.", "", key);
  }
  return std::nullopt;
}

Refused Form::integer(std::string_view key, std::optional<std::int64_t>& out) const {
  const auto text = find(key);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) {
    return invalid_request(fmt::format("Invalid integer: {}", *text), "parameter_invalid_integer",
                           key);
  }
  out = value;
  return std::nullopt;
}

Refused Form::boolean(std::string_view key, std::optional<bool>& out) const {
  const auto text = find(key);
  if (!text) return std::nullopt;
  if (*text != "true" && *text != "false") {
    return invalid_request(fmt::format("Invalid boolean: {}", *text), "parameter_invalid_boolean",
                           key);
  }
  out = *text == "true";
  return std::nullopt;
}

std::map<std::size_t, Form> Form::forms_of(std::string_view name) const {
  std::map<std::size_t, Form> out;
  for (const auto& [key, value] : values_) {
    if (!key.starts_with(name)) continue;
    const std::string_view rest = std::string_view(key).substr(name.size());
    const std::size_t length = index_length(rest);
    if (length == 0) continue;
    std::size_t index = 0;
    std::from_chars(rest.data() + 1, rest.data() + length - 1, index);
    // "[metadata][k]" becomes "metadata[k]".
    std::string inner(rest.substr(length));
    const auto close = inner.find(']');
    if (!inner.starts_with('[') || close == std::string::npos) continue;
    inner = inner.substr(1, close - 1) + inner.substr(close + 1);
    out[index].values_[inner] = value;
  }
  return out;
}

std::vector<std::string> Form::list_of(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : values_) {
    if (!takes(fmt::format("{}[]", name), key)) continue;
    out.push_back(value);
    const auto others = others_.find(key);
    if (others != others_.end()) {
      out.insert(out.end(), others->second.begin(), others->second.end());
    }
  }
  return out;
}

std::string Form::fingerprint() const {
  std::string out;
  for (const auto& [key, value] : values_) {
    out += fmt::format("{}:{}={}:{}&", key.size(), key, value.size(), value);
  }
  for (const auto& [key, values] : others_) {
    for (const std::string& value : values) {
      out += fmt::format("{}:{}={}:{}&", key.size(), key, value.size(), value);
    }
  }
  return out;
}

}  // namespace tally::sandbox
