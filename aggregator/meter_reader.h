// What each meter of an event's type takes from one event: filters, value and dimensions. Pure.
//
// Threads: one MeterReader per thread. Lifetime: what read() found lives until the next read().
#pragma once

#include "aggregator/decode.h"
#include "aggregator/meter_set.h"
#include "core/decimal.h"
#include "core/identity.h"
#include "core/unique_value.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::aggregator {

struct TakenValue {
  std::uint16_t meter = 0;           // into MeterSet::meters()
  core::Decimal value;               // 0 for unique_count
  core::UniqueValue unique;          // of unique_count only
  std::size_t dimensions_begin = 0;  // see MeterReader::dimensions
  std::size_t dimensions_size = 0;
};

// A meter that wanted the event and could not read it.
struct MeterFailure {
  std::uint16_t meter = 0;
  RejectReason reason = RejectReason::kNone;
  std::string detail;
};

class MeterReader {
 public:
  // The hasher must outlive the reader.
  MeterReader(std::shared_ptr<const MeterSet> meters, const core::IdentityHasher& hasher);

  // The event must have a plan. Meters whose filters exclude it stand in neither list.
  void read(const DecodedEvent& event);
  [[nodiscard]] const std::vector<TakenValue>& taken() const { return taken_; }
  [[nodiscard]] std::vector<MeterFailure>& failures() { return failures_; }
  // Canonical JSON, names sorted.
  [[nodiscard]] std::string_view dimensions(const TakenValue& taken) const {
    return std::string_view(dimension_text_).substr(taken.dimensions_begin, taken.dimensions_size);
  }
  // A hash of all that was taken: two records with equal checks would be counted alike.
  [[nodiscard]] std::uint64_t content_check();

 private:
  void read_meter(const CompiledMeter& compiled, const DecodedEvent& event);
  std::optional<MeterFailure> read_value(const CompiledMeter& compiled, const DecodedEvent& event,
                                         TakenValue& taken) const;
  std::optional<MeterFailure> read_number(const CompiledMeter& compiled, const Slot& slot,
                                          core::Decimal& value) const;
  std::optional<MeterFailure> read_unique(const CompiledMeter& compiled, const Slot& slot,
                                          core::UniqueValue& value) const;
  std::optional<MeterFailure> append_dimensions(const CompiledMeter& compiled,
                                                const DecodedEvent& event);

  std::shared_ptr<const MeterSet> meters_;
  const core::IdentityHasher& hasher_;
  std::vector<TakenValue> taken_;
  std::vector<MeterFailure> failures_;
  std::string dimension_text_;
  std::string content_;
};

}  // namespace tally::aggregator
