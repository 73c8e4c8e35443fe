// What senders take and what they say came of it: the feed and the account under one lock. Any
// thread.
#pragma once

#include "producer/load/account.h"
#include "producer/load/feed.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace tally::producer::load {

// A moment of a running load.
struct Moment {
  std::uint64_t due = 0;
  std::uint64_t acked = 0;
  std::uint64_t in_flight = 0;  // taken and without an end, those to be sent again too
  std::uint64_t behind = 0;
  std::uint64_t errors = 0;
  std::chrono::microseconds p99{0};  // of those acked since the moment before
};

// Whether to send again what came to nothing.
enum class Again : std::uint8_t { kNever, kMay };

class Dispatch {
 public:
  Dispatch(Timetable timetable, std::uint64_t total, std::uint32_t again)
      : feed_(timetable, total, again) {}

  // Before the first take(), of a timetable without a start: when event 0 is due.
  void start(TimePoint start);
  // Waits until something is to be sent, at most `max` events. nullopt: nothing will be, unless
  // what is on its way is given back.
  [[nodiscard]] std::optional<Batch> take(std::size_t max);

  // Something of it left, and `sendings` counts that.
  void sent(const Batch& batch);
  void acked(std::span<const std::uint64_t> numbers, TimePoint now);
  // What a try came to that is no ack. kMay: where there are tries left it is taken again at
  // `not_before`, and this is no end yet. What did not leave keeps what it came to before.
  void failed(Batch batch, End end, std::string reason, Again again, TimePoint not_before);
  // An answer told to wait: nothing is taken until then.
  void told_to_wait(TimePoint until);
  // As that, but nobody told.
  void pause(TimePoint until);
  void complain(std::string sentence);

  // What is not taken never will be. `problem`: why it ends early; the first one stays.
  void close(std::string problem);
  // As that, by a person: a problem only where not all is due yet.
  void stop();
  [[nodiscard]] bool closed() const;
  // Whether take() would wait for something, or give it.
  [[nodiscard]] bool has_more() const;

  [[nodiscard]] Moment moment();
  // After the last word of the senders: what is still on its way is unanswered, and later words
  // change nothing. Balanced.
  [[nodiscard]] LoadAccount finish();

 private:
  void end(const Batch& batch);
  void note_behind(TimePoint now);
  void close_at(TimePoint now, std::string problem);

  mutable std::mutex mutex_;  // guards what follows
  Feed feed_;
  LoadAccount account_;
  LatencyHistogram recent_;
  std::uint64_t ended_ = 0;
  bool closed_ = false;
  bool finished_ = false;
  std::condition_variable changed_;  // what may be taken
  std::mutex taking_;                // held by the one sender that waits for the timetable
};

}  // namespace tally::producer::load
