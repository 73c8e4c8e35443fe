#include "producer/spool/relay.h"

#include "core/check.h"
#include "runtime/log/log.h"
#include "runtime/retry/deadline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <new>
#include <random>
#include <utility>

namespace tally::producer::spool {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kRecordsBetweenSweeps = 512;
constexpr std::size_t kFirstCareful = 256;
constexpr std::size_t kLastCareful = 8192;
constexpr milliseconds kRoomWait{50};
constexpr milliseconds kFlushWait{100};
constexpr milliseconds kBusyWait{5};
constexpr milliseconds kIdleWait{200};
constexpr std::size_t kReasonBytes = 64;  // of the short names that Kafka's client gives

// What a broker says of a record, or of a batch for the sake of a record in it, that it will never
// take. All else may pass: it is sent again.
bool is_final(std::string_view reason) {
  constexpr std::array<std::string_view, 5> kFinal = {"MSG_SIZE_TOO_LARGE", "INVALID_MSG_SIZE",
                                                      "INVALID_RECORD", "INVALID_TIMESTAMP",
                                                      "POLICY_VIOLATION"};
  return std::find(kFinal.begin(), kFinal.end(), reason) != kFinal.end();
}

std::uint64_t now_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(since).count());
}

}  // namespace

core::Result<std::unique_ptr<Relay>> Relay::open(Store& store, RelayOptions options) {
  auto relay = std::make_unique<Relay>(store, std::move(options));
  const auto opened = relay->open_outlet();
  if (!opened) return opened.error();
  relay->thread_ = std::thread([raw = relay.get()] { raw->run(); });
  return relay;
}

Relay::Relay(Store& store, RelayOptions options)
    : store_(store),
      options_(std::move(options)),
      cursor_(store, store.figures().acked),
      refused_file_(store.folder(), core::kMaxSpoolRefusedBytes),
      slots_(options_.max_in_flight),
      base_(cursor_.at()),
      backoff_(options_.first_retry, options_.longest_retry, std::random_device{}()) {
  TALLY_CHECK(!slots_.empty() && (slots_.size() & (slots_.size() - 1)) == 0, "{} in flight",
              slots_.size());
  ended_below_ = base_;
  reason_.reserve(kReasonBytes);
}

Relay::~Relay() {
  stopping_ = true;
  store_.wake();
  {
    const std::scoped_lock lock(mutex_);
    moved_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

core::Result<bool> Relay::open_outlet() {
  auto outlet = options_.open([this](const Delivery& delivery) { on_delivery(delivery); });
  if (!outlet) return outlet.error();
  outlet_ = std::move(outlet.value());
  return true;
}

void Relay::on_delivery(const Delivery& delivery) {
  Slot& ended = slot(delivery.tag);
  if (delivery.delivered) {
    ended.state.store(State::kAcked, std::memory_order_release);
  } else {
    {
      const std::scoped_lock lock(mutex_);
      // In the room that is there: nothing may be thrown through Kafka's client.
      reason_ = delivery.reason.substr(0, kReasonBytes);
      if (!stopping_) ++counts_.sent_again;
    }
    ended.state.store(is_final(delivery.reason) ? State::kRefused : State::kFailed,
                      std::memory_order_release);
    failed_ = true;
  }
  ended_.fetch_add(1, std::memory_order_release);
}

void Relay::run() {
  while (!stopping_) {
    try {
      step_or_wait();
    } catch (const std::bad_alloc&) {
      if (next_ == Next::kGoOn) next_ = Next::kRewind;
      pause();
    }
  }
  try {
    finish();
  } catch (const std::bad_alloc&) {
    // What the position does not tell is sent again by the next owner.
  }
}

void Relay::finish() {
  close_outlet();
  sweep();
  try {
    store_.drop_done();
  } catch (const FileFailure& failure) {
    runtime::log::warn("spool_position_not_stored", {{"problem", failure.what()}});
  }
}

void Relay::step_or_wait() {
  try {
    step();
  } catch (const FileFailure& failure) {
    note(failure.what());
    pause();
  }
}

// Kafka's client waits for its last call backs for a bounded time. What it did not tell of may have
// arrived or not: it is sent again.
void Relay::close_outlet() {
  outlet_.reset();
  std::uint64_t untold = 0;
  for (std::uint64_t sequence = base_; sequence < end_of_ring(); ++sequence) {
    State sent = State::kSent;
    if (slot(sequence).state.compare_exchange_strong(sent, State::kFailed)) ++untold;
  }
  ended_ = sent_;
  if (untold == 0) return;
  failed_ = true;
  const std::scoped_lock lock(mutex_);
  if (!stopping_) counts_.sent_again += untold;
}

void Relay::step() {
  sweep();
  keep_position();
  if (next_ == Next::kReopen && outlet_ != nullptr) {
    note(outlet_->fatal_error().value_or("the Kafka producer has ended"));
    close_outlet();
  }
  if (outlet_ == nullptr) {
    const auto opened = open_outlet();
    if (!opened) {
      note(opened.error().message);
      pause();
      return;
    }
  }
  if (next_ != Next::kGoOn || failed_) {
    go_back();
    return;
  }
  send_some();
}

void Relay::send_some() {
  for (std::size_t i = 0; i < kRecordsBetweenSweeps; ++i) {
    if (failed_.load(std::memory_order_relaxed)) return;
    if (careful_ > 0 && since_careful_ >= careful_) {
      if (!wait_for_all() || failed_) return;
      since_careful_ = 0;
      careful_ = careful_ >= kLastCareful ? 0 : careful_ * 2;
    }
    if (cursor_.at() - base_ >= slots_.size()) {
      outlet_->wait_for_room(kRoomWait);
      return;
    }
    const auto found = read_next();
    if (!found) {
      if (i == 0) idle();
      return;
    }
    if (!found->record) {
      pass_over(*found);
      return;
    }
    next_ = send(*found->record);
    if (next_ != Next::kGoOn) return;
  }
}

// A place that cannot be read may be readable again, and so it is tried for minutes. Then the disk
// is asked whether it works at all: if it takes a write, only this place is bad, and what lies
// there is lost. While it does not, everything waits for a person.
std::optional<Step> Relay::read_next() {
  const std::uint64_t at = cursor_.at();
  if (at != unreadable_at_) failed_reads_ = 0;
  unreadable_at_ = at;
  try {
    auto step = cursor_.next();
    failed_reads_ = 0;
    return step;
  } catch (const FileFailure& failure) {
    if (failed_reads_ == 0 && at == base_) tell_oldest(last_ms_ > 0 ? last_ms_ : now_ms());
    if (++failed_reads_ < options_.read_tries) throw;
    store_.store_position();
    runtime::log::error("spool_place_given_up", {{"folder", store_.folder().path()},
                                                 {"problem", failure.what()},
                                                 {"from_sequence", at},
                                                 {"tries", failed_reads_}});
    cursor_.give_up_unreadable();
    failed_reads_ = 0;
    return cursor_.next();
  }
}

void Relay::tell_oldest(std::uint64_t at_ms) {
  const std::scoped_lock lock(mutex_);
  counts_.oldest_ms = at_ms;
}

Relay::Next Relay::send(const Record& record) {
  Slot& mine = slot(record.sequence);
  // Acked, or set aside, before an earlier one failed.
  if (mine.state.load(std::memory_order_acquire) != State::kEmpty) return Next::kGoOn;
  mine.end_offset = static_cast<std::uint32_t>(record.end_offset);
  mine.at_ms = record.at_ms;
  read_to_ = std::max(read_to_, record.sequence + 1);
  if (record.sequence == base_) tell_oldest(record.at_ms);
  mine.state.store(State::kSent, std::memory_order_relaxed);
  ++sent_;
  ++since_careful_;
  Enqueued answer{};
  try {
    answer = outlet_->produce(record.key, record.value, record.sequence);
    while (answer == Enqueued::kQueueFull && !stopping_ && !failed_) {
      outlet_->wait_for_room(kRoomWait);
      keep_position();
      if (stopping_ || failed_) break;
      answer = outlet_->produce(record.key, record.value, record.sequence);
    }
  } catch (const std::bad_alloc&) {
    mine.state.store(State::kEmpty);
    --sent_;
    throw;
  }
  if (answer == Enqueued::kQueued) return Next::kGoOn;
  mine.state.store(State::kEmpty);
  --sent_;
  if (answer == Enqueued::kFatal) return Next::kReopen;
  if (answer == Enqueued::kQueueFull) return Next::kRewind;
  set_aside(record, "MSG_SIZE_TOO_LARGE");
  return Next::kGoOn;
}

bool Relay::wait_for_all() {
  while (ended_.load(std::memory_order_acquire) != sent_) {
    if (stopping_) return false;
    keep_position();
    if (outlet_->flush(kFlushWait) > 0 && outlet_->fatal_error()) {
      next_ = Next::kReopen;
      return false;
    }
  }
  sweep();
  return true;
}

// Everything in flight ends; then the cursor goes back to the first record without an ack.
void Relay::go_back() {
  if (!wait_for_all()) return;
  bool refused = false;
  bool failed = false;
  for (std::uint64_t sequence = base_; sequence < end_of_ring(); ++sequence) {
    Slot& each = slot(sequence);
    const State state = each.state.load(std::memory_order_acquire);
    refused = refused || state == State::kRefused;
    failed = failed || state == State::kFailed;
    if (state == State::kRefused || state == State::kFailed) each.state.store(State::kEmpty);
  }
  const bool reopened = next_ == Next::kReopen;
  cursor_.seek(base_);
  next_ = Next::kGoOn;
  failed_ = false;
  if (refused) judge_refused();
  since_careful_ = 0;
  if (!failed && !reopened) return;
  {
    const std::scoped_lock lock(mutex_);
    if (!reason_.empty()) problem_ = "the broker did not take what was sent: " + reason_;
  }
  pause();
}

// A batch is refused for the sake of one record: groups that shrink find which. Sent alone, nobody
// else can be to blame.
void Relay::judge_refused() {
  if (careful_ != 1) {
    careful_ = careful_ == 0 ? kFirstCareful : std::max<std::size_t>(1, careful_ / 4);
    return;
  }
  const auto found = read_next();
  // Damaged since it was sent: the cursor tells the gap when it comes to it again.
  if (found && found->record) {
    std::string reason;
    {
      const std::scoped_lock lock(mutex_);
      reason = reason_;
    }
    set_aside(*found->record, reason);
  }
  cursor_.seek(base_);
}

void Relay::set_aside(const Record& record, std::string_view reason) {
  try {
    refused_file_.put(record, reason, now_ms());
  } catch (const FileFailure& failure) {
    next_ = Next::kRewind;
    throw FileFailure(failure.trouble(),
                      fmt::format("a record that the broker refuses ({}) cannot be set aside, and "
                                  "nothing is sent until it can: {}",
                                  reason, failure.what()));
  }
  Slot& mine = slot(record.sequence);
  mine.end_offset = static_cast<std::uint32_t>(record.end_offset);
  mine.state.store(State::kSetAside, std::memory_order_release);
  runtime::log::error("spool_record_refused", {{"reason", reason},
                                               {"sequence", record.sequence},
                                               {"value_bytes", record.value.size()},
                                               {"folder", store_.folder().path()},
                                               {"set_aside_in", RefusedFile::kName}});
}

void Relay::pass_over(const Step& step) {
  const std::uint64_t behind = cursor_.at();
  if (!wait_for_all() || failed_) {
    // Found again, and told then, when what is before it has been sent.
    next_ = next_ == Next::kGoOn ? Next::kRewind : next_;
    return;
  }
  // All before the gap has ended, and of the gap perhaps the first ones too.
  TALLY_CHECK(base_ + step.missing >= behind, "base {} missing {} at {}", base_, step.missing,
              behind);
  const Ends ends = end_gap(behind);
  const std::uint64_t from = std::exchange(base_, behind);
  store_.advance(base_, 0);
  {
    const std::scoped_lock lock(mutex_);
    counts_.delivered += ends.delivered;
    counts_.refused += ends.refused;
    counts_.lost += ends.lost;
    counts_.torn += ends.torn;
    counts_.oldest_ms = 0;
    ended_below_ = base_;
    moved_.notify_all();
  }
  if (ends.lost + ends.torn == 0) return;
  runtime::log::error("spool_records_missing", {{"lost", ends.lost},
                                                {"torn", ends.torn},
                                                {"from_sequence", from},
                                                {"before_sequence", behind},
                                                {"folder", store_.folder().path()}});
}

// Nothing is in flight, and all of [base_, behind) ends. What was sent before an earlier one failed
// may have been acked, and have been damaged since: that it is missing now changes nothing.
Relay::Ends Relay::end_gap(std::uint64_t behind) {
  const auto [torn_begin, torn_end] = store_.torn();
  Ends ends;
  ends.torn = std::clamp(torn_end, base_, behind) - std::clamp(torn_begin, base_, behind);
  ends.lost = behind - base_ - ends.torn;
  for (std::uint64_t sequence = base_; sequence < end_of_ring(); ++sequence) {
    Slot& each = slot(sequence);
    const State state = each.state.load(std::memory_order_acquire);
    each.state.store(State::kEmpty, std::memory_order_relaxed);
    if (state != State::kAcked && state != State::kSetAside) continue;
    ++(state == State::kAcked ? ends.delivered : ends.refused);
    --(sequence >= torn_begin && sequence < torn_end ? ends.torn : ends.lost);
  }
  return ends;
}

void Relay::sweep() {
  std::uint64_t acked = 0;
  std::uint64_t set_aside = 0;
  std::uint32_t end_offset = 0;
  for (; base_ < cursor_.at(); ++base_) {
    Slot& first = slot(base_);
    const State state = first.state.load(std::memory_order_acquire);
    if (state != State::kAcked && state != State::kSetAside) break;
    state == State::kAcked ? ++acked : ++set_aside;
    end_offset = first.end_offset;
    last_ms_ = first.at_ms;
    first.state.store(State::kEmpty, std::memory_order_relaxed);
  }
  if (acked + set_aside == 0) return;
  store_.advance(base_, end_offset);
  backoff_.reset();
  const std::scoped_lock lock(mutex_);
  problem_.reset();
  counts_.delivered += acked;
  counts_.refused += set_aside;
  counts_.oldest_ms = base_ < read_to_ ? slot(base_).at_ms : 0;
  ended_below_ = base_;
  moved_.notify_all();
}

// Also while the broker is away: it is how an opening knows what was kept, should a segment be
// gone. A disk that takes no position must not hold up what is sent: the segments stay, and what
// they hold would be sent again after a kill.
void Relay::keep_position() {
  const auto now = steady_clock::now();
  if (now < position_retry_) return;
  if (!store_.has_done() && (now < position_due_ || !store_.position_moved())) return;
  try {
    store_.has_done() ? store_.drop_done() : store_.store_position();
    position_due_ = now + options_.position_interval;
  } catch (const FileFailure& failure) {
    position_retry_ = now + options_.position_interval;
    note(failure.what());
  }
}

void Relay::idle() {
  if (ended_.load(std::memory_order_acquire) != sent_) {
    outlet_->wait_for_room(kBusyWait);
  } else {
    store_.wait_for(cursor_.at(), kIdleWait);
  }
}

// Meanwhile more is kept.
void Relay::pause() {
  const auto until = steady_clock::now() + backoff_.next();
  for (auto now = steady_clock::now(); now < until && !stopping_; now = steady_clock::now()) {
    {
      std::unique_lock lock(mutex_);
      moved_.wait_until(lock, std::min(until, now + options_.position_interval),
                        [&] { return stopping_.load(); });
    }
    try {
      keep_position();
    } catch (const std::bad_alloc&) {
      // The next look stores it.
    }
  }
}

void Relay::note(std::string problem) {
  runtime::log::warn("spool_relay_waits",
                     {{"folder", store_.folder().path()}, {"problem", problem}});
  const std::scoped_lock lock(mutex_);
  problem_ = std::move(problem);
}

bool Relay::drain(milliseconds time) {
  const std::uint64_t until = store_.figures().next_sequence;
  std::unique_lock lock(mutex_);
  return moved_.wait_until(lock, runtime::retry::deadline(steady_clock::now(), time), [&] {
    return ended_below_ >= until || stopping_;
  }) && ended_below_ >= until;
}

RelayCounts Relay::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

std::optional<std::string> Relay::problem() const {
  const std::scoped_lock lock(mutex_);
  return problem_;
}

}  // namespace tally::producer::spool
