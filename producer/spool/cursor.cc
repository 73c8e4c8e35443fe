#include "producer/spool/cursor.h"

#include "runtime/log/log.h"

#include <algorithm>

namespace tally::producer::spool {

void Cursor::seek(std::uint64_t sequence) {
  at_ = sequence;
  found_.reset();
  reader_.reset();
}

Step Cursor::pass_over(std::uint64_t until) {
  Step step{.record = std::nullopt, .missing = until - at_};
  const auto [begin, end] = store_.torn();
  step.torn = std::clamp(end, at_, until) - std::clamp(begin, at_, until);
  at_ = until;
  return step;
}

bool Cursor::open(const Segment& segment) {
  if (reader_ && number_ == segment.number) return true;
  const std::string name = segment_name(segment.number);
  const bool is_given_up = given_up_ == segment.number;
  try {
    reader_.emplace(store_.folder().open(name), store_.spool(), segment.number);
  } catch (const FileFailure& failure) {
    if (failure.trouble() != Trouble::kGone && !is_given_up) throw;
    runtime::log::error(
        "spool_segment_gone",
        {{"segment", name}, {"folder", store_.folder().path()}, {"problem", failure.what()}});
    return false;
  }
  number_ = segment.number;
  if (is_given_up) reader_->step_over_unreadable();
  return true;
}

void Cursor::give_up_unreadable() {
  if (const auto place = store_.find(at_); place.segment) given_up_ = place.segment->number;
  seek(at_);
}

std::optional<Step> Cursor::next() {
  if (found_) {
    // A gap moves nothing in the reader's buffer.
    Step step{.record = found_};
    at_ = found_->sequence + 1;
    found_.reset();
    return step;
  }
  const auto [begin, segment] = store_.find(at_);
  if (begin > at_) return pass_over(begin);
  if (!segment) return std::nullopt;
  if (!open(*segment)) return pass_over(segment->end_sequence);
  const auto record = reader_->next(at_, segment->end_sequence, segment->bytes);
  if (!record) return pass_over(segment->end_sequence);
  if (record->sequence > at_) {
    found_ = record;
    return pass_over(record->sequence);
  }
  ++at_;
  return Step{.record = record};
}

}  // namespace tally::producer::spool
