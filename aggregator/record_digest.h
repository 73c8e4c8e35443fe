// What a record looked like, to tell a recreated topic from the one that was read before.
#pragma once

#include "aggregator/batch_plan.h"
#include "runtime/kafka/consumer.h"

namespace tally::aggregator {

// XXH3-128 of offset, log time, key and value. Not a secret and not against attackers: against
// accidents.
[[nodiscard]] RecordDigest record_digest(const runtime::kafka::Record& record);

}  // namespace tally::aggregator
