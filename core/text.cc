#include "core/text.h"

#include <algorithm>

namespace tally::core {

std::string printable_ascii(std::string_view text, std::size_t max_bytes) {
  std::string safe(text.substr(0, max_bytes));
  std::replace_if(safe.begin(), safe.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return safe;
}

}  // namespace tally::core
