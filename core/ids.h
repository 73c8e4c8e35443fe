// Distinct types for the numbers and names that must not be mixed up: no two adjacent bare integers
// in a signature. All are plain values: copyable, comparable, hashable.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace tally::core {

template <class Tag, class Rep>
class Named {
 public:
  using rep = Rep;
  constexpr Named() = default;
  constexpr explicit Named(Rep value) : value_(std::move(value)) {}
  [[nodiscard]] constexpr const Rep& value() const { return value_; }
  friend constexpr auto operator<=>(const Named&, const Named&) = default;
  friend constexpr bool operator==(const Named&, const Named&) = default;

 private:
  Rep value_{};
};

using PartitionId = Named<struct PartitionIdTag, std::int32_t>;  // Kafka partition, from 0
using Offset = Named<struct OffsetTag, std::int64_t>;            // Kafka offset, from 0
using Epoch = Named<struct EpochTag, std::int64_t>;              // raised by each new owner
using Generation = Named<struct GenerationTag, std::int64_t>;    // raised when the topic grows
using HandoffId = Named<struct HandoffIdTag, std::int64_t>;      // a row of tally.handoff
using CatalogueVersion = Named<struct CatalogueVersionTag, std::int64_t>;  // raised by each change

}  // namespace tally::core

template <class Tag, class Rep>
struct std::hash<tally::core::Named<Tag, Rep>> {
  std::size_t operator()(const tally::core::Named<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value());
  }
};
