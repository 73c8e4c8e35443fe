// The tables of schemas/postgres as far as the aggregator writes them, as plain values. Rows that
// snapshots must tell apart carry the commits that made and removed them, as Postgres' tuples do.
#pragma once

#include "aggregator/batch_plan.h"
#include "aggregator/span_totals.h"
#include "aggregator/tenant_book.h"
#include "core/extreme_reading.h"
#include "core/gauge_reading.h"
#include "core/unique_value.h"
#include "core/usage_delta.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace tally::simulation {

using aggregator::LogDay;
using CommitNumber = std::uint64_t;

struct PartitionRow {
  std::string owner;
  std::int64_t epoch = 0;
  std::int64_t generation = 1;
  std::int64_t base = 0;
  std::int64_t next = 0;
  std::optional<std::int64_t> last_offset;
  std::optional<aggregator::RecordDigest> last_digest;
  core::Timestamp last_log_time;
  CommitNumber changed = 0;
};

struct SegmentRow {
  std::int32_t partition = 0;
  LogDay day = 0;
  std::int32_t topic_partitions = 0;
  aggregator::dedup::SegmentToken token;
  std::vector<aggregator::dedup::SegmentToken> replaces;  // of a roll-up
  std::vector<core::DedupEntry> entries;
  CommitNumber created = 0;
  CommitNumber removed = 0;  // 0: it stands
};

struct HandoffStored {
  std::int32_t source = 0;
  std::int32_t home = 0;
  std::int64_t records = 0;
  std::string bytes;
  LogDay first_day = 0;
  LogDay last_day = 0;
  bool readmission = false;
};

// Tenant, meter, start of the window, dimensions.
using TotalKey = std::tuple<std::string, std::string, std::int64_t, std::string>;

// Tenant, meter, span, its start, dimensions ("{}" where they are merged).
using SpanTotalKey =
    std::tuple<std::string, std::string, aggregator::Span, std::int64_t, std::string>;

// A row of unique_set with its members.
struct UniqueStored {
  std::set<core::UniqueValue> members;
  std::int64_t events = 0;

  void merge(const UniqueStored& other) {
    members.insert(other.members.begin(), other.members.end());
    events += other.events;
  }
};

// What the commit that made a row of a span said of it; later ones leave it.
struct SpanEdge {
  std::int64_t end_seconds = 0;
  std::int32_t first_date = 0;
};

// A row of billing_period.
struct PeriodRow {
  std::string tenant;
  std::int64_t start_seconds = 0;
  std::int64_t end_seconds = 0;
};

// The tenants of one version of the catalogue: the book and its periods are of one mind.
struct TenantRows {
  std::shared_ptr<const aggregator::TenantBook> book;
  std::vector<PeriodRow> periods;
};

struct RejectStored {
  aggregator::RejectClass reject_class = aggregator::RejectClass::kRejected;
  std::string reason;
  std::int64_t verdicts = 0;  // of a record that was replayed, several
};

struct Tables {
  std::string topic;
  std::int32_t partitions = 0;
  std::int64_t generation = 1;
  std::int64_t horizon_seconds = 0;
  std::int64_t future_bound_seconds = 0;
  std::optional<LogDay> dropped_before;
  std::size_t catalogue = 0;  // which of the simulated catalogues is in force
  std::map<std::int32_t, PartitionRow> states;
  std::map<std::pair<std::int32_t, LogDay>, aggregator::LedgerDelta> ledger;
  std::map<std::int64_t, SegmentRow> segments;
  std::map<std::int64_t, HandoffStored> handoffs;
  std::int64_t next_segment = 1;
  std::int64_t next_handoff = 1;
  std::map<TotalKey, core::UsageDelta> usage;
  std::map<TotalKey, core::GaugeReading> gauges;
  std::map<TotalKey, core::MaxReading> maxima;
  std::map<TotalKey, core::MinReading> minima;
  std::map<TotalKey, UniqueStored> uniques;
  std::map<TotalKey, std::int64_t> window_ends;  // of all of them
  std::map<SpanTotalKey, core::UsageDelta> usage_totals;
  std::map<SpanTotalKey, core::GaugeReading> gauge_totals;
  std::map<SpanTotalKey, core::MaxReading> max_totals;
  std::map<SpanTotalKey, core::MinReading> min_totals;
  std::map<SpanTotalKey, UniqueStored> unique_totals;
  std::map<SpanTotalKey, SpanEdge> span_edges;  // of all of them
  // Periods whose totals exist, with their ends, by tenant and start.
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> opened;
  // Partition, offset, meter ('' for the whole record).
  std::map<std::tuple<std::int32_t, std::int64_t, std::string>, RejectStored> rejects;
  std::vector<aggregator::OffsetRange> lost;
  std::map<std::pair<std::string, LogDay>, std::int64_t> meter_rejects;

  // tally.slowest_day().
  [[nodiscard]] std::optional<LogDay> slowest_day() const;
  // What the COMMIT of a plan makes of them.
  void apply(const aggregator::BatchPlan& plan, CommitNumber commit);
  void apply_totals(const aggregator::BatchPlan& plan);
  [[nodiscard]] bool all_open(const TenantRows& tenants) const;
  // tally.open_periods(): totals of new periods, from the windows that start in them.
  void open_periods(const TenantRows& tenants);
};

void add(aggregator::LedgerDelta& line, const aggregator::LedgerDelta& more);

[[nodiscard]] inline bool visible(const SegmentRow& row, CommitNumber snapshot) {
  return row.created <= snapshot && (row.removed == 0 || row.removed > snapshot);
}

}  // namespace tally::simulation
