// What the doctor found, and how it is shown. Plain values; pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally::exporter::doctor {

enum class Level : std::uint8_t { kOk, kWarn, kFail };

struct Finding {
  Level level = Level::kOk;
  std::string check;  // "stripe key", "meter tokens"
  std::string says;   // one line
  std::string next;   // what to do; "" where there is nothing to do
};
using Findings = std::vector<Finding>;

// The worst of them; kOk of none.
[[nodiscard]] Level worst(const Findings& findings);
// Columns, a line for what is to be done below each, and a line that sums up. Texts of others are
// shown as printable ASCII.
[[nodiscard]] std::string text_of(const Findings& findings);
// {"result":…,"checks":[{"check":…,"level":…,"says":…,"next":…}]} and a line's end.
[[nodiscard]] std::string json_of(const Findings& findings);

}  // namespace tally::exporter::doctor
