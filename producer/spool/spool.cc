#include "producer/spool/spool.h"

#include "core/check.h"
#include "runtime/log/log.h"
#include "runtime/retry/deadline.h"

#include <algorithm>
#include <new>
#include <utility>

namespace tally::producer::spool {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLongestRetry{5'000};
constexpr std::array kAllTroubles = {Trouble::kFull, Trouble::kReadOnly, Trouble::kGone,
                                     Trouble::kBroken};
static_assert(kAllTroubles.size() == kTroubles);
// Headers of the segments that what is in hand may begin, many times over.
constexpr std::uint64_t kSlackBytes = 4096;

std::uint64_t now_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(since).count());
}

}  // namespace

core::Result<std::unique_ptr<Spool>> Spool::open(std::unique_ptr<Folder> folder,
                                                 SpoolOptions options) {
  auto store = Store::open(std::move(folder), options.limits);
  if (!store) return store.error();
  return std::make_unique<Spool>(std::move(store.value()), std::move(options));
}

Spool::Spool(std::unique_ptr<Store> store, SpoolOptions options)
    : store_(std::move(store)),
      options_(std::move(options)),
      body_key_(body_key(store_->spool())),
      retry_(options_.first_retry) {
  appender_.emplace(*store_);
  writer_ = std::thread([this] { write_until_stopped(); });
}

Spool::~Spool() {
  {
    const std::scoped_lock lock(mutex_);
    state_ = State::kStopping;
    work_.notify_all();
  }
  writer_.join();
}

bool Spool::has_room(std::size_t frame_bytes) const {
  if (in_hand_bytes_ + frame_bytes > options_.max_pending_bytes) return false;
  return store_->used_bytes() + in_hand_bytes_ + frame_bytes + kSlackBytes <=
         options_.limits.max_bytes;
}

Offered Spool::offer(const SinkEvent& event) {
  const bool fits = event.key.size() <= core::kMaxRequestIdBytes &&
                    event.key.size() + event.value.size() <= options_.max_event_bytes;
  const std::size_t frame_bytes = kFrameHeaderBytes + event.key.size() + event.value.size();
  const std::uint64_t at_ms = now_ms();
  const std::scoped_lock lock(mutex_);
  if (!fits || frame_bytes + kSegmentHeaderBytes > options_.limits.segment_bytes) {
    ++counts_.refused_too_large;
    return Offered::kTooLarge;
  }
  if (refusing_.load(std::memory_order_relaxed) || !has_room(frame_bytes)) {
    ++counts_.refused_full;
    return Offered::kFull;
  }
  try {
    append(event, frame_bytes, at_ms);
  } catch (const std::bad_alloc&) {
    ++counts_.refused_full;
    return Offered::kFull;
  }
  in_hand_bytes_ += frame_bytes;
  ++counts_.accepted;
  if (pending_.tags.size() == 1) work_.notify_one();
  return Offered::kAccepted;
}

// All of it, or bad_alloc and nothing.
void Spool::append(const SinkEvent& event, std::size_t frame_bytes, std::uint64_t at_ms) {
  auto& [group, tags] = pending_;
  const std::size_t bytes = group.bytes.size();
  const std::size_t count = tags.size();
  try {
    group.frame_bytes.push_back(static_cast<std::uint32_t>(frame_bytes));
    tags.push_back(event.tag);
    append_frame(group.bytes, event.key, event.value, at_ms, body_key_);
  } catch (const std::bad_alloc&) {
    group.bytes.resize(bytes);
    group.frame_bytes.resize(count);
    tags.resize(count);
    throw;
  }
}

bool Spool::wait_for_work(Batch& batch) {
  std::unique_lock lock(mutex_);
  const auto something = [&] { return !pending_.tags.empty() || state_ == State::kStopping; };
  if (refusing_) {
    work_.wait_until(lock, look_again_at_, something);
  } else {
    work_.wait(lock, something);
  }
  if (pending_.tags.empty()) return state_ == State::kRunning;
  std::swap(batch, pending_);
  return true;
}

void Spool::write_until_stopped() {
  Batch batch;
  while (wait_for_work(batch)) {
    if (!batch.tags.empty()) {
      write(batch);
    } else if (refusing_ && steady_clock::now() >= look_again_at_) {
      look_again();
    }
  }
  appender_.reset();
}

void Spool::write(Batch& batch) {
  const Kept kept = appender_->append(batch.group);
  // First: who is told of a full disk must not be taken an event from at once.
  if (kept.failure) {
    refuse_from_now(*kept.failure);
  } else {
    refusing_ = false;
    retry_ = options_.first_retry;
  }
  tell(batch, kept);
  batch.group.clear();
  batch.tags.clear();
}

void Spool::tell(const Batch& batch, const Kept& kept) {
  const std::string_view reason = kept.failure ? name_of(kept.failure->trouble()) : "";
  if (options_.on_outcome) {
    std::size_t byte = 0;
    for (std::size_t i = 0; i < batch.tags.size(); ++i) {
      const char* frame = batch.group.bytes.data() + byte;
      byte += batch.group.frame_bytes[i];
      options_.on_outcome(SinkOutcome{
          .tag = batch.tags[i],
          .key = {frame + kFrameHeaderBytes, load_frame(frame).key_bytes},
          .kept = i < kept.records,
          .reason = i < kept.records ? std::string_view() : reason,
      });
    }
  }
  const std::scoped_lock lock(mutex_);
  const std::size_t lost = batch.tags.size() - kept.records;
  counts_.kept += kept.records;
  counts_.not_kept += lost;
  if (lost > 0) not_kept_by_trouble_.at(static_cast<std::size_t>(kept.failure->trouble())) += lost;
  TALLY_CHECK(counts_.accepted == counts_.kept + counts_.not_kept + pending_.tags.size(),
              "accepted {} kept {} not kept {} pending {}", counts_.accepted, counts_.kept,
              counts_.not_kept, pending_.tags.size());
  in_hand_bytes_ -= batch.group.bytes.size();
  if (!kept.failure) problem_.reset();
  told_.notify_all();
}

void Spool::refuse_from_now(const FileFailure& failure) {
  refusing_ = true;
  look_again_at_ = steady_clock::now() + retry_;
  retry_ = std::min(retry_ * 2, kLongestRetry);
  const std::scoped_lock lock(mutex_);
  problem_ = failure;
}

void Spool::look_again() {
  if (const auto failure = appender_->probe()) {
    refuse_from_now(*failure);
    return;
  }
  try {
    runtime::log::info("spool_goes_on", {{"folder", store_->folder().path()}});
  } catch (const std::bad_alloc&) {
    // It goes on all the same.
  }
  retry_ = options_.first_retry;
  const std::scoped_lock lock(mutex_);
  problem_.reset();
  refusing_ = false;
}

bool Spool::flush(milliseconds time) {
  std::unique_lock lock(mutex_);
  const std::uint64_t accepted = counts_.accepted;
  return told_.wait_until(lock, runtime::retry::deadline(steady_clock::now(), time),
                          [&] { return counts_.kept + counts_.not_kept >= accepted; });
}

SpoolCounts Spool::counts() const {
  const std::scoped_lock lock(mutex_);
  SpoolCounts counts = counts_;
  for (const Trouble trouble : kAllTroubles) {
    const std::uint64_t lost = not_kept_by_trouble_.at(static_cast<std::size_t>(trouble));
    if (lost > 0) counts.not_kept_by_reason[std::string(name_of(trouble))] += lost;
  }
  return counts;
}

std::optional<std::string> Spool::problem() const {
  const std::scoped_lock lock(mutex_);
  if (!problem_) return std::nullopt;
  return problem_->what();
}

}  // namespace tally::producer::spool
