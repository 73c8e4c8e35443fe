// Always-on assertions for programmer errors: a broken invariant of a billing system must stop the
// process before it commits, in release builds too. Expected failures are Results, never CHECKs.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace tally::core {

// Prints the expression, its place and the values to stderr, then aborts. Any thread.
[[noreturn]] void check_failed(std::string_view expression, std::string_view file, int line,
                               std::string_view values);

}  // namespace tally::core

// TALLY_CHECK(condition) or TALLY_CHECK(condition, "format {}", value...): true, or the process
// aborts.
#define TALLY_CHECK(condition, ...)                                                               \
  do {                                                                                            \
    if (!(condition)) [[unlikely]] {                                                              \
      ::tally::core::check_failed(#condition, __FILE__, __LINE__, ::fmt::format("" __VA_ARGS__)); \
    }                                                                                             \
  } while (false)
