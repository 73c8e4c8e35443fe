// Faults: those that a test asks for by number, and those of a seeded plan by rate. One thread at a
// time.
#pragma once

#include "tests/support/sandbox/reply.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tally::sandbox {

// How the connection ends instead of an answer.
enum class Cut { kNo, kClose, kReset, kHang };
// What the idempotency key keeps: nothing, the fault's answer, or the endpoint's own.
enum class Kept { kNothing, kFault, kWork };

struct FaultKind {
  std::string_view name;
  int status = 0;      // that the client sees; 0: the endpoint's own, or none
  bool works = false;  // the endpoint does its work
  Kept kept = Kept::kNothing;
  Cut cut = Cut::kNo;
};

struct Fault {
  const FaultKind* kind = nullptr;  // nullptr: nothing goes wrong
  std::string match;                // part of the path; "" matches all
  std::int64_t count = 1;           // of one that was asked for
  double rate = 0;                  // of one of the plan
  std::int64_t value = 0;           // milliseconds by which the answer or the cut is later
  std::string should_retry;         // "true", "false" or "" (header absent)
  std::string limit_reason;         // status_429: Stripe-Rate-Limited-Reason; "" absent
  std::int64_t retry_after_s = 0;   // Retry-After; 0 absent

  explicit operator bool() const { return kind != nullptr; }
};

class Faults {
 public:
  // One object or an array of them; refused whole when one is wrong.
  [[nodiscard]] Refused add(const nlohmann::json& wanted);
  void clear() { faults_.clear(); }
  // {"seed": N, "faults": [… with "rate" for "count"]}; replaces the plan before it.
  [[nodiscard]] Refused set_plan(const nlohmann::json& wanted);
  void clear_plan();

  // What strikes a request: the first asked for that matches its path, used up by one; else what
  // the plan draws for `identity` (what a client sends again is the same) and the number of its
  // tries so far, whatever other requests came between.
  [[nodiscard]] Fault strike(std::string_view path, const std::string& identity);

  [[nodiscard]] nlohmann::json shown() const;
  [[nodiscard]] nlohmann::json shown_plan() const;
  [[nodiscard]] const std::map<std::string, std::int64_t>& struck() const { return struck_; }

 private:
  [[nodiscard]] Fault find(std::string_view path, const std::string& identity);

  std::vector<Fault> faults_;
  std::vector<Fault> plan_;
  std::uint64_t seed_ = 0;
  std::map<std::string, std::uint64_t> tries_;  // identity -> under this plan
  std::map<std::string, std::int64_t> struck_;  // kind -> how often
};

// The answer that a fault with a status gives instead of the endpoint's.
[[nodiscard]] Reply reply_of(const Fault& fault);

}  // namespace tally::sandbox
