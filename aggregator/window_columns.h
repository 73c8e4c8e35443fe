// Keys of windows and spans as parameters of a statement: columns of text, in the order of their
// rows.
#pragma once

#include "aggregator/meter_set.h"
#include "aggregator/span_totals.h"
#include "aggregator/totals_plan.h"
#include "core/timestamp.h"
#include "runtime/postgres/connection.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tally::aggregator {

// When the rows' windows or spans begin and end. A statement has many rows and few moments, and to
// read their texts was half of a commit's cost. So each goes once, and a row names its place in the
// arrays, from 1 on: of fixed width and without NULL, they are looked into without a search.
class Moments {
 public:
  struct Of {
    std::int64_t start_seconds = 0;
    std::int64_t end_seconds = 0;
    std::int32_t first_date = 0;  // of a span, in days since 1970
    friend bool operator==(const Of&, const Of&) = default;
  };
  runtime::postgres::ArrayText start, end, first_date;  // of each place
  runtime::postgres::ArrayText place;                   // of each row

  void add(const Of& row) {
    if (places_.empty() || row != last_) {
      last_ = row;
      last_place_ = place_of(row);
    }
    place.add(last_place_);
  }

 private:
  struct Hash {
    std::size_t operator()(const Of& row) const {
      const auto bits = [](std::int64_t number) { return static_cast<std::uint64_t>(number); };
      return mixed(mixed(bits(row.start_seconds)) ^ bits(row.end_seconds) << 16U ^
                   bits(row.first_date));
    }
  };

  std::int64_t place_of(const Of& row) {
    const auto next = static_cast<std::int64_t>(places_.size()) + 1;
    const auto [found, fresh] = places_.try_emplace(row, next);
    if (fresh) {
      start.add(core::to_rfc3339(core::Timestamp::from_seconds(row.start_seconds)));
      end.add(core::to_rfc3339(core::Timestamp::from_seconds(row.end_seconds)));
      first_date.add(std::int64_t{row.first_date});
    }
    return found->second;
  }

  boost::unordered_flat_map<Of, std::int64_t, Hash> places_;
  Of last_;
  std::int64_t last_place_ = 0;
};

class WindowColumns {
 public:
  // Of take()'s parameters: tenant, meter, window_start, window_end, dimensions.
  static constexpr std::string_view kSelected =
      "unnest($1::text[]), unnest($2::text[]), ($4::timestamptz[])[unnest($6::integer[])], "
      "($5::timestamptz[])[unnest($6::integer[])], unnest($3::text[])";

  void add(const MeterSet& meters, const WindowKey& key) {
    tenant_.add(key.tenant());
    meter_.add(meters.meters()[key.meter].slug);
    dimensions_.add(key.dimensions());
    moments_.add({key.start_seconds, key.end_seconds(), 0});
  }
  // $1 to $6, once.
  [[nodiscard]] runtime::postgres::Params take() {
    return {tenant_.take(),        meter_.take(),       dimensions_.take(),
            moments_.start.take(), moments_.end.take(), moments_.place.take()};
  }

 private:
  runtime::postgres::ArrayText tenant_, meter_, dimensions_;
  Moments moments_;
};

class SpanColumns {
 public:
  // Of take()'s parameters: tenant, meter, span, span_start, span_end, first_date.
  static constexpr std::string_view kSelected =
      "unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), "
      "($4::timestamptz[])[unnest($7::integer[])], ($5::timestamptz[])[unnest($7::integer[])], "
      "DATE '1970-01-01' + ($6::integer[])[unnest($7::integer[])]";
  void add(const MeterSet& meters, const SpanKey& key) { add(meters, key, to_string(key.span)); }
  void add(const MeterSet& meters, const SpanKey& key, std::string_view span) {
    tenant_.add(key.tenant);
    meter_.add(meters.meters()[key.meter].slug);
    span_.add(span);
    moments_.add({key.start_seconds, key.end_seconds, key.first_date});
  }
  // $1 to $7, once.
  [[nodiscard]] runtime::postgres::Params take() {
    return {tenant_.take(),        meter_.take(),       span_.take(),
            moments_.start.take(), moments_.end.take(), moments_.first_date.take(),
            moments_.place.take()};
  }

 private:
  runtime::postgres::ArrayText tenant_, meter_, span_;
  Moments moments_;
};

}  // namespace tally::aggregator
