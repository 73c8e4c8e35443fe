// How far into its input everything has ended well: delivered, or passed over because there was
// nothing to send. What lies behind a failure, or behind what is still on its way, does not count.
#pragma once

#include "producer/publish/input.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace tally::producer::publish {

// Between two records.
struct Place {
  std::shared_ptr<const FileMark> file;
  std::uint64_t offset = 0;  // of the next one
  std::uint64_t line = 1;    // of the next one, from 1
};

// begin(), sent(), passed() and acked() on one thread, the others on any.
class AckedPrefix {
 public:
  void begin(Place place) { acked_ = std::move(place); }
  // A record that is offered to the broker, and the place behind it; its tag.
  [[nodiscard]] std::uint64_t sent(Place behind);
  // The newest one was not taken after all.
  void withdrawn();
  void passed(Place behind);
  void delivered(std::uint64_t tag);
  // It stays where it is for good: nothing more is remembered.
  void failed();
  [[nodiscard]] bool has_failed() const;
  // False while what waits behind the oldest one on its way is at the bound: wait.
  [[nodiscard]] bool has_room() const;
  [[nodiscard]] Place acked() const;

 private:
  struct Entry {
    Place behind;
    bool done = false;
  };
  void advance();

  mutable std::mutex mutex_;  // of all that follows
  std::deque<Entry> entries_;
  std::uint64_t first_tag_ = 0;  // of entries_.front()
  Place acked_;
  bool failed_ = false;
};

}  // namespace tally::producer::publish
