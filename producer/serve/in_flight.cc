#include "producer/serve/in_flight.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/serve/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <new>
#include <optional>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::http::Response;

constexpr std::string_view kFullReason = "queue_full";
constexpr std::string_view kClosedReason = "closed";
constexpr std::string_view kOtherReason = "other";

// A tag: which of its slot's requests, the slot, the event's place.
constexpr unsigned kEventBits = 17;
constexpr unsigned kSlotBits = 16;
constexpr std::uint64_t kGenerations = std::uint64_t{1} << (64 - kEventBits - kSlotBits);
static_assert(core::kMaxServedBatchEvents <= std::uint64_t{1} << kEventBits);
static_assert(core::kMaxRequestsInFlight <= std::uint64_t{1} << kSlotBits);

enum Row : std::size_t { kEnded, kLost, kUnknown, kRows };
// Of bits that a free slot keeps: those of a usual batch.
constexpr std::size_t kKeptWords = kRows * 1'024 / 64;

// Takes `amount` of what is bounded, or nothing, not even for a moment. `bound` is the same each
// time.
bool take(std::atomic<std::uint64_t>& used, std::uint64_t amount, std::uint64_t bound) {
  std::uint64_t held = used.load();
  do {
    if (amount > bound - held) return false;
  } while (!used.compare_exchange_weak(held, held + amount));
  return true;
}

}  // namespace

InFlight::InFlight(const InFlightLimits& limits, Probe& probe)
    : limits_(limits), probe_(probe), slots_(std::make_unique<Slot[]>(limits.requests)) {
  TALLY_CHECK(limits.requests >= 1 && limits.requests <= core::kMaxRequestsInFlight);
  free_.reserve(limits.requests);
  for (auto i = static_cast<std::uint32_t>(limits.requests); i > 0; --i) free_.push_back(i - 1);
}

InFlight::Began InFlight::begin(Load load, const SenderPtr& sender, Reply& reply, Ticket& ticket) {
  const std::uint64_t key_bound = limits_.events_of_a_key;
  if (key_bound > 0) {
    if (!take(sender->requests, 1, limits_.requests_of_a_key())) return Began::kKeyFull;
    if (!take(sender->in_flight, load.events, key_bound)) {
      sender->requests.fetch_sub(1);
      return Began::kKeyFull;
    }
  }
  const auto give_back = [&] {
    if (key_bound > 0) {
      sender->in_flight.fetch_sub(load.events);
      sender->requests.fetch_sub(1);
    }
    return Began::kFull;
  };
  if (!take(events_, load.events, limits_.events)) return give_back();
  if (!take(bytes_, load.bytes, limits_.bytes)) {
    events_.fetch_sub(load.events);
    return give_back();
  }
  std::optional<std::uint32_t> index;
  {
    const std::scoped_lock lock(mutex_);
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    }
  }
  if (!index || !occupy(slots_[*index], load)) {
    events_.fetch_sub(load.events);
    bytes_.fetch_sub(load.bytes);
    const std::scoped_lock lock(mutex_);
    if (index) free_.push_back(*index);
    return give_back();
  }
  Slot& taken = slots_[*index];
  taken.sender = sender;
  taken.reply = std::move(reply);
  ticket = (taken.generation << kSlotBits | *index) << kEventBits;
  return Began::kYes;
}

// False where there is no memory: then nothing has changed.
bool InFlight::occupy(Slot& slot, Load load) {
  const std::scoped_lock lock(slot.mutex);
  try {
    slot.bits.assign(kRows * ((load.events + 63) / 64), 0);
  } catch (const std::bad_alloc&) {
    return false;
  }
  slot.generation = (slot.generation + 1) % kGenerations;
  slot.left = load.events + 1;
  slot.load = load;
  slot.reasons.fill({});
  slot.begun = std::chrono::steady_clock::now();
  return true;
}

void InFlight::Slot::count(std::string_view reason) {
  reason = reason.substr(0, sizeof(Reason::text));
  const auto same = [&](const Reason& one) { return one.events == 0 || one.name() == reason; };
  auto* found = std::find_if(reasons.begin(), reasons.end() - 1, same);
  // The last place is for all that find none.
  const bool has_place = found != reasons.end() - 1;
  const std::string_view name = has_place ? reason : kOtherReason;
  std::copy(name.begin(), name.end(), found->text.begin());
  found->bytes = name.size();
  ++found->events;
}

void InFlight::missed(Ticket ticket, std::size_t event, Fate fate,
                      std::string_view reason) noexcept {
  end(tag(ticket, event), fate, reason);
}

void InFlight::ended(const SinkOutcome& outcome) noexcept {
  end(outcome.tag, outcome.kept ? Fate::kKept : Fate::kUnknown, outcome.reason);
}

void InFlight::end(std::uint64_t tag, Fate fate, std::string_view reason) noexcept {
  const std::size_t event = tag & ((std::uint64_t{1} << kEventBits) - 1);
  const std::size_t index = tag >> kEventBits & ((std::uint64_t{1} << kSlotBits) - 1);
  TALLY_CHECK(index < limits_.requests, "tag {}", tag);
  Slot& slot = slots_[index];
  {
    const std::scoped_lock lock(slot.mutex);
    const bool is_its = slot.generation == tag >> (kEventBits + kSlotBits) && slot.left > 0;
    if (!is_its || event >= slot.load.events || slot.bit(kEnded, event)) return probe_.stray_end();
    slot.set_bit(kEnded, event);
    if (fate != Fate::kKept) {
      slot.set_bit(kLost, event);
      if (fate == Fate::kUnknown) slot.set_bit(kUnknown, event);
      slot.count(reason);
    }
    if (--slot.left > 0) return;
  }
  finish(index);
}

void InFlight::offered(Ticket ticket) noexcept {
  const std::size_t index = ticket >> kEventBits & ((std::uint64_t{1} << kSlotBits) - 1);
  Slot& slot = slots_[index];
  {
    const std::scoped_lock lock(slot.mutex);
    TALLY_CHECK(slot.left >= 1, "slot {} had ended", index);
    if (--slot.left > 0) return;
  }
  finish(index);
}

void InFlight::finish(std::size_t index) noexcept {
  Slot& done = slots_[index];
  const Load load = done.load;
  const auto took = std::chrono::steady_clock::now() - done.begun;
  const SenderPtr sender = std::exchange(done.sender, nullptr);
  Reply reply = std::exchange(done.reply, Reply());
  std::uint64_t unknown = 0;
  std::uint64_t lost = 0;
  for (std::size_t word = 0; word < done.words(); ++word) {
    lost += static_cast<std::uint64_t>(std::popcount(done.bits[kLost * done.words() + word]));
    unknown += static_cast<std::uint64_t>(std::popcount(done.bits[kUnknown * done.words() + word]));
  }
  probe_.ended({.kept = load.events - lost, .not_kept = lost - unknown, .unknown = unknown}, took);
  Response response;
  try {
    response = answer(done, unknown, lost);
  } catch (const std::bad_alloc&) {
    response.status = 503;  // without a word; that of 202 needs no memory
  }
  // Assigned to, they would keep their memory.
  if (done.bits.capacity() > kKeptWords) std::vector<std::uint64_t>().swap(done.bits);
  // Before the answer is out: whoever has read it finds the room free.
  events_.fetch_sub(load.events);
  bytes_.fetch_sub(load.bytes);
  if (limits_.events_of_a_key > 0) {
    sender->in_flight.fetch_sub(load.events);
    sender->requests.fetch_sub(1);
  }
  {
    const std::scoped_lock lock(mutex_);
    free_.push_back(static_cast<std::uint32_t>(index));
  }
  probe_.answered(response.status);
  std::move(reply).send(std::move(response));
}

Response InFlight::answer(const Slot& done, std::uint64_t unknown, std::uint64_t lost) {
  Response response;
  response.status = 202;
  if (lost == 0) return response;
  const std::uint64_t events = done.load.events;
  const auto all_for = [&](std::string_view reason) {
    return done.reasons.front().events == events && done.reasons.front().name() == reason;
  };
  if (unknown == 0 && all_for(kFullReason)) {
    return refuse(kQueueFull, "no room to keep events in: send it again later");
  }
  if (unknown == 0 && all_for(kClosedReason)) {
    return refuse(kClosed, "/readyz says why; send it to another instance, or later");
  }
  std::string lists[2];
  for (std::size_t event = 0; event < events; ++event) {
    if (!done.bit(kLost, event)) continue;
    std::string& list = lists[done.bit(kUnknown, event) ? 1 : 0];
    if (!list.empty()) list += ',';
    fmt::format_to(std::back_inserter(list), "{}", event);
  }
  std::map<std::string_view, std::uint64_t> reasons;
  for (const Reason& reason : done.reasons) {
    if (reason.events > 0) reasons[reason.name()] += reason.events;
  }
  std::string members = fmt::format(R"(,"kept":{},"not_kept":[{}],"unknown":[{}],"reasons":{{)",
                                    events - lost, lists[0], lists[1]);
  for (const auto& [reason, count] : reasons) {
    if (members.back() != '{') members += ',';
    fmt::format_to(std::back_inserter(members), "\"{}\":{}", reason, count);
  }
  members += '}';
  return refuse(kNotAllKept,
                "send the events again that are named in not_kept and unknown: under the same ids "
                "each counts once",
                members);
}

std::size_t InFlight::requests() const {
  const std::scoped_lock lock(mutex_);
  return limits_.requests - free_.size();
}

}  // namespace tally::producer::serve
