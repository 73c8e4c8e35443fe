// What became of every record of a publish: lines = delivered + refused + failed + not sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace tally::producer::publish {

struct PublishAccount {
  std::uint64_t lines = 0;        // records read that hold something
  std::uint64_t blank_lines = 0;  // passed over, not among `lines`
  std::uint64_t delivered = 0;
  std::uint64_t refused = 0;   // no valid event: never sent
  std::uint64_t not_sent = 0;  // holds no event, and need not: a line that matches no pattern
  std::uint64_t failed = 0;    // sent, or waiting to be, and not acknowledged
  std::map<std::string, std::uint64_t> failed_by_reason;
  std::uint64_t delivered_bytes = 0;
  std::chrono::duration<double> spent{0};
  // Behind the last line end, and not read: whoever writes may not be done with that line.
  std::uint64_t left_bytes = 0;
  // Of files that were rotated away or emptied: what they got after they were left, pieces of
  // lines, and all of one that was passed over or, without a state, could not be opened. Nobody
  // read it.
  std::uint64_t late_bytes = 0;
  // Set when it ended before the end of the input: the first line that was not read.
  std::optional<std::uint64_t> stopped_before_line;
  // Why it ended early: reading failed, or the state could not be written. "": it did not.
  std::string broken_by;
  // What Kafka's client said of events that failed; "": nothing, or none failed.
  std::string kafka_problem;
  // Where a state said to go on.
  std::optional<std::uint64_t> resumed_at_line;
  // It followed a file, so that a stop by a signal is its good end.
  bool followed = false;

  [[nodiscard]] bool whole() const {
    return (!stopped_before_line || followed) && refused == 0 && failed == 0 && broken_by.empty() &&
           left_bytes == 0 && late_bytes == 0 && delivered + not_sent == lines;
  }
};

// So many were queued, and the client ended without telling what became of them.
void count_untold(PublishAccount& account, std::uint64_t events);

// For people: a small table, its last line the verdict.
[[nodiscard]] std::string to_table(const PublishAccount& account);
// One JSON object on one line, for programs.
[[nodiscard]] std::string to_json(const PublishAccount& account);

}  // namespace tally::producer::publish
