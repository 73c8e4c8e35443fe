#include "producer/spool/cursor.h"

#include <algorithm>

namespace tally::producer::spool {

void Cursor::seek(std::uint64_t sequence) {
  at_ = sequence;
  found_.reset();
  reader_.reset();
}

Step Cursor::pass_over(const Segment& segment, std::uint64_t until) {
  Step step{.record = std::nullopt, .missing = until - at_};
  const std::uint64_t torn_from = std::clamp(segment.torn_from, at_, until);
  step.torn = until - torn_from;
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
  if (segment->first_sequence > at_) return pass_over(*segment, segment->first_sequence);
  if (!reader_ || number_ != segment->number) {
    reader_.emplace(store_.folder().open(segment_name(segment->number)), store_.spool(),
                    segment->number);
    number_ = segment->number;
  }
  const auto record = reader_->next(at_, segment->end_sequence, segment->bytes);
  if (!record) return pass_over(*segment, segment->end_sequence);
  if (record->sequence > at_) {
    found_ = record;
    return pass_over(*segment, record->sequence);
  }
  ++at_;
  return Step{.record = record};
}

}  // namespace tally::producer::spool
