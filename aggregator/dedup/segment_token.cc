#include "aggregator/dedup/segment_token.h"

#include "core/check.h"

#include <sys/random.h>

namespace tally::aggregator::dedup {
namespace {

constexpr std::size_t kTextSize = 36;

constexpr bool is_dash_at(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

std::optional<unsigned> digit_of(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

}  // namespace

SegmentToken SegmentToken::random() {
  SegmentToken token;
  // 16 bytes are never cut short and never interrupted once the kernel's pool is ready.
  const ssize_t got = getrandom(token.bytes.data(), token.bytes.size(), 0);
  TALLY_CHECK(got == static_cast<ssize_t>(token.bytes.size()), "getrandom gave {} bytes", got);
  return token;
}

std::string SegmentToken::to_uuid_text() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(kTextSize);
  for (const std::byte byte : bytes) {
    if (is_dash_at(text.size())) text += '-';
    text += kDigits[std::to_integer<unsigned>(byte) >> 4U];
    text += kDigits[std::to_integer<unsigned>(byte) & 0xfU];
  }
  return text;
}

std::optional<SegmentToken> SegmentToken::from_uuid_text(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  SegmentToken token;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_dash_at(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const auto digit = digit_of(text[i]);
    if (!digit) return std::nullopt;
    std::byte& byte = token.bytes[digits / 2];
    byte = byte << 4U | std::byte(*digit);
    ++digits;
  }
  return token;
}

}  // namespace tally::aggregator::dedup
