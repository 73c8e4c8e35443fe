// The producer's codec (core/usage_event.h) beside the aggregator's decoder: what the one lets
// through the other must read, in both modes, with the same attributes and the same values.
#include "aggregator/decode.h"
#include "core/check.h"
#include "core/json_value.h"
#include "core/usage_event.h"
#include "tests/fuzz/event_of_lines.h"
#include "tests/fuzz/meters.h"
#include "tests/fuzz/target.h"

#include <string>
#include <vector>

namespace tally::fuzz {
namespace {

using aggregator::DecodedEvent;
using aggregator::PathNode;
using aggregator::RejectReason;
using aggregator::Slot;
using aggregator::SlotKind;
using core::JsonValue;

SlotKind expected_kind(const JsonValue* member) {
  if (member == nullptr) return SlotKind::kAbsent;
  switch (member->kind) {
    case JsonValue::Kind::kNull:
      return SlotKind::kNull;
    case JsonValue::Kind::kBoolean:
      return member->text == "true" ? SlotKind::kTrue : SlotKind::kFalse;
    case JsonValue::Kind::kNumber:
      return SlotKind::kNumber;
    case JsonValue::Kind::kString:
      return SlotKind::kString;
    case JsonValue::Kind::kArray:
    case JsonValue::Kind::kObject:
      break;
  }
  return SlotKind::kComposite;
}

void check_slots(const std::vector<PathNode>& nodes, const JsonValue* object,
                 std::span<const Slot> slots) {
  for (const PathNode& node : nodes) {
    const JsonValue* const member = object == nullptr ? nullptr : object->find(node.key);
    if (node.slot != aggregator::kNoSlot) {
      const Slot& slot = slots[node.slot];
      const SlotKind kind = expected_kind(member);
      TALLY_CHECK(slot.kind == kind, "{}: kind {}, not {}", node.key, static_cast<int>(slot.kind),
                  static_cast<int>(kind));
      if (kind == SlotKind::kString || kind == SlotKind::kNumber) {
        TALLY_CHECK(slot.text == member->text, "{}: `{}`, not `{}`", node.key, slot.text,
                    member->text);
      }
    }
    check_slots(node.children, member, slots);
  }
}

void check_same(const core::UsageEvent& event, const DecodedEvent& decoded) {
  TALLY_CHECK(decoded.reject == RejectReason::kNone,
              "the decoder rejects what the codec accepts: {}", decoded.detail);
  TALLY_CHECK(decoded.id == event.id, "`{}`, not `{}`", decoded.id, event.id);
  TALLY_CHECK(decoded.source == event.source, "`{}`, not `{}`", decoded.source, event.source);
  TALLY_CHECK(decoded.type == event.type, "`{}`, not `{}`", decoded.type, event.type);
  TALLY_CHECK(decoded.subject == event.subject, "`{}`, not `{}`", decoded.subject, event.subject);
  TALLY_CHECK(decoded.time == event.time, "of {}", event.id);
  if (decoded.plan == nullptr) return;
  const auto data = core::parse_json(event.data);
  TALLY_CHECK(data, "{}", data.error().message);
  check_slots(decoded.plan->roots, &data.value(), decoded.slots);
}

DecodedEvent decode_structured(aggregator::Decoder& decoder, std::string_view text) {
  runtime::kafka::Record record;
  record.value = text;
  return decoder.decode(record);
}

void check_in_binary_mode(const core::UsageEvent& event, aggregator::Decoder& decoder) {
  const std::string time = event.time ? core::to_rfc3339(*event.time) : "";
  std::vector<runtime::kafka::Header> headers = {{"ce_specversion", "1.0"},
                                                 {"ce_id", event.id},
                                                 {"ce_source", event.source},
                                                 {"ce_type", event.type},
                                                 {"ce_subject", event.subject}};
  if (event.time) headers.push_back({"ce_time", time});
  runtime::kafka::Record record;
  record.headers = headers;
  record.value = event.data;
  check_same(event, decoder.decode(record));
}

void check_written(const core::UsageEvent& event, aggregator::Decoder& decoder) {
  std::string text;
  core::append_structured(event, text);
  check_same(event, decode_structured(decoder, text));
  check_in_binary_mode(event, decoder);
}

}  // namespace

void one_input(std::string_view input) {
  aggregator::Decoder decoder(*fixed_meters());
  if (const auto event = core::parse_structured(input)) {
    check_same(event.value(), decode_structured(decoder, input));
    check_written(event.value(), decoder);
  }
  const core::UsageEvent event = event_of_lines(input);
  if (core::validate(event)) check_written(event, decoder);
}

}  // namespace tally::fuzz
