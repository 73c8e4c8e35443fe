// The pure centre: one record more, and the plan says what changes. No I/O, no clock, no thread:
// the same records in the same order always make the same plan.
#pragma once

#include "aggregator/batch_plan.h"
#include "aggregator/contribution.h"
#include "aggregator/decode.h"
#include "aggregator/dedup/memory.h"
#include "aggregator/meter_reader.h"
#include "core/identity.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// An admin's word on a broker's wrong clock (`tally-admin log-time set`): of the records below
// `before_offset`, what the broker stamped later than `time` counts as stamped at `time`.
struct LogTimeCeiling {
  core::Offset before_offset;
  core::Timestamp time;
};

// What an owner knows of a partition. `position` runs ahead of what is committed by the plans under
// way.
struct PartitionState {
  PartitionState(core::PartitionId partition, const dedup::MemorySettings& memory_settings)
      : id(partition), memory(memory_settings) {}
  core::PartitionId id;
  core::Epoch epoch;
  core::Generation generation;
  core::Offset position;                    // the next offset to fold
  std::optional<core::Offset> last_offset;  // of the last record consumed
  std::optional<RecordDigest> last_digest;
  core::Timestamp last_log_time;  // the partition's clock: the highest so far, never steps back
  // Earlier days of the stored memory were gone when it was loaded. Of an event that may have come
  // before this day nobody can tell whether it was counted: it is late. That is older than the
  // horizon anyway, unless the horizon was raised since, or the partition had no clock that would
  // have kept those days.
  std::optional<LogDay> dropped_before;
  // No record of an earlier day is still to come from any partition. Until its owner says so, the
  // memory keeps what one may need that lags by kMaxLagDays.
  LogDay slowest_day = 0;
  dedup::Memory memory;
  // Segments of its own that no roll-up had joined when it was acquired, large ones among them,
  // which none will.
  std::int64_t stored_segments = 0;
  // For the partition's own log; what another partition hands off was mended where it was read.
  std::optional<LogTimeCeiling> log_time_ceiling = std::nullopt;
};

struct FoldRules {
  std::int64_t horizon_seconds = 0;       // older than this by the log's clock: late
  std::int64_t future_bound_seconds = 0;  // further ahead than this: rejected
  std::int32_t partitions = 0;            // of the topic, for home(id)
};

// How long an identity is remembered: the horizon and what an event may be ahead, in whole days,
// and one day more because days are forgotten whole.
[[nodiscard]] LogDay remembered_days(const FoldRules& rules);
// The first day that a partition whose clock shows `today` remembers: so many days before the
// slowest partition's, but for one that lags by more than kMaxLagDays.
[[nodiscard]] LogDay first_kept(LogDay today, std::optional<LogDay> slowest_day, LogDay days);

// Every consumed record ends in exactly one of these, decided in this order; kReadmitted is
// kCounted for a record that an admin replayed.
enum class RecordClass : std::uint8_t {
  kHandedOff,
  kRejected,
  kUnmetered,
  kFiltered,
  kDuplicate,
  kConflict,
  kLate,
  kCounted,
  kReadmitted
};

class Fold {
 public:
  Fold(std::shared_ptr<const MeterSet> meters, const core::IdentityHasher& hasher,
       const FoldRules& rules, std::shared_ptr<const TenantBook> tenants = nullptr);

  // Adds records of the state's partition to the plan and to the state's memory, in the order of
  // their offsets; the first at exactly state.position or beyond it (a gap counts as skipped
  // offsets). An offset below the position is a caller's bug. A record's log time is what the
  // broker stamped, or the state's ceiling. Returns the class of the last one.
  RecordClass add(std::span<const runtime::kafka::Record> records, PartitionState& state,
                  BatchPlan& plan);

  // Adds what another partition handed off to this one, or an admin readmitted: a whole row, whose
  // removal is part of the plan. Throws std::runtime_error for a row that cannot be read.
  void receive(const HandoffRow& row, PartitionState& state, BatchPlan& plan);

  // Moves over offsets without records: up to `next`, which is not below the position.
  void skip_to(core::Offset next, PartitionState& state, BatchPlan& plan);
  // Retention removed the offsets below `next` before they were read.
  void lose_to(core::Offset next, PartitionState& state, BatchPlan& plan);

 private:
  // Where a record is read before its turn comes, so that what its turn needs of the memory is on
  // its way into the cache meanwhile.
  struct Desk {
    Desk(const std::shared_ptr<const MeterSet>& meters, const core::IdentityHasher& hasher)
        : decoder(*meters), reader(meters, hasher) {}
    Decoder decoder;
    MeterReader reader;
    runtime::kafka::Record record;
    const DecodedEvent* event = nullptr;
    core::PartitionId home;  // of an event that could be decoded
    core::DedupEntry entry;  // of one that a meter here took something from
    std::vector<PlacedValue> placed;
  };
  struct Turn;  // of a partition in a plan: what its records share
  struct Site;  // a record whose turn it is

  void prepare(const Turn& turn, Desk& desk);
  RecordClass take_turn(Desk& desk, Turn& turn);
  RecordClass classify(Site& site);
  RecordClass decide(Site& site);
  RecordClass hand_off(Site& site, core::PartitionId home);
  RecordClass deduplicate(Site& site);
  // Why its home cannot tell whether a copy of it was counted before; empty where it can.
  [[nodiscard]] std::string why_unknown(const Site& site) const;
  [[nodiscard]] static bool may_be_forgotten(const Site& site);
  void count(Site& site, const core::DedupEntry& entry);
  RecordClass reject(Site& site, RejectReason reason, std::string detail);
  static void keep(Site& site, RejectClass reject_class, std::string_view reason,
                   std::string detail, std::string meter);
  PartitionAdvance& advance_of(PartitionState& state, BatchPlan& plan) const;

  std::shared_ptr<const MeterSet> meters_;
  const core::IdentityHasher& hasher_;
  FoldRules rules_;
  LogDay copies_days_;  // two copies of a record lie so many days apart at most
  std::array<Desk, 3> desks_;
  Contribution contribution_;
};

}  // namespace tally::aggregator
