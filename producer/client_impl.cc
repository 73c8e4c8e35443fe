#include "producer/client_impl.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/fork_guard.h"
#include "producer/request_id.h"
#include "runtime/log/log.h"
#include "runtime/retry/deadline.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

namespace tally::producer {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::system_clock;
using SteadyClock = std::chrono::steady_clock;

// The handing thread's naps while events keep coming: nobody has to wake it, so recording makes no
// system call, and it hands over many at once.
constexpr microseconds kNap{1'000};
constexpr int kNapsBeforeSleep = 20;
constexpr microseconds kSleep{1'000'000};
constexpr milliseconds kLook{5};  // of those who wait for room or for all ends
constexpr std::uint64_t kEventsBetweenLooks = 256;

constexpr std::string_view kForked =
    "this process was forked after the client was opened, whose threads stayed with the parent: "
    "open a client after fork()";
constexpr std::string_view kEnding =
    "the client is ending: its destructor has given up what is outstanding; open a new client";
constexpr std::string_view kEnded = "the client has ended for good: open a new client";
constexpr std::string_view kFull =
    "the queue is full: events end slower than they are recorded, or nobody takes them; see "
    "queue_bytes and max_outstanding_events";
constexpr std::string_view kNoMemory = "there is no memory to check the event in: record it again";
constexpr std::string_view kNoOutcomes =
    "level kMemory tells no event's end: open the client at kSpooled or kAcked, or use record()";
constexpr std::string_view kTagTooLarge = "tag is 2^63 or more, the limit: give less";
constexpr std::string_view kTagUnheard =
    "tag is given to a future or an awaitable, which tell no tag: leave it out, or use record()";

core::Timestamp timestamp(system_clock::time_point when) {
  return core::Timestamp::from_micros(
      std::chrono::duration_cast<microseconds>(when.time_since_epoch()).count());
}

std::uint64_t sink_tag(std::uint64_t tag, Waiter* waiter) {
  return waiter == nullptr ? tag << 1U : std::bit_cast<std::uintptr_t>(waiter) | 1U;
}

Waiter* waiter_of(std::uint64_t tag) {
  return (tag & 1U) == 0 ? nullptr : std::bit_cast<Waiter*>(std::uintptr_t{tag & ~1ULL});
}

}  // namespace

UsageClient::Impl::Impl(UsageClientOptions given)
    : options(std::move(given)),
      generation(process_generation()),
      stream_id(new_stream_id()),
      stamp(options.source, stream_id),
      ring(std::bit_ceil(std::max(options.queue_bytes, core::kMinQueueBytes)), recorders) {}

UsageClient::Impl::~Impl() { TALLY_CHECK(!handing.joinable(), "the client was not stopped"); }

void UsageClient::Impl::start(MadeSink sink) {
  made = std::move(sink);
  handing = std::thread([this] { hand_over(); });
  ::pthread_setname_np(handing.native_handle(), "tally-handing");  // for whoever looks at a service
}

bool UsageClient::Impl::is_fork() const { return generation != process_generation(); }

std::uint64_t UsageClient::Impl::ended() const { return kept.load() + failed.load(); }

Receipt UsageClient::Impl::refuse(Receipt receipt, Recorded recorded, std::string_view reason) {
  auto& count = recorded == Recorded::kInvalid     ? invalid
                : recorded == Recorded::kQueueFull ? dropped_full
                                                   : refused_closed;
  count.fetch_add(1, std::memory_order_relaxed);
  receipt.recorded = recorded;
  receipt.reason = reason;
  return receipt;
}

Problem UsageClient::Impl::measure(EventText& text, const UsageEvent& event, std::string_view id,
                                   system_clock::time_point now,
                                   const std::span<const Field>* fields) const {
  const std::string_view source = event.source.empty() ? stamp.source() : event.source;
  const Problem wrong =
      text.measure(id, source, event.type, event.tenant, timestamp(event.time.value_or(now)));
  if (!wrong.empty()) return wrong;
  const Problem bad =
      fields != nullptr ? text.measure_data(*fields) : text.measure_data(event.data);
  return bad.empty() ? text.size_problem(id.size(), made.max_event_bytes) : bad;
}

Receipt UsageClient::Impl::record(const UsageEvent& event, const std::span<const Field>* fields,
                                  Waiter* waiter) noexcept {
  Receipt receipt;
  if (is_fork()) return refuse(receipt, Recorded::kClosed, kForked);
  if (closed.load(std::memory_order_acquire)) {
    return refuse(receipt, Recorded::kClosed, closed_reason.empty() ? kEnded : closed_reason);
  }
  if (stopping.load(std::memory_order_acquire)) {
    return refuse(receipt, Recorded::kClosed, kEnding);
  }
  if (event.tag >> 63U != 0) return refuse(receipt, Recorded::kInvalid, kTagTooLarge);
  if (waiter != nullptr && options.level == Level::kMemory) {
    return refuse(receipt, Recorded::kInvalid, kNoOutcomes);
  }
  if (waiter != nullptr && event.tag != 0) return refuse(receipt, Recorded::kInvalid, kTagUnheard);
  const auto now = system_clock::now();
  std::string_view id = event.id;
  if (id.empty()) {
    write_request_id(now, receipt.id_);
    receipt.id_bytes_ = receipt.id_.size();
    id = receipt.new_id();
  }
  EventText text(stamp);
  try {
    const Problem wrong = measure(text, event, id, now, fields);
    if (!wrong.empty()) return refuse(receipt, Recorded::kInvalid, wrong);
  } catch (const std::bad_alloc&) {
    return refuse(receipt, Recorded::kQueueFull, kNoMemory);
  }
  if (!enqueue(text, id, sink_tag(event.tag, waiter))) {
    return refuse(receipt, Recorded::kQueueFull, kFull);
  }
  receipt.recorded = Recorded::kAccepted;
  return receipt;
}

bool UsageClient::Impl::claim() {
  // Another thread's event may be claimed and have ended between the two looks, so the difference
  // may be below zero.
  const auto before = static_cast<std::int64_t>(recorders.claimed.fetch_add(1));
  const auto most = static_cast<std::int64_t>(options.max_outstanding_events);
  if (before - static_cast<std::int64_t>(recorders.ended_seen.load(std::memory_order_relaxed)) <
      most) {
    return true;
  }
  const std::uint64_t now = ended();
  recorders.ended_seen.store(now, std::memory_order_relaxed);
  if (before - static_cast<std::int64_t>(now) < most) return true;
  recorders.claimed.fetch_sub(1);
  return false;
}

bool UsageClient::Impl::enqueue(const EventText& text, std::string_view id, std::uint64_t tag) {
  if (!claim()) return false;
  SlotHeader* slot = ring.reserve(id.size() + text.bytes() + kSequenceRoom);
  if (slot == nullptr) {
    recorders.claimed.fetch_sub(1);
    return false;
  }
  recorders.accepted.fetch_add(1);  // before it can end
  slot->tag = tag;
  slot->key_bytes = static_cast<std::uint32_t>(id.size());
  slot->value_bytes = static_cast<std::uint32_t>(text.bytes());
  std::memcpy(slot->key(), id.data(), id.size());
  text.write(slot->value());
  EventRing::publish(slot);
  bell.ring_if_asleep();
  return true;
}

void UsageClient::Impl::hand_over() {
  int naps = 0;
  while (!stopping.load(std::memory_order_acquire)) {
    if (hand_over_all()) naps = 0;
    if (++naps <= kNapsBeforeSleep) {
      bell.wait_for(kNap);
      continue;
    }
    bell.announce(true);
    if (ring.front() == nullptr && !stopping.load()) bell.wait_for(kSleep);
    bell.announce(false);
  }
  give_up_queued();
}

void UsageClient::Impl::give_up_queued() {
  while (SlotHeader* slot = ring.front()) {
    lose(*slot, "gave_up");
    ring.pop();
  }
}

bool UsageClient::Impl::hand_over_all() {
  const std::uint64_t first = sequence;
  while (!stopping.load(std::memory_order_acquire)) {
    SlotHeader* slot = ring.front();
    if (slot == nullptr) break;
    const std::size_t digits = write_sequence(++sequence, slot->value() + slot->value_bytes);
    offer_until_taken(*slot, {slot->value(), slot->value_bytes + digits});
    ring.pop();
    if (sequence % kEventsBetweenLooks == 0 && waiting.load() > 0 && ring.has_room()) notify();
  }
  return sequence != first;
}

void UsageClient::Impl::offer_until_taken(SlotHeader& slot, std::string_view value) {
  while (!closed.load(std::memory_order_relaxed)) {
    switch (
        made.sink->offer({.key = {slot.key(), slot.key_bytes}, .value = value, .tag = slot.tag})) {
      case Offered::kAccepted:
        return;
      case Offered::kTooLarge:
        lose(slot, "too_large");
        return;
      case Offered::kClosed:
        close_for_good();
        break;
      case Offered::kFull:
        if (stopping.load(std::memory_order_acquire)) {
          lose(slot, "gave_up");
          return;
        }
        bell.wait_for(kNap);
    }
  }
  lose(slot, "closed");
}

void UsageClient::Impl::close_for_good() {
  try {
    closed_reason = made.problem();
  } catch (const std::bad_alloc&) {
    closed_reason.clear();
  }
  closed.store(true, std::memory_order_release);
}

void UsageClient::Impl::lose(SlotHeader& slot, std::string_view reason) {
  finish({.tag = slot.tag, .key = {slot.key(), slot.key_bytes}, .kept = false, .reason = reason},
         false);
}

void UsageClient::Impl::finish(const SinkOutcome& ended_event, bool sink_had_it) {
  Waiter* const waiter = waiter_of(ended_event.tag);
  const Outcome outcome{.id = ended_event.key,
                        .tag = waiter == nullptr ? ended_event.tag >> 1U : 0,
                        .kept = ended_event.kept,
                        .reason = ended_event.reason,
                        .may_be_kept = !ended_event.kept && sink_had_it};
  const bool tell = options.on_outcome && options.level != Level::kMemory;
  const bool tell_loss = options.on_loss && !outcome.kept;
  if (waiter != nullptr || tell || tell_loss) {
    const std::scoped_lock lock(callback_mutex);
    if (waiter != nullptr) waiter->ended(outcome);
    if (tell) options.on_outcome(outcome);
    if (tell_loss) options.on_loss(outcome);
  }
  // Counted last: who finds that nothing is outstanding knows that every callback has returned.
  if (outcome.kept) {
    kept.fetch_add(1);
  } else {
    const std::scoped_lock lock(mutex);
    count_failed(outcome.reason);
    failed.fetch_add(1);
  }
  if (waiting.load() > 0 && ended() == recorders.accepted.load()) notify();
}

void UsageClient::Impl::count_failed(std::string_view reason) noexcept {
  try {
    const auto found = failed_by_reason.find(reason);
    if (found != failed_by_reason.end()) {
      ++found->second;
    } else {
      failed_by_reason.emplace(reason, 1);
    }
  } catch (const std::bad_alloc&) {
    ++failed_unnamed;
  }
}

void UsageClient::Impl::notify() {
  const std::scoped_lock lock(change_mutex);
  changed.notify_all();
}

template <class Reached>
void UsageClient::Impl::wait(milliseconds deadline, const Reached& reached) {
  const auto until = runtime::retry::deadline(SteadyClock::now(), deadline);
  ++waiting;
  bell.ring();
  while (!reached() && SteadyClock::now() < until) {
    std::unique_lock lock(change_mutex);
    changed.wait_for(lock, kLook);
  }
  --waiting;
}

std::size_t UsageClient::Impl::flush(milliseconds deadline) {
  std::uint64_t left = 0;
  wait(deadline, [&] {
    const std::uint64_t done = ended();  // before: it is never more than what was accepted
    left = recorders.accepted.load() - done;
    return left == 0;
  });
  return left;
}

void UsageClient::Impl::wait_for_room(milliseconds deadline) {
  wait(deadline, [this] {
    const std::uint64_t done = ended();
    return ring.has_room() && recorders.accepted.load() - done < options.max_outstanding_events;
  });
}

std::size_t UsageClient::Impl::drain(milliseconds time) {
  const auto until = runtime::retry::deadline(SteadyClock::now(), time);
  const std::size_t left = flush(time);
  if (!made.spool) return left;
  if (left == 0) {
    made.spool->drain(std::chrono::duration_cast<milliseconds>(until - SteadyClock::now()));
  }
  return left + made.spool->account().waiting;
}

std::optional<SpoolAccount> UsageClient::Impl::spool_account() const {
  const std::scoped_lock lock(spool_mutex);
  return made.spool ? made.spool->account() : last_spool_account;
}

// While the sink ends, callbacks may still ask for it.
void UsageClient::Impl::look_last_at_spool() noexcept {
  const std::scoped_lock lock(spool_mutex);
  if (!made.spool) return;
  try {
    last_spool_account = made.spool->account();
  } catch (const std::bad_alloc&) {
    last_spool_account.reset();  // there is no memory to say what stands in the way
  }
  made.spool.reset();
}

void UsageClient::Impl::stop() {
  stopping = true;
  bell.ring();
  handing.join();
  look_last_at_spool();
  made.sink.reset();  // each outstanding event ends
  // What callbacks recorded while the handing thread had its last look.
  give_up_queued();
  TALLY_CHECK(ended() <= recorders.accepted.load(), "accepted {} kept {} failed {}",
              recorders.accepted.load(), kept.load(), failed.load());
  if (ended() < recorders.accepted) tell_of_missing();
}

// The sink gave up waiting for them. A library must not end its service for that.
void UsageClient::Impl::tell_of_missing() const noexcept {
  try {
    runtime::log::error("usage_events_without_an_end",
                        {{"events", recorders.accepted - ended()},
                         {"stream", stream_id},
                         {"what", "nobody was told whether they are kept: record them again"}});
  } catch (const std::bad_alloc&) {
    return;  // there is no memory to say so in
  }
}

UsageCounts UsageClient::Impl::counts() const {
  UsageCounts counts;
  if (is_fork()) {
    counts.failed = failed;  // the lock may be held by a thread that stayed with the parent
  } else {
    const std::scoped_lock lock(mutex);
    for (const auto& [reason, count] : failed_by_reason) {
      counts.failed_by_reason.emplace(reason, count);
      counts.failed += count;
    }
    if (failed_unnamed > 0) counts.failed_by_reason["other"] += failed_unnamed;
    counts.failed += failed_unnamed;
  }
  (options.level == Level::kSpooled ? counts.spooled : counts.delivered) = kept;
  // Read after them, so that it is never less than what has ended.
  counts.accepted = recorders.accepted;
  counts.dropped_full = dropped_full;
  counts.invalid = invalid;
  counts.closed = refused_closed;
  return counts;
}

}  // namespace tally::producer
