#include "runtime/crypto/crypto.h"

#include "core/check.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <span>

namespace tally::runtime::crypto {
namespace {

constexpr std::size_t kMaxRandomBytes = 128;

std::string hex_of(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    out += kHex[byte >> 4U];
    out += kHex[byte & 0xfU];
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

Digest hmac_sha256(std::string_view key, std::string_view text) {
  Digest digest{};
  unsigned size = 0;
  const unsigned char* const made = ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                           reinterpret_cast<const unsigned char*>(text.data()),
                                           text.size(), digest.data(), &size);
  TALLY_CHECK(made != nullptr && size == digest.size(), "HMAC gave {} bytes", size);
  return digest;
}

bool equal(const Digest& a, const Digest& b) {
  return ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_hex(std::size_t bytes) {
  TALLY_CHECK(bytes >= 1 && bytes <= kMaxRandomBytes, "{} bytes", bytes);
  std::array<std::uint8_t, kMaxRandomBytes> random{};
  // Up to 256 bytes are never cut short and never interrupted once the kernel's pool is ready.
  const ssize_t got = ::getrandom(random.data(), bytes, 0);
  TALLY_CHECK(got == static_cast<ssize_t>(bytes), "getrandom gave {} bytes", got);
  return hex_of({random.data(), bytes});
}

std::string to_hex(const Digest& digest) { return hex_of(digest); }

std::optional<Digest> digest_of_hex(std::string_view hex) {
  Digest digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const int high = hex_digit(hex[2 * i]);
    const int low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return digest;
}

}  // namespace tally::runtime::crypto
