#include "aggregator/meter_reader.h"

#include "core/eight_bytes.h"
#include "core/limits.h"

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
  if (!core::any_byte(text, core::escaped_of)) {
    out += text;
    out += '"';
    return;
  }
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

}  // namespace

MeterReader::MeterReader(std::shared_ptr<const MeterSet> meters, const core::IdentityHasher& hasher)
    : meters_(std::move(meters)), hasher_(hasher) {}

void MeterReader::read(const DecodedEvent& event) {
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

void MeterReader::read_meter(const CompiledMeter& compiled, const DecodedEvent& event) {
  TakenValue taken{compiled.index, {}, {}, dimension_text_.size(), 0};
  auto failure = read_value(compiled, event, taken);
  if (!failure) failure = append_dimensions(compiled, event);
  if (failure) {
    dimension_text_.resize(taken.dimensions_begin);
    failures_.push_back(std::move(*failure));
    return;
  }
  taken.dimensions_size = dimension_text_.size() - taken.dimensions_begin;
  taken_.push_back(taken);
}

std::optional<MeterFailure> MeterReader::read_value(const CompiledMeter& compiled,
                                                    const DecodedEvent& event,
                                                    TakenValue& taken) const {
  const core::Meter& meter = meters_->meters()[compiled.index];
  if (meter.aggregation == Aggregation::kCount) {
    taken.value = Decimal::from_int(1);
    return std::nullopt;
  }
  const Slot& slot = event.slots[compiled.value];
  if (slot.kind == SlotKind::kAbsent || slot.kind == SlotKind::kNull) {
    return MeterFailure{
        compiled.index, RejectReason::kValueMissing,
        "`data` has no value at " + fmt::format("/{}", fmt::join(meter.value, "/"))};
  }
  return meter.aggregation == Aggregation::kUniqueCount ? read_unique(compiled, slot, taken.unique)
                                                        : read_number(compiled, slot, taken.value);
}

std::optional<MeterFailure> MeterReader::read_number(const CompiledMeter& compiled,
                                                     const Slot& slot, core::Decimal& value) const {
  const auto fail = [&](RejectReason reason, std::string detail) {
    return MeterFailure{compiled.index, reason, std::move(detail)};
  };
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
  if (value.is_negative() && !meters_->meters()[compiled.index].allow_negative) {
    return fail(RejectReason::kValueNegative,
                "negative values need `allow_negative` in the catalogue");
  }
  return std::nullopt;
}

std::optional<MeterFailure> MeterReader::read_unique(const CompiledMeter& compiled,
                                                     const Slot& slot,
                                                     core::UniqueValue& value) const {
  switch (slot.kind) {
    case SlotKind::kString:
      value = core::unique_value(hasher_, core::ValueKind::kText, slot.text);
      return std::nullopt;
    case SlotKind::kTrue:
    case SlotKind::kFalse:
      value = core::unique_value(hasher_, core::ValueKind::kBoolean,
                                 slot.kind == SlotKind::kTrue ? "true" : "false");
      return std::nullopt;
    case SlotKind::kNumber: {
      const auto number = Decimal::parse(slot.text);
      if (!number) {
        return MeterFailure{compiled.index, RejectReason::kValueOutOfRange, number.error().message};
      }
      value = core::unique_value(hasher_, core::ValueKind::kNumber, number.value().to_string());
      return std::nullopt;
    }
    case SlotKind::kAbsent:
    case SlotKind::kNull:
    case SlotKind::kComposite:
      break;
  }
  return MeterFailure{compiled.index, RejectReason::kValueNotScalar,
                      "what is counted must be a string, a number or a boolean"};
}

std::optional<MeterFailure> MeterReader::append_dimensions(const CompiledMeter& compiled,
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

std::uint64_t MeterReader::content_check() {
  content_.clear();
  const auto append = [this](const auto& value) {
    content_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  for (const TakenValue& taken : taken_) {
    append(taken.meter);
    append(taken.value);
    if (meters_->meters()[taken.meter].aggregation == Aggregation::kUniqueCount) {
      append(taken.unique);
    }
    append(taken.dimensions_size);
    content_.append(dimension_text_, taken.dimensions_begin, taken.dimensions_size);
  }
  return XXH3_64bits(content_.data(), content_.size());
}

}  // namespace tally::aggregator
