// What became of every event that was due: due = sent + not sent, and sent = acked + refused + lost
// + unanswered.
#pragma once

#include "producer/load/latency.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace tally::producer::load {

// The end of one event; that of its last sending where it was sent several times.
enum class End : std::uint8_t {
  kNotSent,     // nothing of it left this process
  kAcked,       // all in-sync replicas have it, or the daemon answered that it is kept
  kRefused,     // the daemon answered that it took nothing
  kLost,        // Kafka's client gave it up, or the daemon answered that it is not kept
  kUnanswered,  // it may be kept or not: no answer, or one that does not say
};

struct LoadAccount {
  using Reasons = std::map<std::string, std::uint64_t>;

  std::uint64_t due = 0;
  std::uint64_t sent = 0;  // at least once
  std::uint64_t not_sent = 0;
  Reasons not_sent_by_reason;
  std::uint64_t acked = 0;
  std::uint64_t refused = 0;
  Reasons refused_by_reason;  // "429 too_many_in_flight"
  std::uint64_t lost = 0;
  Reasons lost_by_reason;
  std::uint64_t unanswered = 0;

  std::uint64_t copies = 0;                // of the due ones: of earlier ones, on purpose
  std::uint64_t sent_again = 0;            // further sendings of one event, by --retry
  std::uint64_t told_to_wait = 0;          // answers with Retry-After
  std::uint64_t most_behind = 0;           // due and not yet taken by a sender, at its worst
  std::chrono::microseconds most_late{0};  // of the first of them
  LatencyHistogram latency;                // of the acked ones, from the moment each was due;
                                           // of a stall that a stop ended most_late alone tells

  std::uint64_t seed = 0;
  std::uint64_t rate = 0;  // events a second that were wanted
  std::chrono::microseconds spent{0};
  std::string problem;    // why it ended early; "": it did not
  std::string complaint;  // of those that were not acked, the last that said something

  // One event that came to this; not kAcked.
  void count(End end, const std::string& reason, std::uint64_t events);
  [[nodiscard]] bool whole() const { return problem.empty() && acked == due; }
  // Whether it ever was so late that a reader of the latencies must know.
  [[nodiscard]] bool kept_the_rate() const;
  void check() const;  // that it balances
};

// For people: tables, the last line the verdict.
[[nodiscard]] std::string to_table(const LoadAccount& account);
// One JSON object on one line, for programs; latencies in microseconds, null where nothing was
// acked.
[[nodiscard]] std::string to_json(const LoadAccount& account);

// "12.34": milliseconds.
[[nodiscard]] std::string in_ms(std::chrono::microseconds time);

}  // namespace tally::producer::load
