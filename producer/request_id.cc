#include "producer/request_id.h"

#include "core/check.h"
#include "producer/fork_guard.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tally::producer {
namespace {

// `00` to `ff`, one behind the other.
constexpr auto kHexPairs = [] {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<char, 512> pairs{};
  for (std::size_t i = 0; i < 256; ++i) {
    pairs[2 * i] = kHex[i >> 4U];
    pairs[2 * i + 1] = kHex[i & 0xfU];
  }
  return pairs;
}();
constexpr std::size_t kIdRandomBytes = 10;
// One system call for 24 ids: cheap for each, and none waits long for it.
constexpr std::size_t kFetchedBytes = 24 * kIdRandomBytes;

void fill_random(std::span<std::uint8_t> to) {
  // Up to 256 bytes are never cut short and never interrupted once the kernel's pool is ready.
  const ssize_t got = ::getrandom(to.data(), to.size(), 0);
  TALLY_CHECK(got == static_cast<ssize_t>(to.size()), "getrandom gave {} bytes", got);
}

struct Randomness {
  std::array<std::uint8_t, kFetchedBytes> bytes;
  std::size_t used = kFetchedBytes;
  std::uint64_t generation = 0;  // of the process that fetched it

  const std::uint8_t* take() {
    const std::uint64_t now = process_generation();
    if (used == kFetchedBytes || generation != now) {
      fill_random(bytes);
      used = 0;
      generation = now;
    }
    used += kIdRandomBytes;
    return bytes.data() + used - kIdRandomBytes;
  }
};

static_assert(kFetchedBytes <= 256);

char* put_hex(std::span<const std::uint8_t> bytes, char* to) {
  for (const std::uint8_t byte : bytes) {
    std::memcpy(to, kHexPairs.data() + 2UL * byte, 2);
    to += 2;
  }
  return to;
}

}  // namespace

void write_request_id(std::chrono::system_clock::time_point now, std::span<char, kNewIdBytes> to) {
  thread_local Randomness randomness;
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data() + 6, randomness.take(), kIdRandomBytes);
  const auto millis = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  for (std::size_t i = 0; i < 6; ++i) {
    bytes[i] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  }
  bytes[6] = static_cast<std::uint8_t>(0x70U | (bytes[6] & 0x0fU));  // version 7
  bytes[8] = static_cast<std::uint8_t>(0x80U | (bytes[8] & 0x3fU));  // RFC 9562's variant
  const std::span<const std::uint8_t> all(bytes);
  char* at = put_hex(all.first(4), to.data());
  for (const std::size_t first : {4UL, 6UL, 8UL}) {
    *at++ = '-';
    at = put_hex(all.subspan(first, 2), at);
  }
  *at++ = '-';
  put_hex(all.subspan(10), at);
}

std::string new_request_id(std::chrono::system_clock::time_point now) {
  std::array<char, kNewIdBytes> id;
  write_request_id(now, id);
  return {id.data(), id.size()};
}

std::string new_stream_id() {
  std::array<std::uint8_t, 16> bytes;
  fill_random(bytes);
  std::array<char, 32> id;
  put_hex(bytes, id.data());
  return {id.data(), id.size()};
}

}  // namespace tally::producer
