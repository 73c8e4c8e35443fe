// A golden case: a small stream of usage events and the books that it must leave, as text that a
// person can read (tests/golden/README.md holds the grammar). Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
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

// What stands in one row of the totals.
struct Standing {
  std::string kind;   // "=" a counter, "shows" a gauge, "unique" a set
  std::string value;  // of a set: how many different values
  std::int64_t events = 0;
  std::optional<std::int64_t> end_seconds;  // a case need not say it
  std::optional<std::int64_t> read_at_us;   // of a gauge's reading; a case need not say it
};
using Acceptable = std::vector<Standing>;  // several: any of them

// Tenant, meter, span ("window", "day", "month", "period"), start, dimensions.
using TotalKey = std::tuple<std::string, std::string, std::string, std::int64_t, std::string>;
inline constexpr const char* kWindow = "window";

struct Books {
  std::map<TotalKey, Acceptable> totals;
  std::map<std::string, std::int64_t> classes;  // by Fate; `skipped` counts offsets
  std::map<std::string, std::int64_t> rejects;  // "reason" or "meter: reason"
};

struct Period {
  std::string tenant;
  std::int64_t start_seconds = 0;
  std::int64_t end_seconds = 0;
};

// A combination of dimensions that the guard has taken in before, when it was full.
struct Admitted {
  std::string tenant;
  std::string meter;
  std::int64_t month_seconds = 0;  // the month's start
  std::string dimensions;
};

struct GoldenCase {
  std::string name;
  std::string catalogue;         // catalogue.json
  std::int64_t day_seconds = 0;  // its first day
  std::string first_day_rule;    // on which days it is true; empty: on any
  std::vector<GoldenRecord> records;
  std::vector<Period> periods;
  std::vector<Admitted> admitted;
  Books books;
  bool fixed_clock = false;  // some time is the log's or written in full: it cannot move to today

  // A case tells a kind of span wholly or not at all; windows always.
  [[nodiscard]] bool tells(const std::string& span) const;
};

// What is wrong with a case's text: "filters.txt:12: …".
class BadCase : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Times of day count from `day_seconds`; nullopt: the day that the case names, or else any. Throws
// BadCase.
[[nodiscard]] GoldenCase parse_case(const std::string& file_name, std::string_view text,
                                    std::optional<std::int64_t> day_seconds);

// The offsets that a record takes up where it is skipped: itself and its transaction's marker.
[[nodiscard]] std::int64_t skipped_offsets(const GoldenRecord& record);

}  // namespace tally::golden
