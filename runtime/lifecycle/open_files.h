// How many files (connections among them) this process may have open.
#pragma once

#include <cstddef>

namespace tally::runtime::lifecycle {

// Raises the soft limit of open files to the hard one; returns the limit that holds then, or the
// largest number where the system tells none. Any thread.
std::size_t raise_open_files();

}  // namespace tally::runtime::lifecycle
