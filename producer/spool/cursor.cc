#include "producer/spool/cursor.h"

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

std::optional<Step> Cursor::next() {
  if (found_) {
    // A gap moves nothing in the reader's buffer.
    Step step{.record = found_};
    at_ = found_->sequence + 1;
    found_.reset();
    return step;
  }
  const auto segment = store_.find(at_);
  if (!segment) return std::nullopt;
  if (segment->first_sequence > at_) return pass_over(segment->first_sequence);
  if (!reader_ || number_ != segment->number) {
    reader_.emplace(store_.folder().open(segment_name(segment->number)), store_.spool(),
                    segment->number);
    number_ = segment->number;
  }
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
