// Times as other programs write them.
#pragma once

#include "core/result.h"
#include "core/timestamp.h"

#include <string>
#include <string_view>

namespace tally::producer::publish {

// Immutable.
class TimeFormat {
 public:
  TimeFormat() = default;  // rfc3339
  // "rfc3339", "unix" and "unix-ms" (since 1970, decimals allowed), "clf" (as in access logs:
  // 10/Oct/2026:13:55:36 -0700), or a pattern of strptime's (%E*S: seconds with a fraction); a
  // pattern without an offset (%z) is read as UTC. An error for anything else.
  [[nodiscard]] static core::Result<TimeFormat> of(std::string_view name);

  // An error: the sentence goes on from what holds the text.
  [[nodiscard]] core::Result<core::Timestamp> read(std::string_view text) const;

 private:
  enum class Kind { kRfc3339, kUnix, kUnixMillis, kPattern };
  Kind kind_ = Kind::kRfc3339;
  std::string pattern_;
};

}  // namespace tally::producer::publish
