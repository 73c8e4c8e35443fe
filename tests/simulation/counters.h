// Counters of what happened in schedules. `Event` is an enum class from 0 on that ends in
// kEventCount and has a to_string().
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace tally::simulation {

// One thread.
template <class Event>
class Counters {
 public:
  void count(Event event, std::int64_t times = 1) {
    counts_.at(static_cast<std::size_t>(event)) += times;
  }
  [[nodiscard]] std::int64_t of(Event event) const {
    return counts_.at(static_cast<std::size_t>(event));
  }
  void add(const Counters& other) {
    for (std::size_t i = 0; i < kCount; ++i) counts_.at(i) += other.counts_.at(i);
  }
  // One line per counter.
  [[nodiscard]] std::string table() const {
    std::string text;
    for (std::size_t i = 0; i < kCount; ++i)
      text += fmt::format("  {:<28} {:>10}\n", to_string(static_cast<Event>(i)), counts_.at(i));
    return text;
  }
  // The names of those that never happened, but for `excepted`; empty when each did.
  [[nodiscard]] std::string missing(std::initializer_list<Event> excepted = {}) const {
    std::string text;
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto event = static_cast<Event>(i);
      if (counts_.at(i) != 0 ||
          std::find(excepted.begin(), excepted.end(), event) != excepted.end())
        continue;
      text += fmt::format("{}{}", text.empty() ? "" : ", ", to_string(event));
    }
    return text;
  }

 private:
  static constexpr auto kCount = static_cast<std::size_t>(Event::kEventCount);
  std::array<std::int64_t, kCount> counts_{};
};

}  // namespace tally::simulation
