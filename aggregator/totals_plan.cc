#include "aggregator/totals_plan.h"

namespace tally::aggregator {

WindowKey TotalsPlan::key(const WindowKeyView& view) const {
  using core::Timestamp;
  return {texts->intern(view.tenant),
          texts->intern(view.dimensions),
          {Timestamp::from_seconds(view.start_seconds), Timestamp::from_seconds(view.end_seconds)},
          view.meter};
}

}  // namespace tally::aggregator
