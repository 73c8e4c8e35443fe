#include "exporter/doctor/finding.h"

#include "core/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace tally::exporter::doctor {
namespace {

constexpr std::size_t kMostShownBytes = 1'000;

std::string_view word(Level level) {
  constexpr std::array<std::string_view, 3> kWords = {"ok", "warn", "fail"};
  return kWords[static_cast<std::size_t>(level)];
}

std::string shown(std::string_view text) { return core::printable_ascii(text, kMostShownBytes); }

}  // namespace

Level worst(const Findings& findings) {
  Level level = Level::kOk;
  for (const Finding& finding : findings) level = std::max(level, finding.level);
  return level;
}

std::string text_of(const Findings& findings) {
  std::size_t width = 0;
  std::array<std::size_t, 3> counts{};
  for (const Finding& finding : findings) {
    width = std::max(width, shown(finding.check).size());
    ++counts[static_cast<std::size_t>(finding.level)];
  }
  std::string out;
  for (const Finding& finding : findings) {
    out += fmt::format("{:<4}  {:<{}}  {}\n", word(finding.level), shown(finding.check), width,
                       shown(finding.says));
    if (!finding.next.empty())
      out += fmt::format("{:<4}  {:<{}}  -> {}\n", "", "", width, shown(finding.next));
  }
  return out + fmt::format("{} ok, {} warnings, {} failed.\n", counts[0], counts[1], counts[2]);
}

std::string json_of(const Findings& findings) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    checks.push_back({{"check", shown(finding.check)},
                      {"level", word(finding.level)},
                      {"says", shown(finding.says)},
                      {"next", shown(finding.next)}});
  }
  const nlohmann::ordered_json report = {{"result", word(worst(findings))}, {"checks", checks}};
  return report.dump() + "\n";
}

}  // namespace tally::exporter::doctor
