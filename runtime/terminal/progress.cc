#include "runtime/terminal/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tally::runtime::terminal {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTerminalPause{100};
constexpr milliseconds kPlainPause{2'000};
constexpr int kBarCells = 24;

std::string bar(std::uint64_t done, std::uint64_t total, std::string_view colour) {
  const auto cells = static_cast<int>(std::min(done, total) * kBarCells / total);
  std::string out = "[";
  out += colour;
  for (int i = 0; i < kBarCells; ++i) out += i < cells ? "█" : "·";
  if (!colour.empty()) out += "\x1b[0m";
  return out + "]";
}

}  // namespace

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

bool stderr_has_colours() {
  const char* off = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (off == nullptr || *off == '\0');
}

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto place = static_cast<std::ptrdiff_t>(text.size()) - 3; place > 0; place -= 3) {
    text.insert(static_cast<std::size_t>(place), 1, ',');
  }
  return text;
}

Progress::Progress(std::string label, std::uint64_t total)
    : label_(std::move(label)),
      total_(total),
      terminal_(stderr_is_terminal()),
      colours_(stderr_has_colours()),
      started_(Clock::now()),
      next_(started_ + (terminal_ ? kTerminalPause : kPlainPause)) {}

Progress::~Progress() {
  if (terminal_ && drawn_) fmt::print(stderr, "\n");
}

void Progress::update(std::uint64_t done, std::uint64_t count, std::string_view note) {
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? kTerminalPause : kPlainPause);
  draw(done, count, note);
}

void Progress::finish(std::uint64_t done, std::uint64_t count, std::string_view note) {
  draw(done, count, note);
}

void Progress::draw(std::uint64_t done, std::uint64_t count, std::string_view note) {
  const std::chrono::duration<double> spent = Clock::now() - started_;
  const double rate = static_cast<double>(count) / std::max(spent.count(), 1e-3);
  const std::string speed = grouped(static_cast<std::uint64_t>(rate)) + "/s";
  const std::uint64_t percent = total_ == 0 ? 0 : std::min(done, total_) * 100 / total_;
  if (terminal_) {
    const std::string meter =
        total_ == 0
            ? std::string()
            : fmt::format("{} {:3}%  ", bar(done, total_, colours_ ? "\x1b[36m" : ""), percent);
    fmt::print(stderr, "\r{}  {}{}  {}\x1b[K", label_, meter, note, speed);
    drawn_ = true;
  } else if (total_ == 0) {
    fmt::print(stderr, "{}: {}, {}\n", label_, note, speed);
  } else {
    fmt::print(stderr, "{}: {} %, {}, {}\n", label_, percent, note, speed);
  }
  static_cast<void>(std::fflush(stderr));
}

}  // namespace tally::runtime::terminal
