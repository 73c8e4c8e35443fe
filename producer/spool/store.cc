#include "producer/spool/store.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>

namespace tally::producer::spool {
namespace {

SpoolId random_id() {
  std::random_device device;
  const auto half = [&] {
    return (static_cast<std::uint64_t>(device()) << 32U) | static_cast<std::uint64_t>(device());
  };
  SpoolId id;
  id.high = half();
  id.low = half();
  return id;
}

}  // namespace

core::Result<std::unique_ptr<Store>> Store::open(std::unique_ptr<Folder> folder,
                                                 const StoreLimits& limits) {
  const std::string path = folder->path();
  try {
    auto lock = folder->lock();
    if (!lock) return lock.error();
    auto recovered = recover(*folder, random_id());
    if (!recovered) return recovered.error();
    auto store = std::make_unique<Store>(std::move(folder), std::move(lock.value()), limits,
                                         std::move(recovered.value()));
    // What was read of it may never have been fsynced.
    store->store_position();
    store->drop_done();
    return store;
  } catch (const FileFailure& failure) {
    return core::Error{core::ErrorKind::kUnavailable,
                       fmt::format("spool folder {} cannot be used: {}; mend the disk or name "
                                   "another folder",
                                   path, failure.what())};
  }
}

Store::Store(std::unique_ptr<Folder> folder, std::unique_ptr<FolderLock> lock,
             const StoreLimits& limits, Recovered recovered)
    : folder_(std::move(folder)),
      lock_(std::move(lock)),
      limits_(limits),
      spool_(recovered.spool),
      cut_bytes_(recovered.cut_bytes),
      torn_(recovered.slot.position.torn_begin, recovered.slot.position.torn_end),
      position_file_(*folder_, recovered.slot),
      segments_(std::move(recovered.segments)),
      next_number_(recovered.next_number),
      next_sequence_(recovered.next_sequence),
      acked_(recovered.slot.position.acked),
      stored_acked_(acked_),
      stored_kept_(next_sequence_) {
  TALLY_CHECK(acked_ <= next_sequence_, "acked {} next {}", acked_, next_sequence_);
  for (const Segment& segment : segments_) used_bytes_ += segment.bytes;
}

Store::Birth Store::next_segment() {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(!newest_is_open_);
  const std::uint64_t used = used_bytes_.load();
  const std::uint64_t room = limits_.max_bytes > used ? limits_.max_bytes - used : 0;
  return {next_number_++, next_sequence_, std::min(room, limits_.segment_bytes)};
}

void Store::begin(const Birth& birth) {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(birth.first_sequence == next_sequence_, "{} {}", birth.first_sequence,
              next_sequence_);
  segments_.push_back({.number = birth.number,
                       .first_sequence = birth.first_sequence,
                       .end_sequence = birth.first_sequence,
                       .bytes = kSegmentHeaderBytes});
  newest_is_open_ = true;
  used_bytes_ += kSegmentHeaderBytes;
}

void Store::extend(std::uint64_t bytes, std::uint64_t records) {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(newest_is_open_ && !segments_.empty());
  Segment& newest = segments_.back();
  newest.bytes += bytes;
  newest.end_sequence += records;
  next_sequence_ += records;
  TALLY_CHECK(newest.end_sequence == next_sequence_, "{} {}", newest.end_sequence, next_sequence_);
  used_bytes_ += bytes;
  grown_.notify_all();
}

void Store::seal() {
  const std::scoped_lock lock(mutex_);
  newest_is_open_ = false;
}

void Store::drop_newest() {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(newest_is_open_ && segments_.back().end_sequence == segments_.back().first_sequence);
  used_bytes_ -= segments_.back().bytes;
  segments_.pop_back();
  newest_is_open_ = false;
}

Store::Place Store::find(std::uint64_t sequence) const {
  const std::scoped_lock lock(mutex_);
  const auto found = std::partition_point(
      segments_.begin(), segments_.end(),
      [&](const Segment& segment) { return segment.end_sequence <= sequence; });
  // Below next_sequence_ too: the newest segment was gone when the spool was opened.
  if (found == segments_.end()) return {std::max(sequence, next_sequence_), std::nullopt};
  return {std::max(sequence, found->first_sequence), *found};
}

void Store::wait_for(std::uint64_t sequence, std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  grown_.wait_for(lock, time, [&] { return next_sequence_ > sequence || woken_; });
  woken_ = false;
}

void Store::wake() {
  const std::scoped_lock lock(mutex_);
  woken_ = true;
  grown_.notify_all();
}

void Store::advance(std::uint64_t acked, std::uint64_t end_offset) {
  const std::scoped_lock lock(mutex_);
  TALLY_CHECK(acked >= acked_ && acked <= next_sequence_, "{} {} {}", acked_, acked,
              next_sequence_);
  acked_ = acked;
  acked_offset_ = end_offset;
}

bool Store::position_moved() const {
  const std::scoped_lock lock(mutex_);
  return acked_ != stored_acked_ || next_sequence_ != stored_kept_;
}

void Store::store_position() {
  Position position;
  {
    const std::scoped_lock lock(mutex_);
    position = {.acked = acked_,
                .kept = next_sequence_,
                .torn_begin = torn_.first,
                .torn_end = torn_.second};
  }
  position_file_.store(position);
  const std::scoped_lock lock(mutex_);
  stored_acked_ = position.acked;
  stored_kept_ = position.kept;
}

bool Store::front_is_done() const {
  if (segments_.empty() || segments_.front().end_sequence > acked_) return false;
  return segments_.size() > 1 || !newest_is_open_;
}

bool Store::has_done() const {
  const std::scoped_lock lock(mutex_);
  return front_is_done();
}

void Store::drop_done() {
  // Before a segment goes: or its records would look lost after a crash.
  if (position_moved()) store_position();
  std::unique_lock lock(mutex_);
  while (front_is_done() && segments_.front().end_sequence <= stored_acked_) {
    const Segment done = segments_.front();
    lock.unlock();
    folder_->remove(segment_name(done.number));
    lock.lock();
    segments_.pop_front();
    used_bytes_ -= done.bytes;
  }
}

StoreFigures Store::figures() const {
  const std::scoped_lock lock(mutex_);
  StoreFigures figures{.waiting_records = next_sequence_ - acked_,
                       .disk_bytes = used_bytes_.load(),
                       .next_sequence = next_sequence_,
                       .acked = acked_};
  for (const Segment& segment : segments_) {
    if (segment.end_sequence <= acked_) continue;
    const bool begun = segment.first_sequence < acked_ && acked_offset_ > 0;
    figures.waiting_bytes += segment.bytes - (begun ? acked_offset_ : kSegmentHeaderBytes);
  }
  return figures;
}

}  // namespace tally::producer::spool
