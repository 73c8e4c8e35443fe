#include "producer/load/dispatch.h"

#include "core/check.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace tally::producer::load {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

// A wake-up for each event costs too much at a high rate: whoever waits, waits this long.
constexpr microseconds kShortestWait{200};
constexpr std::string_view kStopped = "stopped";

}  // namespace

void Dispatch::start(TimePoint start) {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(feed_.taken() == 0);
  feed_.start(start);
}

std::optional<Batch> Dispatch::take(std::size_t max) {
  const std::scoped_lock first_in_line(taking_);
  std::unique_lock lock(mutex_);
  for (;;) {
    const TimePoint now = Clock::now();
    note_behind(now);
    if (auto batch = feed_.take(now, max)) return batch;
    if (feed_.done()) return std::nullopt;
    changed_.wait_until(lock, std::max(feed_.next_look(), now + kShortestWait));
  }
}

// Whoever looks: a stall that nobody's take() ends is told by the close.
void Dispatch::note_behind(TimePoint now) {
  const std::uint64_t behind = feed_.behind(now);
  if (behind == 0 || closed_) return;
  const auto late = duration_cast<microseconds>(now - feed_.timetable().due(feed_.taken()));
  account_.most_behind = std::max(account_.most_behind, behind);
  account_.most_late = std::max(account_.most_late, late);
}

void Dispatch::sent(const Batch& batch) {
  TALLY_CHECK(batch.sendings > 0);
  const std::scoped_lock lock(mutex_);
  (batch.sendings == 1 ? account_.sent : account_.sent_again) += batch.numbers.size();
}

void Dispatch::acked(std::span<const std::uint64_t> numbers, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  if (finished_) return;
  for (const std::uint64_t number : numbers) {
    const auto latency = duration_cast<microseconds>(now - feed_.timetable().due(number));
    account_.latency.record(latency);
    recent_.record(latency);
  }
  account_.acked += numbers.size();
  ended_ += numbers.size();
}

void Dispatch::failed(Batch batch, End end_of_it, std::string reason, Again again,
                      TimePoint not_before) {
  const std::scoped_lock lock(mutex_);
  if (finished_ || batch.numbers.empty()) return;
  if (batch.sendings == 0 || end_of_it != End::kNotSent) {
    batch.so_far = end_of_it;
    batch.reason = std::move(reason);
  }
  if (again == Again::kMay && feed_.give_back(batch, not_before)) {
    changed_.notify_all();
  } else {
    end(batch);
  }
}

void Dispatch::end(const Batch& batch) {
  account_.count(batch.so_far, batch.reason, batch.numbers.size());
  ended_ += batch.numbers.size();
}

void Dispatch::told_to_wait(TimePoint until) {
  const std::scoped_lock lock(mutex_);
  ++account_.told_to_wait;
  feed_.pause(until);
}

void Dispatch::pause(TimePoint until) {
  const std::scoped_lock lock(mutex_);
  feed_.pause(until);
}

void Dispatch::complain(std::string sentence) {
  const std::scoped_lock lock(mutex_);
  account_.complaint = std::move(sentence);
}

void Dispatch::close(std::string problem) {
  const std::scoped_lock lock(mutex_);
  close_at(Clock::now(), std::move(problem));
}

void Dispatch::stop() {
  const std::scoped_lock lock(mutex_);
  const TimePoint now = Clock::now();
  close_at(now, feed_.all_due(now) ? "" : "stopped before all was due");
}

void Dispatch::close_at(TimePoint now, std::string problem) {
  note_behind(now);
  for (const Batch& batch : feed_.close(now)) end(batch);
  if (account_.problem.empty()) account_.problem = std::move(problem);
  closed_ = true;
  changed_.notify_all();
}

bool Dispatch::closed() const {
  const std::scoped_lock lock(mutex_);
  return closed_;
}

Moment Dispatch::moment() {
  const std::scoped_lock lock(mutex_);
  const TimePoint now = Clock::now();
  Moment moment;
  moment.due = feed_.due(now);
  moment.acked = account_.acked;
  moment.in_flight = feed_.taken() - ended_;
  moment.behind = closed_ ? 0 : feed_.behind(now);
  moment.errors = ended_ - account_.acked;
  moment.p99 = recent_.at(990);
  recent_.clear();
  return moment;
}

bool Dispatch::has_more() const {
  const std::scoped_lock lock(mutex_);
  return !feed_.done();
}

LoadAccount Dispatch::finish() {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(feed_.done() && !finished_);
  finished_ = true;
  account_.due = feed_.due(Clock::now());
  if (const std::uint64_t left = account_.due - feed_.taken(); left > 0) {
    account_.count(End::kNotSent, std::string(kStopped), left);
  }
  account_.unanswered += feed_.taken() - ended_;
  account_.check();
  return account_;
}

}  // namespace tally::producer::load
