// What one commit writes, as data: the plan of a batch, with its preconditions. Made by Fold
// without I/O, executed by one TotalsStore in one transaction (promise P3). A plan may be executed
// again after a failure: its guard makes the second execution a no-op or a fence.
#pragma once

#include "aggregator/dedup/memory.h"
#include "aggregator/dedup/segment_token.h"
#include "aggregator/handoff.h"
#include "aggregator/meter_set.h"
#include "aggregator/totals_plan.h"
#include "core/identity.h"
#include "core/ids.h"
#include "core/timestamp.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::aggregator {

using RecordDigest = std::array<std::byte, 16>;

// The guard of one partition: the commit holds only where the stored row has exactly this owner's
// epoch, this generation and this start.
struct PartitionAdvance {
  core::Epoch epoch;
  core::Generation generation;
  core::Offset start;
  core::Offset next;
  std::optional<core::Offset> last_offset;  // the last record consumed in this plan
  std::optional<RecordDigest> last_digest;
  std::optional<core::Timestamp> last_log_time;  // the partition's clock after this plan
  std::int64_t stored_segments = 0;              // as PartitionState's, no part of the guard
};

// One line of the balance sheet (promise P2).
struct LedgerDelta {
  std::int64_t consumed = 0;
  std::int64_t received = 0;
  std::int64_t handed_off = 0;
  std::int64_t rejected = 0;
  std::int64_t unmetered = 0;
  std::int64_t filtered = 0;
  std::int64_t duplicate = 0;
  std::int64_t conflict = 0;
  std::int64_t late = 0;
  std::int64_t counted = 0;
  std::int64_t readmitted = 0;    // counted after an admin replayed it
  std::int64_t skipped = 0;       // offsets without a record: control records, aborted transactions
  std::int64_t lost = 0;          // offsets gone before they were read
  std::int64_t unverifiable = 0;  // of `duplicate`

  [[nodiscard]] std::int64_t classes() const {
    return handed_off + rejected + unmetered + filtered + duplicate + conflict + late + counted +
           readmitted;
  }
};

enum class RejectClass : std::uint8_t { kRejected, kConflict, kLate, kMeter };
[[nodiscard]] std::string_view to_string(RejectClass reject_class);

struct RejectRow {
  core::PartitionId partition;
  core::Offset offset;
  std::string meter;  // empty: the whole record
  RejectClass reject_class = RejectClass::kRejected;
  std::string_view reason;  // static text
  std::string detail;
  core::Timestamp log_time;
  std::string tenant;  // empty: could not be read
  std::string key;
  std::string value;
  std::string headers;  // core/stored_headers.h
  // False: past the commit's budget, of a replayed record, whose row in tally.reject has them.
  bool has_bytes = true;
};

struct OffsetRange {
  core::PartitionId partition;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t rows = 0;
};

// The identities that one plan claims in a partition on a day of the log; committed as one row.
struct Segment {
  dedup::SegmentToken token;  // set when the plan is submitted
  std::vector<core::DedupEntry> entries;
};

struct BatchPlan {
  std::string topic;
  std::shared_ptr<const MeterSet>
      meters;  // the catalogue it was folded under, checked by the commit
  std::map<core::PartitionId, PartitionAdvance> partitions;
  std::map<std::pair<core::PartitionId, LogDay>, LedgerDelta> ledger;
  std::map<std::pair<core::PartitionId, LogDay>, Segment> segments;
  // Records whose home is another partition, by where they were read and their home.
  std::map<std::pair<core::PartitionId, core::PartitionId>, HandoffBlocks> handoffs;
  std::int64_t handoff_bytes = 0;
  // Rows of tally.handoff that were folded, by their home: the commit removes just these, and is
  // fenced when one of them is gone.
  std::map<core::PartitionId, std::vector<HandoffTaken>> taken;
  TotalsPlan totals;
  std::vector<RejectRow> rejects;
  std::int64_t reject_bytes = 0;
  std::vector<OffsetRange> reject_overflow;
  std::vector<OffsetRange> lost;
  std::map<std::pair<std::uint16_t, LogDay>, std::int64_t> meter_rejects;
  std::int64_t records = 0;
  std::int32_t topic_partitions = 0;  // under which homes were computed; stored with each segment

  [[nodiscard]] bool empty() const { return partitions.empty(); }
};

// CHECKs promise P2 on the plan itself, before it is executed: per partition and day every record
// is in one class, per partition the offsets are all accounted for, and exactly the counted records
// claim an identity.
void check_conservation(const BatchPlan& plan);

}  // namespace tally::aggregator
