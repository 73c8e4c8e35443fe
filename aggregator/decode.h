// From a record's bytes to an event with the values that meters read, in one pass over the JSON.
//
// Understands CloudEvents 1.0 in structured mode (the value is the event) and in Kafka's binary
// mode (attributes in `ce_*` headers, the value is data). Strict about what is billed: a missing,
// repeated, over-long or wrongly typed attribute, and a repeated member that a meter reads, is a
// reject with its reason. Members that no meter reads are passed over.
//
// Threads: one Decoder per thread. Lifetime: what decode() returned points into the record and the
// decoder and lives until the next call.
#pragma once

#include "aggregator/meter_set.h"
#include "core/timestamp.h"
#include "runtime/kafka/consumer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tally::aggregator {

// Why a record, or one meter's reading of it, was rejected. The texts stand in tally.reject.reason.
enum class RejectReason : std::uint8_t {
  kNone,
  kEmptyValue,
  kMalformedJson,
  kInvalidUtf8,
  kNotCloudEvent,
  kUnsupportedSpecversion,
  kMissingAttribute,
  kDuplicateAttribute,
  kWrongType,
  kAttributeTooLong,
  kBadTime,
  kDataNotObject,
  kDataTooLarge,
  kTimeInFuture,
  kValueMissing,
  kValueNotANumber,
  kValueOutOfRange,
  kValueNegative,
  kValueNotScalar,
  kDimensionNotScalar,
  kDimensionTooLong,
};
[[nodiscard]] std::string_view to_string(RejectReason reason);

enum class SlotKind : std::uint8_t { kAbsent, kString, kNumber, kTrue, kFalse, kNull, kComposite };

struct Slot {
  SlotKind kind = SlotKind::kAbsent;
  std::string_view text;  // kString: unescaped; kNumber: the number's own text
};

struct DecodedEvent {
  RejectReason reject = RejectReason::kNone;
  std::string detail;   // for people; empty unless rejected
  std::string_view id;  // what could be read stays filled in a reject
  std::string_view source;
  std::string_view type;
  std::string_view subject;
  std::optional<core::Timestamp> time;
  const TypePlan* plan = nullptr;  // nullptr: no meter reads this type
  std::span<const Slot> slots;     // plan->slots of them
};

class Decoder {
 public:
  explicit Decoder(const MeterSet& meters);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  [[nodiscard]] const DecodedEvent& decode(const runtime::kafka::Record& record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::aggregator
