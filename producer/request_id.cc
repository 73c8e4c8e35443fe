#include "producer/request_id.h"

#include "core/check.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace tally::producer {

std::string new_request_id(std::chrono::system_clock::time_point now) {
  std::array<std::uint8_t, 16> bytes{};
  // 16 bytes are never cut short and never interrupted once the kernel's pool is ready.
  const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
  TALLY_CHECK(got == static_cast<ssize_t>(bytes.size()), "getrandom gave {} bytes", got);
  const auto millis = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  for (std::size_t i = 0; i < 6; ++i) {
    bytes[i] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  }
  bytes[6] = static_cast<std::uint8_t>(0x70U | (bytes[6] & 0x0fU));  // version 7
  bytes[8] = static_cast<std::uint8_t>(0x80U | (bytes[8] & 0x3fU));  // RFC 9562's variant
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4U];
    out += kHex[bytes[i] & 0xfU];
  }
  return out;
}

}  // namespace tally::producer
