// Times and amounts as text, with integer code of the generator's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::generator {

__extension__ using Wide = __int128;

inline constexpr std::int64_t kMicrosPerSecond = 1'000'000;
inline constexpr std::int64_t kDaySeconds = 86'400;

// "2026-11-21T08:00:00Z" and nothing else; microseconds since 1970.
[[nodiscard]] std::optional<std::int64_t> parse_utc(std::string_view text);
// With six fraction digits.
void append_utc(std::int64_t micros, std::string& out);

// A count of thousandths as plain decimal text: 12500 -> "12.5".
void append_thousandths(Wide thousandths, std::string& out);
[[nodiscard]] std::string thousandths_text(Wide thousandths);

}  // namespace tally::generator
