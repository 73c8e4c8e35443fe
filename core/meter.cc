#include "core/meter.h"

#include "core/check.h"

namespace tally::core {

std::string_view to_string(Aggregation aggregation) {
  switch (aggregation) {
    case Aggregation::kSum:
      return "sum";
    case Aggregation::kCount:
      return "count";
    case Aggregation::kMax:
      return "max";
    case Aggregation::kMin:
      return "min";
    case Aggregation::kLatest:
      return "latest";
    case Aggregation::kUniqueCount:
      return "unique_count";
  }
  check_failed("a known aggregation", __FILE__, __LINE__, "");
}

std::string_view to_string(WindowSize size) {
  switch (size) {
    case WindowSize::kMinute:
      return "minute";
    case WindowSize::kHour:
      return "hour";
    case WindowSize::kDay:
      return "day";
  }
  check_failed("a known window size", __FILE__, __LINE__, "");
}

}  // namespace tally::core
