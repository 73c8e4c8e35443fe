// Stripe's form bodies: flat `key=value` pairs whose keys may carry brackets, literal or escaped.
#pragma once

#include "tests/support/sandbox/reply.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::sandbox {

// One parameter that an endpoint takes. `name` is the whole key ("cancel[identifier]"); a name that
// ends in "[]" takes any index there or none, "[*]" any key without brackets, and "[#]" anywhere an
// index ("items[#][price]"). Only values under "[*]" may be empty.
struct Parameter {
  std::string_view name;
  bool required = false;
  std::size_t max_characters = 0;  // 0: without bound
};

// The parameters of one request by their whole key. A key that ends in "[]" may be there again and
// again; check() refuses any other that is. Plain value.
class Form {
 public:
  [[nodiscard]] static Form parse(std::string_view text);
  [[nodiscard]] std::optional<std::string> find(std::string_view key) const;
  [[nodiscard]] std::string get(std::string_view key, std::string_view otherwise = "") const;
  // "payload" -> what payload[…] holds, by inner key.
  [[nodiscard]] std::map<std::string, std::string> map_of(std::string_view name) const;
  // "items" -> what items[0][…], items[1][…] hold, each as a form of its own, by index.
  [[nodiscard]] std::map<std::size_t, Form> forms_of(std::string_view name) const;
  // "lookup_keys" -> the values of lookup_keys[], lookup_keys[0], …
  [[nodiscard]] std::vector<std::string> list_of(std::string_view name) const;
  // A parameter that is unknown, there twice, too long, empty or missing, as Stripe words it.
  [[nodiscard]] Refused check(const std::vector<Parameter>& known) const;
  // The integer under `key`; a text that is none is refused.
  [[nodiscard]] Refused integer(std::string_view key, std::optional<std::int64_t>& out) const;
  // `true` or `false` under `key`; anything else is refused.
  [[nodiscard]] Refused boolean(std::string_view key, std::optional<bool>& out) const;
  // The same for equal parameters in whatever order and escaping.
  [[nodiscard]] std::string fingerprint() const;
  // Refuses any parameter, as unknown.
  [[nodiscard]] Refused check_empty() const { return check({}); }
  // Refuses what is no UTF-8.
  [[nodiscard]] Refused check_text() const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::vector<std::string>> others_;  // "x[]" -> its values after the first
  std::string repeated_;  // another key that is there twice; "": none
};

// As RFC 3629 has it: no overlong forms, no surrogates.
[[nodiscard]] bool is_utf8(std::string_view text);
// Unicode characters, as Stripe's limits count.
[[nodiscard]] std::size_t count_characters(std::string_view utf8);

}  // namespace tally::sandbox
