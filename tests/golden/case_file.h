// A golden case: a small stream of usage events and the books that it must leave, as text that a
// person can read (tests/golden/README.md holds the grammar). Plain values.
#pragma once

#include "tests/simulation/tables.h"

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::golden {

// What becomes of a record, by hand.
enum class Fate : std::uint8_t {
  kCounted,
  kDuplicate,
  kConflict,
  kLate,
  kRejected,
  kUnmetered,
  kFiltered,
  kSkipped,  // nobody may read it: aborted, or no record at all
};
[[nodiscard]] std::string_view to_string(Fate fate);

enum class Delivery : std::uint8_t {
  kPlain,
  kCommitted,  // in a transaction of its own
  kAborted,    // in a transaction of its own
  kGap,        // a marker alone: an offset without a record
};

struct GoldenRecord {
  int line = 0;  // in the file
  Fate fate = Fate::kCounted;
  Delivery delivery = Delivery::kPlain;
  std::int64_t log_time_ms = 0;
  std::string key;
  std::string value;
  std::vector<std::pair<std::string, std::string>> headers;
  bool foreign = false;  // is put on another partition than its home, where there is one
  std::string identity;  // equal for records that are copies of one event
};

// Each text is the whole of what stands there: "= 2 of 2", "shows 7 of 3". Several: any of them.
using Acceptable = std::vector<std::string>;

struct Books {
  std::map<simulation::TotalKey, Acceptable> windows;  // tenant, meter, start, dimensions
  std::map<std::string, std::int64_t> classes;         // by Fate; `skipped` counts offsets
  std::map<std::string, std::int64_t> rejects;         // "reason" or "meter: reason"
};

struct GoldenCase {
  std::string name;
  std::string catalogue;  // catalogue.json
  std::vector<GoldenRecord> records;
  Books books;
  bool fixed_clock = false;  // some time is the log's or written in full: it cannot move to today
};

// What is wrong with a case's text: "filters.txt:12: …".
class BadCase : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Times of day count from `day_seconds`. Throws BadCase.
[[nodiscard]] GoldenCase parse_case(const std::string& file_name, std::string_view text,
                                    std::int64_t day_seconds);

// The offsets that a record takes up where it is skipped: itself and its transaction's marker.
[[nodiscard]] std::int64_t skipped_offsets(const GoldenRecord& record);

}  // namespace tally::golden
