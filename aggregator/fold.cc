#include "aggregator/fold.h"

#include "core/check.h"
#include "core/limits.h"
#include "core/window.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace tally::aggregator {

namespace {

using core::Aggregation;
using core::Decimal;

std::optional<Decimal> number_of(const Slot& slot) {
  if (slot.kind != SlotKind::kNumber) return std::nullopt;
  const auto number = Decimal::parse(slot.text);
  return number ? std::optional(number.value()) : std::nullopt;
}

bool equals(const Slot& slot, const core::Scalar& wanted) {
  if (const auto* text = std::get_if<std::string>(&wanted)) {
    return slot.kind == SlotKind::kString && slot.text == *text;
  }
  if (const auto* number = std::get_if<Decimal>(&wanted)) {
    return slot.kind == SlotKind::kNumber && number_of(slot) == *number;
  }
  if (const auto* truth = std::get_if<bool>(&wanted)) {
    return slot.kind == (*truth ? SlotKind::kTrue : SlotKind::kFalse);
  }
  return slot.kind == SlotKind::kNull;
}

bool holds(const CompiledFilter& filter, const DecodedEvent& event) {
  const Slot& slot = event.slots[filter.slot];
  const bool found = std::any_of(filter.values.begin(), filter.values.end(),
                                 [&](const core::Scalar& value) { return equals(slot, value); });
  return filter.kind == core::FilterKind::kIn ? found : !found;
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string headers_text(const runtime::kafka::Record& record) {
  std::string text;
  for (const auto& header : record.headers) {
    text.append(header.name).push_back('\0');
    text.append(header.value).push_back('\0');
  }
  return text;
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

void count_class(RecordClass record_class, LedgerDelta& line) {
  switch (record_class) {
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
  }
}

}  // namespace

struct Fold::Site {
  const runtime::kafka::Record& record;
  const DecodedEvent& event;
  PartitionState& state;
  BatchPlan& plan;
  LedgerDelta& line;
  core::Timestamp log_time;
  core::Timestamp event_time;
};

Fold::Fold(std::shared_ptr<const MeterSet> meters, const core::IdentityHasher& hasher,
           const FoldRules& rules)
    : meters_(std::move(meters)), hasher_(hasher), rules_(rules) {
  TALLY_CHECK(rules.partitions > 0 && rules.partitions <= core::kMaxPartitions, "{} partitions",
              rules.partitions);
  TALLY_CHECK(rules.horizon_seconds > 0 && rules.future_bound_seconds >= 0);
}

PartitionAdvance& Fold::advance_of(PartitionState& state, BatchPlan& plan) {
  const auto [found, fresh] = plan.partitions.try_emplace(state.id);
  PartitionAdvance& advance = found->second;
  if (fresh) {
    advance.epoch = state.epoch;
    advance.generation = state.generation;
    advance.start = state.position;
    advance.next = state.position;
  }
  TALLY_CHECK(advance.epoch == state.epoch && advance.next == state.position,
              "partition {}: the plan stands at {}, the state at {}", state.id.value(),
              advance.next.value(), state.position.value());
  return advance;
}

RecordClass Fold::add(const runtime::kafka::Record& record, const DecodedEvent& event,
                      PartitionState& state, BatchPlan& plan) {
  TALLY_CHECK(record.offset >= state.position.value(),
              "partition {}: offset {} is below the position {}", state.id.value(), record.offset,
              state.position.value());
  const auto log_time = core::Timestamp::from_millis(record.log_time_ms);
  state.last_log_time = std::max(state.last_log_time, log_time);
  skip_to(core::Offset(record.offset), state, plan);
  PartitionAdvance& advance = advance_of(state, plan);
  LedgerDelta& line = plan.ledger[{state.id, log_day_of(log_time)}];
  Site site{record, event, state, plan, line, log_time, event.time.value_or(log_time)};
  state.memory.advance(log_day_of(state.last_log_time));

  const RecordClass record_class = decide(site);
  ++line.consumed;
  count_class(record_class, line);
  ++plan.records;
  state.position = core::Offset(record.offset + 1);
  state.last_offset = core::Offset(record.offset);
  advance.next = state.position;
  advance.last_offset = state.last_offset;
  advance.last_log_time = state.last_log_time;
  return record_class;
}

RecordClass Fold::decide(Site& site) {
  const DecodedEvent& event = site.event;
  if (event.reject != RejectReason::kNone) return reject(site, event.reject, event.detail);
  const auto home = static_cast<std::int32_t>(core::home_bits(event.id) %
                                              static_cast<std::uint32_t>(rules_.partitions));
  if (home != site.state.id.value()) {
    return reject(
        site, RejectReason::kForeignPartition,
        fmt::format(
            "the id's home is partition {}: set the producer's partitioner to murmur2 and its "
            "key to the event's id",
            home));
  }
  const std::int64_t ahead = site.event_time.micros() - site.log_time.micros();
  if (ahead > rules_.future_bound_seconds * 1'000'000) {
    return reject(site, RejectReason::kTimeInFuture,
                  fmt::format("`time` is {} s ahead of the log, the limit is {} s",
                              ahead / 1'000'000, rules_.future_bound_seconds));
  }
  if (event.plan == nullptr) return RecordClass::kUnmetered;
  read_meters(event);
  if (taken_.empty() && failures_.empty()) return RecordClass::kFiltered;
  if (taken_.empty()) {
    const MeterFailure& first = failures_.front();
    return reject(site, first.reason,
                  fmt::format("meter {}: {}", meters_->meters()[first.meter].slug, first.detail));
  }
  return deduplicate(site);
}

RecordClass Fold::deduplicate(Site& site) {
  const DecodedEvent& event = site.event;
  const core::DedupEntry entry =
      hasher_.entry(event.subject, event.source, event.type, event.id, content_check(),
                    meters_->definition_version().value());
  const LogDay today = log_day_of(site.state.last_log_time);  // never steps back
  switch (site.state.memory.probe(entry, today)) {
    case dedup::Seen::kNever:
      break;
    case dedup::Seen::kSameContent:
      return RecordClass::kDuplicate;
    case dedup::Seen::kOtherGeneration:
      ++site.line.unverifiable;
      return RecordClass::kDuplicate;
    case dedup::Seen::kOtherContent:
      keep(site, RejectClass::kConflict, "other_content",
           "an event with this tenant, source, type and id was counted with other values; the "
           "first stands",
           "");
      return RecordClass::kConflict;
  }
  const std::int64_t age = site.log_time.micros() - site.event_time.micros();
  if (age > rules_.horizon_seconds * 1'000'000) {
    keep(site, RejectClass::kLate, "older_than_horizon",
         fmt::format("`time` is {} s behind the log, the limit is {} s", age / 1'000'000,
                     rules_.horizon_seconds),
         "");
    return RecordClass::kLate;
  }
  site.state.memory.insert(entry, today);
  site.plan.segments[{site.state.id, today}].push_back(entry);
  count(site, entry);
  return RecordClass::kCounted;
}

void Fold::read_meters(const DecodedEvent& event) {
  taken_.clear();
  failures_.clear();
  dimension_text_.clear();
  for (const CompiledMeter& compiled : event.plan->meters) {
    const bool passes =
        std::all_of(compiled.where.begin(), compiled.where.end(),
                    [&](const CompiledFilter& filter) { return holds(filter, event); });
    if (passes) read_meter(compiled, event);
  }
}

void Fold::read_meter(const CompiledMeter& compiled, const DecodedEvent& event) {
  Taken taken{compiled.index, {}, dimension_text_.size(), 0};
  auto failure = read_value(compiled, event, taken.value);
  if (!failure) failure = append_dimensions(compiled, event);
  if (failure) {
    dimension_text_.resize(taken.dimensions_begin);
    failures_.push_back(std::move(*failure));
    return;
  }
  taken.dimensions_size = dimension_text_.size() - taken.dimensions_begin;
  taken_.push_back(taken);
}

std::optional<Fold::MeterFailure> Fold::read_value(const CompiledMeter& compiled,
                                                   const DecodedEvent& event,
                                                   core::Decimal& value) const {
  const core::Meter& meter = meters_->meters()[compiled.index];
  if (meter.aggregation == Aggregation::kCount) {
    value = Decimal::from_int(1);
    return std::nullopt;
  }
  const Slot& slot = event.slots[compiled.value];
  const auto fail = [&](RejectReason reason, std::string detail) {
    return MeterFailure{compiled.index, reason, std::move(detail)};
  };
  if (slot.kind == SlotKind::kAbsent || slot.kind == SlotKind::kNull) {
    return fail(RejectReason::kValueMissing,
                "`data` has no value at " + fmt::format("/{}", fmt::join(meter.value, "/")));
  }
  if (slot.kind != SlotKind::kNumber) {
    return fail(RejectReason::kValueNotANumber, "the value must be a JSON number");
  }
  const auto number = Decimal::parse(slot.text);
  if (!number) {
    const bool not_a_number = number.error().message.find("not a JSON number") != std::string::npos;
    return fail(not_a_number ? RejectReason::kValueNotANumber : RejectReason::kValueOutOfRange,
                number.error().message);
  }
  value = number.value();
  if (value.units() > core::kMaxValueUnits || value.units() < -core::kMaxValueUnits) {
    return fail(RejectReason::kValueOutOfRange, "the value's limit is 10^18");
  }
  if (value.is_negative() && !meter.allow_negative) {
    return fail(RejectReason::kValueNegative,
                "negative values need `allow_negative` in the catalogue");
  }
  return std::nullopt;
}

std::optional<Fold::MeterFailure> Fold::append_dimensions(const CompiledMeter& compiled,
                                                          const DecodedEvent& event) {
  const core::Meter& meter = meters_->meters()[compiled.index];
  dimension_text_ += '{';
  for (std::size_t i = 0; i < compiled.dimensions.size(); ++i) {
    const Slot& slot = event.slots[compiled.dimensions[i]];
    std::string number;
    std::string_view text;
    switch (slot.kind) {
      case SlotKind::kAbsent:
      case SlotKind::kNull:
        break;
      case SlotKind::kString:
        text = slot.text;
        break;
      case SlotKind::kTrue:
        text = "true";
        break;
      case SlotKind::kFalse:
        text = "false";
        break;
      case SlotKind::kNumber: {
        const auto parsed = number_of(slot);
        if (parsed) number = parsed->to_string();
        text = number;
        break;
      }
      case SlotKind::kComposite:
        break;
    }
    const std::string& name = meter.group_by[i].name;
    if (slot.kind == SlotKind::kComposite || (slot.kind == SlotKind::kNumber && text.empty()) ||
        text.find('\0') != std::string_view::npos) {
      return MeterFailure{
          compiled.index, RejectReason::kDimensionNotScalar,
          fmt::format("dimension `{}` must be a string without NUL, a number or a boolean", name)};
    }
    if (text.size() > core::kMaxDimensionValueBytes) {
      return MeterFailure{compiled.index, RejectReason::kDimensionTooLong,
                          fmt::format("dimension `{}` has {} bytes, the limit is {}", name,
                                      text.size(), core::kMaxDimensionValueBytes)};
    }
    if (i != 0) dimension_text_ += ',';
    append_json_string(name, dimension_text_);
    dimension_text_ += ':';
    append_json_string(text, dimension_text_);
  }
  dimension_text_ += '}';
  return std::nullopt;
}

std::uint64_t Fold::content_check() {
  content_.clear();
  const auto append = [this](const auto& value) {
    content_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  for (const Taken& taken : taken_) {
    append(taken.meter);
    append(taken.value);
    append(taken.dimensions_size);
    content_.append(dimension_text_, taken.dimensions_begin, taken.dimensions_size);
  }
  return XXH3_64bits(content_.data(), content_.size());
}

void Fold::count(Site& site, const core::DedupEntry& entry) {
  for (const Taken& taken : taken_) {
    const core::Meter& meter = meters_->meters()[taken.meter];
    const core::Window window = core::window_of(site.event_time, meter.window);
    const WindowKeyView key{
        site.event.subject, taken.meter, window.start.seconds(),
        std::string_view(dimension_text_).substr(taken.dimensions_begin, taken.dimensions_size)};
    if (meter.aggregation == Aggregation::kLatest) {
      auto found = site.plan.gauges.find(key);
      if (found == site.plan.gauges.end())
        found = site.plan.gauges.try_emplace(WindowKey(key)).first;
      found->second.merge({taken.value, site.event_time, entry, 1});
    } else {
      auto found = site.plan.usage.find(key);
      if (found == site.plan.usage.end()) found = site.plan.usage.try_emplace(WindowKey(key)).first;
      found->second += {taken.value, 1};
    }
  }
  for (MeterFailure& failure : failures_) {
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
  std::string headers = headers_text(site.record);
  const auto bytes =
      static_cast<std::int64_t>(site.record.key.size() + site.record.value.size() + headers.size());
  if (static_cast<std::int64_t>(plan.rejects.size()) >= core::kMaxRejectRowsPerCommit ||
      plan.reject_bytes + bytes > core::kMaxRejectBytesPerCommit) {
    const auto same = [&](const OffsetRange& range) { return range.partition == site.state.id; };
    auto range = std::find_if(plan.reject_overflow.begin(), plan.reject_overflow.end(), same);
    if (range == plan.reject_overflow.end()) {
      plan.reject_overflow.push_back({site.state.id, site.record.offset, site.record.offset, 1});
    } else {
      range->last = site.record.offset;
      ++range->rows;
    }
    return;
  }
  plan.reject_bytes += bytes;
  plan.rejects.push_back({site.state.id, core::Offset(site.record.offset), std::move(meter),
                          reject_class, reason, bounded(std::move(detail)), site.log_time,
                          std::string(site.event.subject), std::string(site.record.key),
                          std::string(site.record.value), std::move(headers)});
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
