// The aggregator's pure path: records of any bytes are decoded and folded, then come again from the
// log, then from another partition. Every record lands in one class, what is kept can be stored,
// and nothing is counted twice.
#include "aggregator/decode.h"

#include "aggregator/fold.h"
#include "aggregator/handoff.h"
#include "core/check.h"
#include "core/json_cursor.h"
#include "core/limits.h"
#include "tests/fuzz/meters.h"
#include "tests/fuzz/record_stream.h"
#include "tests/fuzz/target.h"

#include <algorithm>

namespace tally::fuzz {
namespace {

using aggregator::DecodedEvent;
using aggregator::RecordClass;
using aggregator::RejectReason;
using aggregator::SlotKind;

constexpr std::int64_t kFirstLogTimeMs = 1'795'248'000'000;  // 2026-11-21T08:00:00Z
constexpr std::int64_t kMsPerHour = 3'600'000;
constexpr aggregator::FoldRules kRules = {core::kDedupHorizonSeconds, core::kFutureBoundSeconds, 1};
constexpr aggregator::LogDay kMemoryDays = 36;

// As Postgres takes a text.
bool storable(std::string_view text) {
  return core::valid_utf8(text) && text.find('\0') == std::string_view::npos;
}

void check_attribute(std::string_view text, std::size_t max_bytes) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20; };
  TALLY_CHECK(!text.empty() && text.size() <= max_bytes, "{} bytes", text.size());
  TALLY_CHECK(core::valid_utf8(text) && std::none_of(text.begin(), text.end(), is_control), "`{}`",
              text);
}

void check_accepted(const DecodedEvent& event) {
  check_attribute(event.id, core::kMaxRequestIdBytes);
  check_attribute(event.source, core::kMaxSourceBytes);
  check_attribute(event.type, core::kMaxEventTypeBytes);
  check_attribute(event.subject, core::kMaxTenantIdBytes);
  TALLY_CHECK(event.plan == fixed_meters()->find(event.type));
  TALLY_CHECK(event.slots.size() == (event.plan == nullptr ? 0 : event.plan->slots));
  for (const aggregator::Slot& slot : event.slots) {
    const bool has_text = slot.kind == SlotKind::kString || slot.kind == SlotKind::kNumber;
    TALLY_CHECK(has_text || slot.text.empty());
    TALLY_CHECK(slot.kind != SlotKind::kNumber || !slot.text.empty());
    TALLY_CHECK(core::valid_utf8(slot.text), "`{}`", slot.text);
  }
}

void check_event(const DecodedEvent& event) {
  TALLY_CHECK((event.reject == RejectReason::kNone) == event.detail.empty(), "{}", event.detail);
  TALLY_CHECK(aggregator::to_string(event.reject) != "unknown");
  if (event.reject == RejectReason::kNone) check_accepted(event);
}

void check_same(const DecodedEvent& a, const DecodedEvent& b) {
  TALLY_CHECK(a.reject == b.reject && a.detail == b.detail, "`{}`, `{}`", a.detail, b.detail);
  TALLY_CHECK(a.id == b.id && a.source == b.source && a.type == b.type && a.subject == b.subject);
  TALLY_CHECK(a.time == b.time && a.plan == b.plan);
  TALLY_CHECK(std::equal(a.slots.begin(), a.slots.end(), b.slots.begin(), b.slots.end(),
                         [](const aggregator::Slot& x, const aggregator::Slot& y) {
                           return x.kind == y.kind && x.text == y.text;
                         }));
}

// A decoder that has read other records before reads this one as a new one does.
void check_no_memory(const std::vector<StreamRecord>& stream) {
  aggregator::Decoder used(*fixed_meters());
  for (const StreamRecord& given : stream) {
    runtime::kafka::Record record;
    record.headers = given.headers;
    record.value = given.value;
    aggregator::Decoder fresh(*fixed_meters());
    check_same(used.decode(record), fresh.decode(record));
  }
}

aggregator::dedup::MemorySettings memory_settings() {
  aggregator::dedup::MemorySettings settings;
  settings.horizon_days = kMemoryDays;
  return settings;
}

class Pipeline {
 public:
  // The plan of all records as the log has them, its clock beginning anew.
  aggregator::BatchPlan consume(const std::vector<StreamRecord>& stream) {
    aggregator::BatchPlan plan;
    plan.meters = fixed_meters();
    std::vector<runtime::kafka::Record> records;
    for_each_record(stream, [&](const runtime::kafka::Record& record) {
      records.push_back(record);
      check_event(decoder_.decode(record));
    });
    if (!records.empty()) add(records, plan);
    aggregator::check_conservation(plan);
    return plan;
  }

  // The plan of all records as another partition hands them over.
  aggregator::BatchPlan receive(const std::vector<StreamRecord>& stream) {
    aggregator::BatchPlan plan;
    plan.meters = fixed_meters();
    aggregator::HandoffRow row;
    row.records = static_cast<std::int64_t>(stream.size());
    for_each_record(stream, [&](const runtime::kafka::Record& record) {
      aggregator::append_handoff(record, aggregator::Admission::kLog, row.bytes);
    });
    fold_.receive(row, state_, plan);
    aggregator::check_conservation(plan);
    return plan;
  }

 private:
  template <class Take>
  void for_each_record(const std::vector<StreamRecord>& stream, Take take) {
    std::int64_t log_time_ms = kFirstLogTimeMs;
    std::int64_t next = state_.position.value();
    for (const StreamRecord& given : stream) {
      log_time_ms += 1'000 + given.hours * kMsPerHour;
      runtime::kafka::Record record;
      record.offset = next + given.skip;
      next = record.offset + 1;
      record.log_time_ms = log_time_ms;
      record.log_time_kind = runtime::kafka::LogTimeKind::kLogAppendTime;
      record.headers = given.headers;
      record.value = given.value;
      take(record);
    }
  }

  // The first by itself, the others together: how they come makes no difference.
  void add(std::span<const runtime::kafka::Record> records, aggregator::BatchPlan& plan) {
    const DecodedEvent& event = decoder_.decode(records[0]);
    const RecordClass record_class = fold_.add(records.first(1), state_, plan);
    TALLY_CHECK(event.reject == RejectReason::kNone || record_class == RecordClass::kRejected,
                "a rejected record was counted: {}", event.detail);
    if (records.size() > 1) fold_.add(records.subspan(1), state_, plan);
    TALLY_CHECK(state_.position.value() == records.back().offset + 1);
  }

  aggregator::Decoder decoder_{*fixed_meters()};
  core::IdentityHasher hasher_{core::IdentityHasher::Key{}};
  aggregator::Fold fold_{fixed_meters(), hasher_, kRules};
  aggregator::PartitionState state_{core::PartitionId(0), memory_settings()};
};

aggregator::LedgerDelta sum_of(const aggregator::BatchPlan& plan) {
  aggregator::LedgerDelta sum;
  for (const auto& [where, line] : plan.ledger) {
    sum.consumed += line.consumed;
    sum.received += line.received;
    sum.skipped += line.skipped;
    sum.counted += line.counted;
    sum.duplicate += line.duplicate;
  }
  return sum;
}

void check_storable(const aggregator::BatchPlan& plan) {
  for (const aggregator::RejectRow& row : plan.rejects) {
    TALLY_CHECK(storable(row.tenant), "tenant `{}`", row.tenant);
    TALLY_CHECK(storable(row.detail), "detail `{}`", row.detail);
    TALLY_CHECK(!row.reason.empty());
  }
}

// Whatever was counted before is a duplicate now.
void check_nothing_counted(const aggregator::LedgerDelta& again,
                           const aggregator::LedgerDelta& first) {
  TALLY_CHECK(again.counted == 0, "counted again: {}", again.counted);
  TALLY_CHECK(again.duplicate >= first.counted, "{} duplicates of {}", again.duplicate,
              first.counted);
}

}  // namespace

void one_input(std::string_view input) {
  const std::vector<StreamRecord> stream = read_stream(input);
  check_no_memory(stream);
  std::int64_t skipped = 0;
  std::int64_t hours = 0;
  for (const StreamRecord& record : stream) {
    skipped += record.skip;
    hours += record.hours;
  }
  const auto records = static_cast<std::int64_t>(stream.size());

  Pipeline pipeline;
  const auto first = pipeline.consume(stream);
  check_storable(first);
  const auto sum = sum_of(first);
  TALLY_CHECK(sum.consumed == records && sum.skipped == skipped);
  const auto second = sum_of(pipeline.consume(stream));
  TALLY_CHECK(second.consumed == records && second.skipped == skipped);
  const auto handed = sum_of(pipeline.receive(stream));
  TALLY_CHECK(handed.received == records && handed.consumed == 0);
  if (hours * 3'600 >= core::kDedupHorizonSeconds - core::kDaySeconds) return;
  check_nothing_counted(second, sum);
  check_nothing_counted(handed, sum);
}

}  // namespace tally::fuzz
