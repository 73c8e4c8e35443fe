#include "tests/fuzz/meters.h"

#include "core/catalogue.h"
#include "core/check.h"

#include <string_view>

namespace tally::fuzz {
namespace {

constexpr std::string_view kCatalogue = R"({"meters": [
  {"slug": "calls", "event_type": "api.request", "aggregation": "count",
   "group_by": {"api_key": "/api_key", "status": "/status"},
   "where": [{"field": "/status", "in": ["ok", 200, true, null]}]},
  {"slug": "tokens", "event_type": "llm.completion", "aggregation": "sum", "value": "/tokens",
   "group_by": {"model": "/model"}, "where": [{"field": "/status", "not_in": ["error", false]}]},
  {"slug": "tokens_cached", "event_type": "llm.completion", "aggregation": "sum",
   "value": "/usage/cached", "allow_negative": true, "window": "minute"},
  {"slug": "usage_seen", "event_type": "llm.completion", "aggregation": "max",
   "value": "/usage/detail/cost", "group_by": {"usage": "/usage"}, "window": "day"},
  {"slug": "tokens_least", "event_type": "llm.completion", "aggregation": "min",
   "value": "/tokens"},
  {"slug": "members", "event_type": "team.changed", "aggregation": "latest", "value": "/members"},
  {"slug": "megabytes", "event_type": "storage.measured", "aggregation": "latest",
   "value": "/megabytes", "group_by": {"bucket": "/bucket"}}
]})";

}  // namespace

std::shared_ptr<const aggregator::MeterSet> fixed_meters() {
  static const auto kMeters = [] {
    const auto catalogue = core::parse_catalogue(kCatalogue);
    TALLY_CHECK(catalogue, "{}", catalogue.error().message);
    return std::make_shared<const aggregator::MeterSet>(
        catalogue.value().meters, core::CatalogueVersion(1), core::CatalogueVersion(1));
  }();
  return kMeters;
}

}  // namespace tally::fuzz
