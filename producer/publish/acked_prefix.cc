#include "producer/publish/acked_prefix.h"

#include "core/limits.h"

#include <utility>

namespace tally::producer::publish {

std::uint64_t AckedPrefix::sent(Place behind) {
  const std::scoped_lock lock(mutex_);
  if (failed_) return 0;
  entries_.push_back({std::move(behind), false});
  return first_tag_ + entries_.size() - 1;
}

void AckedPrefix::withdrawn() {
  const std::scoped_lock lock(mutex_);
  if (!failed_) entries_.pop_back();
}

void AckedPrefix::passed(Place behind) {
  const std::scoped_lock lock(mutex_);
  if (failed_) return;
  if (entries_.empty()) {
    acked_ = std::move(behind);
  } else if (entries_.back().done) {
    entries_.back().behind = std::move(behind);
  } else {
    entries_.push_back({std::move(behind), true});
  }
}

void AckedPrefix::delivered(std::uint64_t tag) {
  const std::scoped_lock lock(mutex_);
  if (failed_) return;
  entries_[tag - first_tag_].done = true;
  advance();
}

void AckedPrefix::advance() {
  while (!entries_.empty() && entries_.front().done) {
    acked_ = std::move(entries_.front().behind);
    entries_.pop_front();
    ++first_tag_;
  }
}

void AckedPrefix::failed() {
  const std::scoped_lock lock(mutex_);
  failed_ = true;
  entries_.clear();
}

bool AckedPrefix::has_failed() const {
  const std::scoped_lock lock(mutex_);
  return failed_;
}

bool AckedPrefix::has_room() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size() < core::kMaxPublishedBehindOldest;
}

Place AckedPrefix::acked() const {
  const std::scoped_lock lock(mutex_);
  return acked_;
}

}  // namespace tally::producer::publish
