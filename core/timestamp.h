// A moment in UTC, to the microsecond (Postgres' timestamptz keeps no more). A plain value.
#pragma once

#include "core/result.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tally::core {

class Timestamp {
 public:
  constexpr Timestamp() = default;
  static constexpr Timestamp from_micros(std::int64_t micros_since_1970) {
    return Timestamp(micros_since_1970);
  }
  static constexpr Timestamp from_millis(std::int64_t millis_since_1970) {
    return Timestamp(millis_since_1970 * 1000);
  }
  static constexpr Timestamp from_seconds(std::int64_t seconds_since_1970) {
    return Timestamp(seconds_since_1970 * 1'000'000);
  }
  [[nodiscard]] constexpr std::int64_t micros() const { return micros_; }
  [[nodiscard]] constexpr std::int64_t millis() const { return micros_ / 1000; }
  [[nodiscard]] constexpr std::int64_t seconds() const { return micros_ / 1'000'000; }
  friend constexpr auto operator<=>(const Timestamp&, const Timestamp&) = default;

 private:
  constexpr explicit Timestamp(std::int64_t micros) : micros_(micros) {}
  std::int64_t micros_ = 0;
};

// RFC 3339 with `T` or `t` (a space is refused), an offset or `Z`, years 1970..9999, any number of
// fraction digits up to 9 (those past the sixth are cut), leap second 60 read as the next second.
[[nodiscard]] Result<Timestamp> parse_rfc3339(std::string_view text);

// Whether an event may have this time: the years 1971 to 9998 in UTC (core/limits.h says why).
[[nodiscard]] bool is_event_time(Timestamp time);
// For people, to follow the name of what holds the time.
inline constexpr std::string_view kNoEventTime =
    "is outside the years 1971 to 9998 (UTC), in which events can be: give when it happened";

// `2026-11-21T08:00:00Z`, with `.ffffff` only where there is a fraction.
[[nodiscard]] std::string to_rfc3339(Timestamp time);
// The same without a string; returns how many bytes were written.
inline constexpr std::size_t kMaxRfc3339Bytes = 27;
[[nodiscard]] std::size_t write_rfc3339(Timestamp time, std::span<char, kMaxRfc3339Bytes> to);

}  // namespace tally::core
