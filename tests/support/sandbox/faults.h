// Faults: those that a test asks for by number, and those of a seeded plan by rate. One thread at a
// time.
#pragma once

#include "tests/support/sandbox/reply.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tally::sandbox {

// How the connection ends instead of an answer.
enum class Cut { kNo, kClose, kReset, kHang };
// What the idempotency key keeps: nothing, the fault's answer, or the endpoint's own.
enum class Kept { kNothing, kFault, kWork };
// What is wrong with the endpoint's own answer on its way.
enum class Garble { kNo, kHtml, kHalf };

struct FaultKind {
  std::string_view name;
  int status = 0;      // that the client sees; 0: the endpoint's own, or none
  bool works = false;  // the endpoint does its work
  Kept kept = Kept::kNothing;
  Cut cut = Cut::kNo;
  Garble garble = Garble::kNo;
  bool rejects_later = false;  // a good event, after its 200

  // Stripe itself is late with the answer, and what it holds stays held; else the way is at fault.
  [[nodiscard]] bool holds() const {
    return cut == Cut::kNo && garble == Garble::kNo && status != 502 && status != 503;
  }
};

struct Fault {
  const FaultKind* kind = nullptr;  // nullptr: nothing goes wrong
  std::string match;                // part of the path; "" matches all
  std::int64_t count = 1;           // of one that was asked for
  double rate = 0;                  // of one of the plan
  std::int64_t value = 0;           // milliseconds by which the answer or the cut is later
  std::string should_retry;         // "true", "false", "absent"; "": what Stripe says with it
  std::string limit_reason;         // status_429: Stripe-Rate-Limited-Reason; "" absent
  std::int64_t retry_after_s = 0;   // Retry-After; 0 absent
  std::string code;                 // reject_later: that of the report

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

  // What strikes a request: the first asked for that matches its path, used up by one; else of the
  // plan's that match it, each drawn in turn at its own rate, the first that strikes. Drawn for
  // `identity` (what a client sends again is the same) and the number of its tries so far, whatever
  // other requests came between.
  [[nodiscard]] Fault strike(std::string_view path, const std::string& identity);
  // Whether what struck took effect: a fault of the key's first answer has none on a kept one.
  void note(const Fault& fault, bool took_effect);

  [[nodiscard]] nlohmann::json shown() const;
  [[nodiscard]] nlohmann::json shown_plan() const;
  // kind -> how often it took effect, and how often it could not.
  [[nodiscard]] const std::map<std::string, std::int64_t>& struck() const { return struck_; }
  [[nodiscard]] const std::map<std::string, std::int64_t>& missed() const { return missed_; }

 private:
  std::vector<Fault> faults_;
  std::vector<Fault> plan_;
  std::uint64_t seed_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> tries_;  // hash of identity -> under this plan
  std::map<std::string, std::int64_t> struck_;
  std::map<std::string, std::int64_t> missed_;
};

// The answer that a fault with a status gives instead of the endpoint's.
[[nodiscard]] Reply reply_of(const Fault& fault);
// What is left of the text of an answer that a fault garbles.
[[nodiscard]] std::string garbled(Garble garble, const std::string& text);

}  // namespace tally::sandbox
