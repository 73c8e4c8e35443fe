// An event out of any bytes: the lines are id, source, type, subject, time in microseconds (empty:
// none) and data, which may hold line breaks. Not yet validated.
#pragma once

#include "core/usage_event.h"

#include <string_view>

namespace tally::fuzz {

core::UsageEvent event_of_lines(std::string_view input);

}  // namespace tally::fuzz
