// How this process keeps the memory that it freed.
#pragma once

namespace tally::runtime::lifecycle {

// Tells glibc to keep up to 256 MiB of freed memory, large blocks included, instead of giving it
// back to the kernel after each batch and having it zeroed again for the next. Once, first thing in
// main().
void keep_freed_memory();

}  // namespace tally::runtime::lifecycle
