// What a meter is: which events it reads, what it takes from them and how it adds them up. Plain
// values, parsed and checked by core/catalogue.h; immutable once used.
#pragma once

#include "core/decimal.h"
#include "core/window.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tally::core {

enum class Aggregation : std::uint8_t { kSum, kCount, kMax, kMin, kLatest, kUniqueCount };

[[nodiscard]] std::string_view to_string(Aggregation aggregation);
[[nodiscard]] std::string_view to_string(WindowSize size);

// RFC 6901 into `data`, object members only, already unescaped: "/usage/tokens" ->
// {"usage","tokens"}.
using JsonPath = std::vector<std::string>;

struct Dimension {
  std::string name;
  JsonPath path;  // absent in an event: the dimension's value is ""
};

// A scalar of JSON as filters compare it. Numbers are compared exactly.
using Scalar = std::variant<std::string, Decimal, bool, std::nullptr_t>;

enum class FilterKind : std::uint8_t { kIn, kNotIn };

// kIn: the member is present and equals one of the values. kNotIn: it is absent or equals none of
// them.
struct Filter {
  JsonPath path;
  FilterKind kind = FilterKind::kIn;
  std::vector<Scalar> values;
};

struct StripeMapping {
  std::string event_name;  // 1..100 bytes
  Decimal multiplier;      // tally's units × multiplier = Stripe's units
  int decimals = 0;        // digits after the point that are sent, 0..12
  Rounding rounding =
      Rounding::kHalfUp;  // at the period's close; before it the fraction is carried
};

struct Meter {
  std::string slug;  // [a-z][a-z0-9_]*, 1..64
  std::string event_type;
  Aggregation aggregation = Aggregation::kSum;
  JsonPath value;                   // empty for count
  std::vector<Dimension> group_by;  // sorted by name
  std::vector<Filter> where;        // all must hold
  WindowSize window = WindowSize::kHour;
  bool allow_negative = false;
  std::optional<Decimal> unit_cost;
  std::optional<StripeMapping> stripe;
};

}  // namespace tally::core
