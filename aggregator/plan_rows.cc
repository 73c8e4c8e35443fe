#include "aggregator/plan_rows.h"

namespace tally::aggregator {

TextRanks::TextRanks(const PlanTexts& texts)
    : texts_(texts.begin(), texts.end()), ranks_(texts.size()) {
  std::vector<const PlanText*> ordered = texts_;
  std::sort(ordered.begin(), ordered.end(),
            [](const PlanText* a, const PlanText* b) { return a->view() < b->view(); });
  for (std::size_t rank = 0; rank < ordered.size(); ++rank)
    ranks_[ordered[rank]->number()] = static_cast<std::uint32_t>(rank);
}

PlanRows::PlanRows(const TotalsPlan& totals)
    : plan(totals),
      ranks(*totals.texts),
      usage(sorted(totals.usage, ranks)),
      gauges(sorted(totals.gauges, ranks)),
      maxima(sorted(totals.maxima, ranks)),
      minima(sorted(totals.minima, ranks)),
      uniques(sorted(totals.uniques, ranks)) {}

}  // namespace tally::aggregator
