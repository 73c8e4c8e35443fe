// Request ids for callers that have none: UUIDs of version 7 (RFC 9562).
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>

namespace tally::producer {

inline constexpr std::size_t kNewIdBytes = 36;

// "019ab0c4-1f2e-7…": 48 bits of `now` in milliseconds, then 74 random bits from the kernel, which
// each thread fetches for a few ids at once and a forked child fetches anew. Two ids of one
// millisecond are in no order. Any thread.
void write_request_id(std::chrono::system_clock::time_point now, std::span<char, kNewIdBytes> to);
[[nodiscard]] std::string new_request_id(
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

// 32 hex digits: 128 random bits from the kernel.
[[nodiscard]] std::string new_stream_id();

}  // namespace tally::producer
