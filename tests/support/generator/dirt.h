// Records that must be rejected, one shape after the other.
#pragma once

#include "tests/support/generator/event_text.h"

#include <cstddef>
#include <string>

namespace tally::generator {

inline constexpr std::size_t kDirtShapes = 17;

// Spoils a good llm.completion event: shape `number` modulo kDirtShapes. The text may be invalid
// UTF-8, but holds neither a line feed nor a tab. `event.id` is left as the record's key is to be.
[[nodiscard]] std::string dirty_text(Event& event, std::size_t number);

}  // namespace tally::generator
