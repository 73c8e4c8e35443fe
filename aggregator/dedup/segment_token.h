// The name of a segment: the dedup entries that one commit, or one roll-up, stored for a partition
// and day. Sixteen random bytes, so that a name is never met again in another past of the database:
// what a local run says of a segment holds exactly where the database still knows its token.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tally::aggregator::dedup {

struct SegmentToken {
  std::array<std::byte, 16> bytes{};

  friend constexpr auto operator<=>(const SegmentToken&, const SegmentToken&) = default;

  // From the kernel: never cut short, never interrupted.
  [[nodiscard]] static SegmentToken random();

  // As Postgres writes a uuid: 8-4-4-4-12 lower-case hex digits.
  [[nodiscard]] std::string to_uuid_text() const;
  // Such a text, in either case; nullopt for anything else.
  [[nodiscard]] static std::optional<SegmentToken> from_uuid_text(std::string_view text);
};

}  // namespace tally::aggregator::dedup

template <>
struct std::hash<tally::aggregator::dedup::SegmentToken> {
  std::size_t operator()(const tally::aggregator::dedup::SegmentToken& token) const noexcept {
    std::uint64_t words[2];
    std::memcpy(words, token.bytes.data(), sizeof(words));
    return words[0] ^ words[1];  // random bytes already
  }
};
