#include "core/eight_bytes.h"

#include "aggregator/name_head.h"

#include <gtest/gtest.h>

#include <string>

namespace tally::aggregator {
namespace {

using core::any_byte;
using core::controls_of;
using core::EightBytes;
using core::equals_of;
using core::not_ascii_of;

// Each byte at each place of texts around the words' size, alone and with its neighbours beside it.
TEST(EightBytes, EachByteIsFoundWhereverItStands) {
  for (std::size_t size = 1; size <= 25; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, '!');
        text[at] = static_cast<char>(byte);
        if (at != 0) text[at - 1] = '#';  // next to the quote
        EXPECT_EQ(any_byte(text, controls_of), byte < 0x20) << byte << " at " << at;
        EXPECT_EQ(any_byte(text, not_ascii_of), byte > 0x7f) << byte << " at " << at;
        const auto quotes = [](EightBytes bytes) { return equals_of(bytes, '"'); };
        EXPECT_EQ(any_byte(text, quotes), byte == '"') << byte << " at " << at;
        for (std::size_t from = 0; from <= size; ++from) {
          const bool comes = byte == '"' && at >= from;
          EXPECT_EQ(core::first_byte(text, from, quotes), comes ? at : size)
              << byte << " at " << at;
        }
      }
    }
  }
  EXPECT_FALSE(any_byte("", controls_of));
}

TEST(NameHead, IsTheSameWhateverFollows) {
  const std::string text = "a name that goes on";
  for (std::size_t size = 0; size <= 11; ++size) {
    const std::string_view name = std::string_view(text).substr(0, size);
    EXPECT_EQ(head_of_readable(name), head_of(name)) << size;
    EXPECT_EQ(head_of(name) == head_of("a name"), size == 6) << size;
  }
  static_assert(head_of("dimension_1") == head_of("dimension_2"));
}

}  // namespace
}  // namespace tally::aggregator
