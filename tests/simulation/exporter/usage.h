// What was used, and what Stripe should show for it: written in longhand, and sharing no code with
// quantise.cc or export_plan.cc. Whole numbers only.
#pragma once

#include "core/window.h"
#include "exporter/series.h"
#include "tests/simulation/dice.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tally::simulation::exporting {

__extension__ using Whole = __int128;

inline constexpr int kUseDecimals = 6;  // of what is used

// A meter as the auditor sees it: the multiplier is `numerator` / `denominator`.
struct MeterFacts {
  std::int64_t numerator = 1;
  std::int64_t denominator = 1;
};

// A number in units of 10^-decimals.
[[nodiscard]] std::string text_of(Whole number, int decimals);

class Usage {
 public:
  // Draws series and periods; the first period begins before `start`, all end before `end`.
  Usage(Dice& dice, core::Timestamp start, core::Timestamp end);

  struct Book {
    Whole total = 0;  // millionths of tally's units; a gauge's reading
    bool used = false;
    std::optional<core::Timestamp> read_at;  // of a gauge
    // The targets that ever stood, zero included: what Stripe has may lie between them.
    Whole least = 0;
    Whole most = 0;
  };
  // Adds use of one series at `now`; `late`: of the period before. Returns what happened to it.
  enum class Kind { kNone, kGrew, kHuge, kCorrected, kLate, kStated };
  Kind use_one(core::Timestamp now);
  // Rounding at a period's close can move a target: call it whenever time has passed.
  void remember_targets(core::Timestamp now);

  // What Stripe should show, in units of 10^-decimals of the series.
  [[nodiscard]] Whole target(std::size_t series, std::size_t period, core::Timestamp now) const;
  [[nodiscard]] std::size_t period_at(core::Timestamp time) const;

  std::vector<exporter::Series> series;
  std::vector<core::Window> periods;
  std::map<std::pair<std::size_t, std::size_t>, Book> books;  // series, period

 private:
  void draw_series();
  Dice& dice_;
  std::vector<MeterFacts> facts_;  // of each series
};

}  // namespace tally::simulation::exporting
