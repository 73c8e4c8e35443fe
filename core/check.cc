#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace tally::core {

void check_failed(std::string_view expression, std::string_view file, int line,
                  std::string_view values) {
  fmt::print(stderr, "CHECK failed: {} at {}:{} {}\n", expression, file, line, values);
  std::fflush(stderr);
  std::abort();
}

}  // namespace tally::core
