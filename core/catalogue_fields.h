// Takes the members of one catalogue entry by name and keeps the first error, so that a parser
// reads as the list of its fields. Used by the catalogue's sources only. One thread at a time; the
// JSON value must outlive it.
#pragma once

#include "core/json_value.h"
#include "core/meter.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

struct Bytes {
  std::size_t max = 0;
};

class CatalogueFields {
 public:
  // `entry` names the place for error messages: `meter "ai_tokens"`.
  CatalogueFields(const JsonValue& value, std::string entry);

  // Each takes the member `name`. Where it is absent or null, optional_* give nullptr or nullopt
  // and the others an error; after an error everything gives empty values.
  const JsonValue* optional_value(std::string_view name);
  const JsonValue* array(std::string_view name);  // nullptr where absent
  std::string text(std::string_view name, Bytes limit);
  std::optional<std::string> optional_text(std::string_view name, Bytes limit);
  std::string slug(std::string_view name);  // [a-z][a-z0-9_]*, 1..64
  std::optional<Decimal> optional_decimal(std::string_view name);
  std::optional<JsonPath> optional_path(std::string_view name);
  bool optional_flag(std::string_view name);  // false where absent
  std::optional<int> optional_small_int(std::string_view name, int max);
  // The index of the text among `choices`, or `fallback` where it is absent.
  std::size_t choice(std::string_view name, std::span<const std::string_view> choices,
                     std::size_t fallback);
  bool has(std::string_view name) const { return value_.find(name) != nullptr; }

  // An error for every member that nothing above took.
  void refuse_unknown();
  // Records `message` about the field unless something failed before.
  void fail(std::string_view field, std::string_view message);
  void fail(Error error);
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  [[nodiscard]] Error error() const { return *error_; }
  [[nodiscard]] const std::string& entry() const { return entry_; }
  void rename(std::string entry) { entry_ = std::move(entry); }

 private:
  const JsonValue* take(std::string_view name);

  const JsonValue& value_;
  std::string entry_;
  std::vector<std::string_view> taken_;
  std::optional<Error> error_;
};

// Is it [a-z][a-z0-9_]*, 1..64 bytes?
[[nodiscard]] bool is_slug(std::string_view text);

// RFC 6901, object members only; the error says what is wrong with the pointer.
[[nodiscard]] Result<JsonPath> parse_pointer(std::string_view pointer);
[[nodiscard]] std::string to_pointer(const JsonPath& path);

}  // namespace tally::core
