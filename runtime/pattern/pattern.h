// Regular expressions with named groups, (?P<name>…), in time linear in the text whatever the
// pattern; RE2 is included by pattern.cc alone.
#pragma once

#include "core/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tally::runtime::pattern {

// Immutable. One thread at a time.
class Pattern {
 public:
  struct Impl;
  // An error says what RE2 does not like.
  [[nodiscard]] static core::Result<Pattern> compile(const std::string& expression);
  explicit Pattern(std::unique_ptr<Impl> impl);
  Pattern(Pattern&& other) noexcept;
  Pattern& operator=(Pattern&& other) noexcept;
  ~Pattern();

  // The names of its groups, in their order.
  [[nodiscard]] const std::vector<std::string>& groups() const;
  // Whether it is found anywhere in the text, which is UTF-8. `found` then holds a view into the
  // text for each of groups(); empty where the group took no part.
  [[nodiscard]] bool find(std::string_view text, std::vector<std::string_view>& found) const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::pattern
