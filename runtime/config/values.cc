// What parse() found, asked for.
#include "core/check.h"
#include "runtime/config/settings.h"

#include <algorithm>
#include <charconv>

namespace tally::runtime::config {

const FamilyValues& Settings::family(std::string_view prefix) const {
  const auto found = families_.find(prefix);
  TALLY_CHECK(found != families_.end(), "no family {} in command \"{}\"", prefix, command_);
  return found->second;
}

const std::string& Settings::text(std::string_view name) const {
  const auto found = values_.find(std::string(name));
  TALLY_CHECK(found != values_.end(), "no setting {} in command \"{}\"", name, command_);
  return found->second;
}

std::int64_t Settings::integer(std::string_view name) const {
  const std::string& value = text(name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  TALLY_CHECK(error == std::errc() && end == value.data() + value.size(), "{} = \"{}\"", name,
              value);
  return number;
}

bool Settings::enabled(std::string_view name) const { return text(name) == "true"; }

bool Settings::has(std::string_view name) const { return !text(name).empty(); }

bool Settings::is_customary(std::string_view name) const {
  return std::find(customary_.begin(), customary_.end(), name) != customary_.end();
}

}  // namespace tally::runtime::config
