#include "aggregator/fold.h"

#include "core/check.h"
#include "core/limits.h"
#include "core/stored_headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tally::aggregator {

namespace {

std::string stored_headers(const runtime::kafka::Record& record) {
  std::vector<core::HandoffHeader> headers;
  headers.reserve(record.headers.size());
  for (const auto& header : record.headers) headers.push_back({header.name, header.value});
  return core::join_headers(headers);
}

// Bounded, and never cut inside a UTF-8 character.
std::string bounded(std::string detail) {
  constexpr std::size_t kMaxDetailBytes = 500;
  if (detail.size() <= kMaxDetailBytes) return detail;
  std::size_t end = kMaxDetailBytes;
  while (end > 0 && (static_cast<unsigned char>(detail[end]) & 0xc0U) == 0x80U) --end;
  detail.resize(end);
  return detail;
}

// For finance and for whoever asks the producer: which identity, and that the contents differ.
std::string conflict_text(const core::DedupEntry& first, const core::DedupEntry& second) {
  return fmt::format(
      "an event with this tenant, source, type and id was counted with other values; the first "
      "stands (identity {:016x}{:012x}, content {:03x} counted, {:03x} here)",
      second.hi, second.lo >> core::DedupEntry::kCheckBits, first.content(), second.content());
}

void count_class(RecordClass record_class, LedgerDelta& line) {
  switch (record_class) {
    case RecordClass::kHandedOff:
      ++line.handed_off;
      break;
    case RecordClass::kRejected:
      ++line.rejected;
      break;
    case RecordClass::kUnmetered:
      ++line.unmetered;
      break;
    case RecordClass::kFiltered:
      ++line.filtered;
      break;
    case RecordClass::kDuplicate:
      ++line.duplicate;
      break;
    case RecordClass::kConflict:
      ++line.conflict;
      break;
    case RecordClass::kLate:
      ++line.late;
      break;
    case RecordClass::kCounted:
      ++line.counted;
      break;
    case RecordClass::kReadmitted:
      ++line.readmitted;
      break;
  }
}

// As if the broker had stamped it no later than the partition's ceiling.
void put_under_ceiling(const PartitionState& state, runtime::kafka::Record& record) {
  const auto& ceiling = state.log_time_ceiling;
  if (ceiling && record.offset < ceiling->before_offset.value())
    record.log_time_ms = std::min(record.log_time_ms, ceiling->time.millis());
}

// What a commit has no room for: only how many, and where.
void pass_over(core::PartitionId partition, std::int64_t offset, BatchPlan& plan) {
  const auto same = [&](const OffsetRange& range) { return range.partition == partition; };
  auto range = std::find_if(plan.reject_overflow.begin(), plan.reject_overflow.end(), same);
  if (range == plan.reject_overflow.end()) {
    plan.reject_overflow.push_back({partition, offset, offset, 1});
  } else {
    range->first = std::min(range->first, offset);
    range->last = std::max(range->last, offset);
    ++range->rows;
  }
}

LogDay whole_days(std::int64_t seconds) {
  return static_cast<LogDay>((seconds + core::kDaySeconds - 1) / core::kDaySeconds);
}

}  // namespace

LogDay remembered_days(const FoldRules& rules) {
  return whole_days(rules.horizon_seconds + rules.future_bound_seconds) + 1;
}

LogDay first_kept(LogDay today, std::optional<LogDay> slowest_day, LogDay days) {
  const LogDay lag = std::clamp(today - slowest_day.value_or(0), 0, LogDay{core::kMaxLagDays});
  return today - lag - days;
}

// The places of the plan that the records of one partition write to: looked up once for all of a
// day.
struct Fold::Turn {
  Turn(PartitionState& partition, BatchPlan& batch, PartitionAdvance& advance_in_plan, LogDay days)
      : state(partition), plan(batch), advance(advance_in_plan), remembered_days_(days) {}

  LedgerDelta& line_of(LogDay day) {
    if (line_ == nullptr || day != line_day_) {
      line_ = &plan.ledger[{state.id, day}];
      line_day_ = day;
    }
    return *line_;
  }
  // The partition's day after a record of this log time. Its clock never steps back. One that has
  // none yet remembers what others stored: a claim is not older than what is remembered.
  LogDay today_at(core::Timestamp log_time) {
    state.last_log_time = std::max(state.last_log_time, log_time);
    const LogDay day = log_day_of(state.last_log_time);
    if (!clock_day_ || day != *clock_day_) {
      state.memory.advance(day, first_kept(day, state.slowest_day, remembered_days_));
      clock_day_ = day;
      today_ = std::max(day, state.memory.oldest_day());
    }
    return today_;
  }
  Segment& segment_of(LogDay today) {
    if (segment_ == nullptr || today != segment_day_) {
      segment_ = &plan.segments[{state.id, today}];
      segment_day_ = today;
    }
    return *segment_;
  }

  PartitionState& state;
  BatchPlan& plan;
  PartitionAdvance& advance;

 private:
  LogDay remembered_days_;
  LedgerDelta* line_ = nullptr;
  LogDay line_day_ = 0;
  Segment* segment_ = nullptr;
  LogDay segment_day_ = 0;
  std::optional<LogDay> clock_day_;
  LogDay today_ = 0;
};

struct Fold::Site {
  Desk& desk;
  Admission admission;
  Turn& turn;
  PartitionState& state;
  BatchPlan& plan;
  const runtime::kafka::Record& record;
  const DecodedEvent& event;
  LedgerDelta& line;
  core::Timestamp log_time;
  core::Timestamp event_time;
  LogDay today;

  Site(Desk& at, Admission let_in, Turn& of)
      : desk(at),
        admission(let_in),
        turn(of),
        state(of.state),
        plan(of.plan),
        record(at.record),
        event(*at.event),
        line(of.line_of(log_day_of(core::Timestamp::from_millis(at.record.log_time_ms)))),
        log_time(core::Timestamp::from_millis(at.record.log_time_ms)),
        event_time(event.time.value_or(log_time)),
        today(of.today_at(log_time)) {}
};

Fold::Fold(std::shared_ptr<const MeterSet> meters, const core::IdentityHasher& hasher,
           const FoldRules& rules, std::shared_ptr<const TenantBook> tenants)
    : meters_(std::move(meters)),
      hasher_(hasher),
      rules_(rules),
      copies_days_(whole_days(rules.horizon_seconds + rules.future_bound_seconds)),
      desks_{Desk(meters_, hasher), Desk(meters_, hasher), Desk(meters_, hasher)},
      contribution_(meters_, std::move(tenants)) {
  TALLY_CHECK(rules.partitions > 0 && rules.partitions <= core::kMaxPartitions, "{} partitions",
              rules.partitions);
  TALLY_CHECK(rules.horizon_seconds > 0 && rules.future_bound_seconds >= 0);
}

PartitionAdvance& Fold::advance_of(PartitionState& state, BatchPlan& plan) const {
  TALLY_CHECK(plan.topic_partitions == 0 || plan.topic_partitions == rules_.partitions);
  plan.topic_partitions = rules_.partitions;
  const auto [found, fresh] = plan.partitions.try_emplace(state.id);
  PartitionAdvance& advance = found->second;
  if (fresh) {
    advance.epoch = state.epoch;
    advance.generation = state.generation;
    advance.start = state.position;
    advance.next = state.position;
    advance.stored_segments = state.stored_segments;
  }
  TALLY_CHECK(advance.epoch == state.epoch && advance.next == state.position,
              "partition {}: the plan stands at {}, the state at {}", state.id.value(),
              advance.next.value(), state.position.value());
  return advance;
}

// Two records ahead: while one has its turn, what the next two will look for is fetched.
RecordClass Fold::add(std::span<const runtime::kafka::Record> records, PartitionState& state,
                      BatchPlan& plan) {
  TALLY_CHECK(!records.empty());
  Turn turn(state, plan, advance_of(state, plan), remembered_days(rules_));
  RecordClass last = RecordClass::kRejected;
  const auto desk = [&](std::size_t i) -> Desk& { return desks_.at(i % desks_.size()); };
  for (std::size_t i = 0; i < records.size() + 2; ++i) {
    if (i < records.size()) {
      desk(i).record = records[i];
      put_under_ceiling(state, desk(i).record);
      prepare(turn, desk(i));
    }
    if (i >= 1 && i <= records.size()) Contribution::prefetch_rows(desk(i - 1).placed, plan.totals);
    if (i >= 2) last = take_turn(desk(i - 2), turn);
  }
  return last;
}

// Reads the desk's record as far as it can be without a look at what those before it do.
void Fold::prepare(const Turn& turn, Desk& desk) {
  desk.event = &desk.decoder.decode(desk.record);
  desk.placed.clear();
  const DecodedEvent& event = *desk.event;
  if (event.reject != RejectReason::kNone) return;
  const std::uint32_t home = core::home_bits(event.id);
  desk.home = core::PartitionId(
      static_cast<std::int32_t>(home % static_cast<std::uint32_t>(rules_.partitions)));
  const core::Timestamp time =
      event.time.value_or(core::Timestamp::from_millis(desk.record.log_time_ms));
  if (desk.home != turn.state.id || event.plan == nullptr || !core::is_event_time(time)) return;
  const std::uint64_t tenant = contribution_.expect(event.subject);
  desk.reader.read(event);
  if (desk.reader.taken().empty()) return;
  contribution_.prefetch_tenant(tenant);
  desk.entry = hasher_.entry(event.subject, event.source, event.type, {event.id, home},
                             desk.reader.content_check(), meters_->definition_version().value());
  turn.state.memory.prefetch(desk.entry);
  contribution_.place(event.subject, tenant, time, desk.reader, turn.plan.totals, desk.placed);
}

RecordClass Fold::take_turn(Desk& desk, Turn& turn) {
  PartitionState& state = turn.state;
  const std::int64_t offset = desk.record.offset;
  TALLY_CHECK(offset >= state.position.value(), "partition {}: offset {} is below the position {}",
              state.id.value(), offset, state.position.value());
  Site site(desk, Admission::kLog, turn);
  skip_to(core::Offset(offset), state, turn.plan);
  const RecordClass record_class = classify(site);
  ++site.line.consumed;
  state.position = core::Offset(offset + 1);
  state.last_offset = core::Offset(offset);
  turn.advance.next = state.position;
  turn.advance.last_offset = state.last_offset;
  turn.advance.last_log_time = state.last_log_time;
  return record_class;
}

void Fold::receive(const HandoffRow& row, PartitionState& state, BatchPlan& plan) {
  Turn turn(state, plan, advance_of(state, plan), remembered_days(rules_));
  HandoffReader reader(row.bytes);
  Desk& desk = desks_[0];
  std::int64_t records = 0;
  while (const auto handoff = reader.next()) {
    desk.record = handoff->record;
    prepare(turn, desk);
    Site site(desk, handoff->admission, turn);
    classify(site);
    ++site.line.received;
    ++records;
  }
  if (records != row.records) {
    throw std::runtime_error(
        fmt::format("tally.handoff: row {} says {} records and holds {}: nothing of partition {} "
                    "is counted until it is mended",
                    row.id.value(), row.records, records, state.id.value()));
  }
  plan.taken[state.id].push_back({row.id, row.records});
  turn.advance.last_log_time = state.last_log_time;
}

RecordClass Fold::classify(Site& site) {
  const RecordClass record_class = decide(site);
  count_class(record_class, site.line);
  ++site.plan.records;
  return record_class;
}

RecordClass Fold::decide(Site& site) {
  const DecodedEvent& event = site.event;
  if (event.reject != RejectReason::kNone) return reject(site, event.reject, event.detail);
  if (!core::is_event_time(site.event_time)) {  // the decoder saw to `time`, so it is the log's
    return reject(
        site, RejectReason::kBadTime,
        fmt::format("the log's time, which stands for the `time` that the event lacks, {}",
                    core::kNoEventTime));
  }
  if (site.desk.home != site.state.id) return hand_off(site, site.desk.home);
  const std::int64_t ahead = site.event_time.micros() - site.log_time.micros();
  if (ahead > rules_.future_bound_seconds * 1'000'000 && site.admission == Admission::kLog) {
    return reject(site, RejectReason::kTimeInFuture,
                  fmt::format("`time` is {} s ahead of the log, the limit is {} s",
                              ahead / 1'000'000, rules_.future_bound_seconds));
  }
  if (event.plan == nullptr) return RecordClass::kUnmetered;
  MeterReader& reader = site.desk.reader;
  if (reader.taken().empty() && reader.failures().empty()) return RecordClass::kFiltered;
  if (reader.taken().empty()) {
    const MeterFailure& first = reader.failures().front();
    return reject(site, first.reason,
                  fmt::format("meter {}: {}", meters_->meters()[first.meter].slug, first.detail));
  }
  return deduplicate(site);
}

// Whoever reads a record that cannot be decoded rejects it: nobody can tell its home. Any other
// goes where its identity is remembered.
RecordClass Fold::hand_off(Site& site, core::PartitionId home) {
  site.plan.handoff_bytes +=
      site.plan.handoffs[{site.state.id, home}].add(site.record, site.admission);
  return RecordClass::kHandedOff;
}

RecordClass Fold::deduplicate(Site& site) {
  const core::DedupEntry& entry = site.desk.entry;
  // Expired or not is told by the record's own day: what is kept for slower partitions decides
  // nothing, so a second reading of the log decides as the first did.
  const LogDay day = log_day_of(site.log_time);
  switch (site.state.memory.probe(entry, day)) {
    case dedup::Seen::kNever:
      break;
    case dedup::Seen::kSameContent:
      return RecordClass::kDuplicate;
    case dedup::Seen::kOtherGeneration:
      ++site.line.unverifiable;
      return RecordClass::kDuplicate;
    case dedup::Seen::kOtherContent: {
      const auto first = site.state.memory.remembered(entry, day);
      TALLY_CHECK(first.has_value());
      keep(site, RejectClass::kConflict, "other_content", conflict_text(*first, entry), "");
      return RecordClass::kConflict;
    }
  }
  const std::int64_t age = site.log_time.micros() - site.event_time.micros();
  const bool readmitted = site.admission != Admission::kLog;
  if (age > rules_.horizon_seconds * 1'000'000 && !readmitted) {
    keep(site, RejectClass::kLate, "older_than_horizon",
         fmt::format("`time` is {} s behind the log, the limit is {} s", age / 1'000'000,
                     rules_.horizon_seconds),
         "");
    return RecordClass::kLate;
  }
  if (std::string why = why_unknown(site); !why.empty()) {
    keep(site, RejectClass::kLate, "older_than_memory",
         fmt::format("{}: see that it was not counted, then tally-admin rejects replay {}", why,
                     readmitted ? "--again --unchecked" : "--unchecked"),
         "");
    return RecordClass::kLate;
  }
  site.state.memory.insert(entry, site.today);
  site.turn.segment_of(site.today).entries.push_back(entry);
  count(site, entry);
  return readmitted ? RecordClass::kReadmitted : RecordClass::kCounted;
}

std::string Fold::why_unknown(const Site& site) const {
  if (site.admission == Admission::kReadmittedUnchecked) return {};
  if (site.admission == Admission::kReadmitted) {
    // Checked when it was replayed; its home's clock may have run on since.
    const core::Timestamp earliest = core::earliest_copy(site.event.time, site.log_time);
    const LogDay since =
        std::max({site.state.memory.oldest_day(), site.state.dropped_before.value_or(0),
                  log_day_of(site.log_time) - remembered_days(rules_)});
    if (log_day_of(earliest) >= since) return {};
    return fmt::format("a copy of it can have been counted since {}, and its home forgot that day",
                       core::to_rfc3339(earliest));
  }
  // A copy that came within the horizon of this one may be forgotten already: its home is ahead.
  if (log_day_of(site.log_time) - copies_days_ < site.state.memory.oldest_day()) {
    return fmt::format(
        "the record waited {} days for its home, which has forgotten since what a copy of it may "
        "be",
        site.today - log_day_of(site.log_time));
  }
  if (may_be_forgotten(site)) {
    return fmt::format(
        "`time` is {} s behind the log, and the dedup memory does not reach back so far yet",
        (site.log_time.micros() - site.event_time.micros()) / 1'000'000);
  }
  return {};
}

// Its first copy came with the same time.
bool Fold::may_be_forgotten(const Site& site) {
  return site.state.dropped_before &&
         log_day_of(core::earliest_copy(site.event_time, site.log_time)) <
             *site.state.dropped_before;
}

void Fold::count(Site& site, const core::DedupEntry& entry) {
  contribution_.add({site.event_time, entry}, site.desk.placed, site.plan.totals);
  for (MeterFailure& failure : site.desk.reader.failures()) {
    ++site.plan.meter_rejects[{failure.meter, log_day_of(site.log_time)}];
    keep(site, RejectClass::kMeter, to_string(failure.reason), std::move(failure.detail),
         meters_->meters()[failure.meter].slug);
  }
}

RecordClass Fold::reject(Site& site, RejectReason reason, std::string detail) {
  keep(site, RejectClass::kRejected, to_string(reason), std::move(detail), "");
  return RecordClass::kRejected;
}

void Fold::keep(Site& site, RejectClass reject_class, std::string_view reason, std::string detail,
                std::string meter) {
  BatchPlan& plan = site.plan;
  const core::PartitionId read_from(site.record.partition);  // of a handoff: not this partition
  RejectRow row{read_from,
                core::Offset(site.record.offset),
                std::move(meter),
                reject_class,
                reason,
                bounded(std::move(detail)),
                site.log_time,
                std::string(site.event.subject),
                {},
                {},
                {}};
  std::string headers = stored_headers(site.record);
  const auto bytes =
      static_cast<std::int64_t>(site.record.key.size() + site.record.value.size() + headers.size());
  if (static_cast<std::int64_t>(plan.rejects.size()) < core::kMaxRejectRowsPerCommit &&
      plan.reject_bytes + bytes <= core::kMaxRejectBytesPerCommit) {
    plan.reject_bytes += bytes;
    row.key = site.record.key;
    row.value = site.record.value;
    row.headers = std::move(headers);
  } else if (site.admission != Admission::kLog && row.meter.empty()) {
    row.has_bytes = false;  // the verdict is what `rejects replay --again --unchecked` goes by
  } else {
    pass_over(read_from, site.record.offset, plan);
    return;
  }
  plan.rejects.push_back(std::move(row));
}

void Fold::skip_to(core::Offset next, PartitionState& state, BatchPlan& plan) {
  if (next == state.position) return;
  TALLY_CHECK(next > state.position);
  PartitionAdvance& advance = advance_of(state, plan);
  plan.ledger[{state.id, log_day_of(state.last_log_time)}].skipped +=
      next.value() - state.position.value();
  state.position = advance.next = next;
}

void Fold::lose_to(core::Offset next, PartitionState& state, BatchPlan& plan) {
  TALLY_CHECK(next > state.position);
  PartitionAdvance& advance = advance_of(state, plan);
  plan.ledger[{state.id, log_day_of(state.last_log_time)}].lost +=
      next.value() - state.position.value();
  plan.lost.push_back({state.id, state.position.value(), next.value() - 1, 0});
  state.position = advance.next = next;
}

}  // namespace tally::aggregator
