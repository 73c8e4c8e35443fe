#include "producer/load/feed.h"

#include "core/check.h"

#include <utility>

namespace tally::producer::load {
namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

TimePoint Timetable::due(std::uint64_t number) const {
  const std::uint64_t rest = number % rate_ * kNanosPerSecond / rate_;
  return start_ + std::chrono::seconds(number / rate_) + std::chrono::nanoseconds(rest);
}

std::uint64_t Timetable::due_by(TimePoint now) const {
  if (now < start_) return 0;
  const auto passed = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now - start_).count());
  const std::uint64_t rest = (passed % kNanosPerSecond + 1) * rate_;
  return passed / kNanosPerSecond * rate_ + (rest + kNanosPerSecond - 1) / kNanosPerSecond;
}

std::uint64_t Feed::due(TimePoint now) const {
  return due_when_closed_ ? *due_when_closed_ : std::min(total_, timetable_.due_by(now));
}

std::optional<Batch> Feed::take(TimePoint now, std::size_t max) {
  TALLY_CHECK(max > 0);
  if (now < paused_until_) return std::nullopt;
  if (!back_.empty() && back_.begin()->first <= now) {
    Batch batch = std::move(back_.extract(back_.begin()).mapped());
    ++batch.tries;
    return batch;
  }
  const std::uint64_t until =
      next_ + std::min<std::uint64_t>(max, std::min(total_, due(now)) - next_);
  if (until == next_) return std::nullopt;
  Batch batch;
  batch.tries = 1;
  batch.numbers.reserve(until - next_);
  while (next_ < until) batch.numbers.push_back(next_++);
  return batch;
}

TimePoint Feed::next_look() const {
  TimePoint look = next_ < total_ ? timetable_.due(next_) : TimePoint::max();
  if (!back_.empty()) look = std::min(look, back_.begin()->first);
  return std::max(look, paused_until_);
}

bool Feed::give_back(Batch& batch, TimePoint not_before) {
  TALLY_CHECK(batch.tries > 0 && !batch.numbers.empty());
  if (due_when_closed_ || batch.tries > again_) return false;
  back_.emplace(not_before, std::move(batch));
  return true;
}

std::vector<Batch> Feed::close(TimePoint now) {
  if (!due_when_closed_) due_when_closed_ = due(now);
  total_ = next_;
  std::vector<Batch> given_up;
  for (auto& [when, batch] : back_) given_up.push_back(std::move(batch));
  back_.clear();
  return given_up;
}

}  // namespace tally::producer::load
