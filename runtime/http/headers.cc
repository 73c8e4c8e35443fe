#include "runtime/http/headers.h"

#include "core/check.h"

#include <algorithm>
#include <limits>

namespace tally::runtime::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool equal_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

Headers::Headers(std::initializer_list<Pair> fields) {
  for (const auto& [name, value] : fields) add(name, value);
}

void Headers::add(std::string_view name, std::string_view value) {
  const std::size_t at = text_.size();
  TALLY_CHECK(at + name.size() + value.size() <= std::numeric_limits<std::uint32_t>::max(),
              "{} bytes of headers", at + name.size() + value.size());
  text_.append(name).append(value);
  fields_.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(value.size())});
}

void Headers::set(std::string_view name, std::string_view value) {
  std::erase_if(fields_,
                [&](const Field& field) { return equal_without_case(name_of(field), name); });
  add(name, value);
}

void Headers::clear() {
  text_.clear();
  fields_.clear();
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (auto field = fields_.rbegin(); field != fields_.rend(); ++field) {
    if (!equal_without_case(name_of(*field), name)) continue;
    return std::string_view(text_).substr(field->at + field->name_bytes, field->value_bytes);
  }
  return std::nullopt;
}

std::string_view Headers::get(std::string_view name) const {
  return find(name).value_or(std::string_view());
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(fields_.begin(), fields_.end(),
                    [&](const Field& field) { return equal_without_case(name_of(field), name); }));
}

Headers::Pair Headers::operator[](std::size_t index) const {
  const Field& field = fields_.at(index);
  return {name_of(field),
          std::string_view(text_).substr(field.at + field.name_bytes, field.value_bytes)};
}

std::string_view Headers::name_of(const Field& field) const {
  return std::string_view(text_).substr(field.at, field.name_bytes);
}

}  // namespace tally::runtime::http
