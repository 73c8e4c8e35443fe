// A record's headers as the bytes of tally.reject.record_headers, so that a kept record can be
// replayed as it was.
//
//   stored  := pairs | lengths
//   pairs   := (name NUL value NUL)*                      when no name and no value holds a NUL
//   lengths := (bytes32 name | bytes32 value)* 0x01       else
//   bytes32 := length u32, little-endian | that many bytes
//
// Pairs can be read in SQL and are what nearly every record has. They are empty or end in NUL, so
// the last byte tells the two apart.
#pragma once

#include "core/handoff.h"
#include "core/result.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::core {

[[nodiscard]] std::string join_headers(std::span<const HandoffHeader> headers);

// The views point into `stored`. An error: nothing that join_headers() makes.
[[nodiscard]] Result<std::vector<HandoffHeader>> split_headers(std::string_view stored);

}  // namespace tally::core
