#include "aggregator/batch_plan.h"

#include "core/check.h"

namespace tally::aggregator {

std::string_view to_string(RejectClass reject_class) {
  switch (reject_class) {
    case RejectClass::kRejected:
      return "rejected";
    case RejectClass::kConflict:
      return "conflict";
    case RejectClass::kLate:
      return "late";
    case RejectClass::kMeter:
      return "meter";
  }
  return "unknown";
}

void check_conservation(const BatchPlan& plan) {
  struct Sums {
    std::int64_t offsets = 0;
    std::int64_t counted = 0;
    std::int64_t claimed = 0;
    std::int64_t handed_off = 0;
    std::int64_t sent = 0;
    std::int64_t received = 0;
    std::int64_t taken = 0;
  };
  std::map<core::PartitionId, Sums> sums;
  for (const auto& [where, line] : plan.ledger) {
    TALLY_CHECK(line.consumed + line.received == line.classes(),
                "partition {} day {}: {} records, {} in classes", where.first.value(), where.second,
                line.consumed + line.received, line.classes());
    Sums& sum = sums[where.first];
    sum.offsets += line.consumed + line.skipped + line.lost;
    sum.counted += line.counted + line.readmitted;
    sum.handed_off += line.handed_off;
    sum.received += line.received;
  }
  for (const auto& [where, segment] : plan.segments) {
    sums[where.first].claimed += static_cast<std::int64_t>(segment.entries.size());
  }
  for (const auto& [way, blocks] : plan.handoffs) {
    TALLY_CHECK(way.first != way.second, "partition {} hands off to itself", way.first.value());
    sums[way.first].sent += blocks.records;
  }
  for (const auto& [home, rows] : plan.taken) {
    for (const HandoffTaken& row : rows) sums[home].taken += row.records;
  }
  for (const auto& [partition, advance] : plan.partitions) sums.try_emplace(partition);
  for (const auto& [partition, sum] : sums) {
    const auto advance = plan.partitions.find(partition);
    TALLY_CHECK(advance != plan.partitions.end(), "partition {} has no guard", partition.value());
    TALLY_CHECK(advance->second.next.value() - advance->second.start.value() == sum.offsets,
                "partition {}: {} offsets accounted for, but it moves from {} to {}",
                partition.value(), sum.offsets, advance->second.start.value(),
                advance->second.next.value());
    TALLY_CHECK(sum.counted == sum.claimed, "partition {}: {} counted, {} identities claimed",
                partition.value(), sum.counted, sum.claimed);
    TALLY_CHECK(sum.handed_off == sum.sent, "partition {}: {} handed off, {} on their way",
                partition.value(), sum.handed_off, sum.sent);
    TALLY_CHECK(sum.received == sum.taken, "partition {}: {} received, {} taken", partition.value(),
                sum.received, sum.taken);
  }
}

}  // namespace tally::aggregator
