// Text from outside, made safe to store, log and show.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tally::core {

// At most `max_bytes` of `text`, with every byte that is not printable ASCII replaced by '?': valid
// in any encoding, wherever it was cut. For what other people's servers say, never for ids or keys.
[[nodiscard]] std::string printable_ascii(std::string_view text, std::size_t max_bytes);

}  // namespace tally::core
