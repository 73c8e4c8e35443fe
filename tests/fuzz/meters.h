// The catalogue of the targets that decode: each aggregation, filters of each kind of scalar, a
// member that is both read and looked into, deep paths. The types are those of schemas/events.
#pragma once

#include "aggregator/meter_set.h"

#include <memory>

namespace tally::fuzz {

std::shared_ptr<const aggregator::MeterSet> fixed_meters();

}  // namespace tally::fuzz
