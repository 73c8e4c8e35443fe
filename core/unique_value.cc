#include "core/unique_value.h"

#include <string>

namespace tally::core {

UniqueValue unique_value(const IdentityHasher& hasher, ValueKind kind, std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() + 1);
  bytes += static_cast<char>(kind);
  bytes += text;
  const auto digest = hasher.digest(bytes);
  return {digest[0], digest[1]};
}

}  // namespace tally::core
