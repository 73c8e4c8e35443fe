// How far a long command is, on stderr: a bar on a terminal, a plain line every two seconds
// elsewhere. One thread. Cheap enough to be called for every batch; it draws ten times a second at
// most.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tally::runtime::terminal {

// Whether stderr is a terminal, and whether colours are wanted there (NO_COLOR unset or empty).
[[nodiscard]] bool stderr_is_terminal();
[[nodiscard]] bool stderr_has_colours();

// "1,234,567"
[[nodiscard]] std::string grouped(std::uint64_t number);

class Progress {
 public:
  // `total` in the unit of update()'s `done`; 0: not known, no bar then.
  Progress(std::string label, std::uint64_t total);
  ~Progress();  // ends the bar's line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` stands behind the bar ("120,000 delivered"). The rate shown is that of `count`.
  void update(std::uint64_t done, std::uint64_t count, std::string_view note);
  // Draws at once, whatever the time: the last state.
  void finish(std::uint64_t done, std::uint64_t count, std::string_view note);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(std::uint64_t done, std::uint64_t count, std::string_view note);
  std::string label_;
  std::uint64_t total_;
  bool terminal_;
  bool colours_;
  bool drawn_ = false;
  Clock::time_point started_;
  Clock::time_point next_;
};

}  // namespace tally::runtime::terminal
