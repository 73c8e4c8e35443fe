#include "core/unique_value.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tally::core {
namespace {

IdentityHasher::Key key_of(std::size_t seed) {
  IdentityHasher::Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) key.at(i) = static_cast<std::byte>(i + 7 * seed);
  return key;
}

// The bits are a stored format: sets in the database would count every value anew.
TEST(UniqueValue, BitsArePinned) {
  const IdentityHasher hasher(key_of(1));
  const UniqueValue value = unique_value(hasher, ValueKind::kText, "alice");
  EXPECT_EQ(value.hi, 5318187068198272961U);
  EXPECT_EQ(value.lo, 17422414315854820398U);
}

TEST(UniqueValue, KindsTextsAndKeysTellValuesApart) {
  const IdentityHasher hasher(key_of(1));
  const IdentityHasher other(key_of(2));
  std::set<UniqueValue> seen;
  for (const ValueKind kind : {ValueKind::kText, ValueKind::kNumber, ValueKind::kBoolean}) {
    for (const char* text : {"", "5", "true", "alice", "Alice", "alice "}) {
      EXPECT_TRUE(seen.insert(unique_value(hasher, kind, text)).second) << text;
      EXPECT_TRUE(seen.insert(unique_value(other, kind, text)).second) << text;
      EXPECT_EQ(unique_value(hasher, kind, text), unique_value(hasher, kind, text));
    }
  }
  const std::string large(60'000, 'x');
  EXPECT_TRUE(seen.insert(unique_value(hasher, ValueKind::kText, large)).second);
  EXPECT_TRUE(seen.insert(unique_value(hasher, ValueKind::kText, large + "x")).second);
}

}  // namespace
}  // namespace tally::core
