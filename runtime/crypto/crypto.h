// Keyed hashes and randomness; OpenSSL is included by crypto.cc alone. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tally::runtime::crypto {

using Digest = std::array<std::uint8_t, 32>;

[[nodiscard]] Digest hmac_sha256(std::string_view key, std::string_view text);

// Takes equally long wherever the two differ.
[[nodiscard]] bool equal(const Digest& a, const Digest& b);

// That many random bytes of the kernel's (1 to 128) as lower-case hex.
[[nodiscard]] std::string random_hex(std::size_t bytes);

[[nodiscard]] std::string to_hex(const Digest& digest);
// 64 hex digits, of either case; nullopt: something else.
[[nodiscard]] std::optional<Digest> digest_of_hex(std::string_view hex);

}  // namespace tally::runtime::crypto
