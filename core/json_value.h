// A JSON document as a tree, for texts that are small and read by people, such as the catalogue.
// Numbers keep their text. Plain values.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

struct JsonValue {
  enum class Kind : std::uint8_t { kNull, kBoolean, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  std::string text;                 // a string's characters; a number's or boolean's text
  std::vector<std::string> names;   // of an object's members, in the text's order
  std::vector<JsonValue> children;  // elements of an array; values of an object, as `names`

  // nullptr where the object has no such member.
  [[nodiscard]] const JsonValue* find(std::string_view name) const;
};

// Errors name line, column and reason. An object that names a member twice is refused.
[[nodiscard]] Result<JsonValue> parse_json(std::string_view text);

// Canonical text: members sorted by name, no white space, numbers as they stood.
void append_canonical(const JsonValue& value, std::string& out);

}  // namespace tally::core
