// Tells a process that it is a fork of the one that it was.
#pragma once

#include <cstdint>

namespace tally::producer {

// A number that is another in a child of fork() than in its parent. Costs a load. Any thread. A
// child made by the clone system call itself, or by _Fork(), is not noticed.
[[nodiscard]] std::uint64_t process_generation();

}  // namespace tally::producer
