// Request ids for callers that have none: UUIDs of version 7 (RFC 9562).
#pragma once

#include <chrono>
#include <string>

namespace tally::producer {

// "019ab0c4-1f2e-7…": 48 bits of `now` in milliseconds, then 74 random bits from the kernel, so
// that ids of forked or restored processes differ too. Two ids of one millisecond are in no order.
// Any thread.
[[nodiscard]] std::string new_request_id(
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace tally::producer
