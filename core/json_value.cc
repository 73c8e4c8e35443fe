#include "core/json_value.h"

#include "core/json_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

namespace tally::core {
namespace {

bool read(JsonCursor& cursor, JsonValue& value);

bool read_members(JsonCursor& cursor, JsonValue& value) {
  while (cursor.more('}')) {
    if (!cursor.read_name(value.names.emplace_back())) return false;
    if (!read(cursor, value.children.emplace_back())) return false;
  }
  if (cursor.failed()) return false;
  std::vector<std::string_view> names(value.names.begin(), value.names.end());
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) == names.end() ||
         cursor.fail("the object that ends here names a member twice");
}

bool read_elements(JsonCursor& cursor, JsonValue& value) {
  while (cursor.more(']')) {
    if (!read(cursor, value.children.emplace_back())) return false;
  }
  return !cursor.failed();
}

bool read_scalar(JsonCursor& cursor, char start, JsonValue& value) {
  std::string_view raw;
  if (start == 't' || start == 'f' || start == 'n') {
    if (!cursor.read_word(raw)) return false;
    value.kind = start == 'n' ? JsonValue::Kind::kNull : JsonValue::Kind::kBoolean;
  } else {
    if (!cursor.read_number(raw)) return false;
    value.kind = JsonValue::Kind::kNumber;
  }
  value.text = raw;
  return true;
}

bool read(JsonCursor& cursor, JsonValue& value) {
  switch (const char start = cursor.peek(); start) {
    case '{':
      value.kind = JsonValue::Kind::kObject;
      return cursor.open('{') && read_members(cursor, value);
    case '[':
      value.kind = JsonValue::Kind::kArray;
      return cursor.open('[') && read_elements(cursor, value);
    case '"':
      value.kind = JsonValue::Kind::kString;
      return cursor.read_string(value.text);
    default:
      return read_scalar(cursor, start, value);
  }
}

Error error_at(std::string_view text, std::size_t offset, std::string_view problem) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is the first line's 0
  return invalid(fmt::format("line {}, column {}: {}", line, offset - line_start + 1, problem));
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return nullptr;
  return &children[static_cast<std::size_t>(found - names.begin())];
}

Result<JsonValue> parse_json(std::string_view text) {
  if (!valid_utf8(text)) return invalid("the text is not UTF-8: save it so");
  JsonCursor cursor(text);
  JsonValue value;
  if (read(cursor, value) && !cursor.at_end()) {
    static_cast<void>(cursor.fail("something follows the document"));
  }
  if (cursor.failed()) return error_at(text, cursor.offset(), cursor.problem());
  return value;
}

void append_canonical(const JsonValue& value, std::string& out) {
  using Kind = JsonValue::Kind;
  if (value.kind == Kind::kString) {
    append_json_string(value.text, out);
    return;
  }
  if (value.kind != Kind::kObject && value.kind != Kind::kArray) {
    out += value.text;
    return;
  }
  const bool is_object = value.kind == Kind::kObject;
  std::vector<std::size_t> order(value.children.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (is_object) {
    std::sort(order.begin(), order.end(),
              [&value](std::size_t a, std::size_t b) { return value.names[a] < value.names[b]; });
  }
  out += is_object ? '{' : '[';
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i != 0) out += ',';
    if (is_object) {
      append_json_string(value.names[order[i]], out);
      out += ':';
    }
    append_canonical(value.children[order[i]], out);
  }
  out += is_object ? '}' : ']';
}

}  // namespace tally::core
