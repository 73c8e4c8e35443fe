// What one core takes from another at once: what different threads write stands in different lines.
#pragma once

#include <cstddef>

namespace tally::producer {

inline constexpr std::size_t kLineBytes = 64;

}  // namespace tally::producer
