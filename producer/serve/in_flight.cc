#include "producer/serve/in_flight.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/serve/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::http::Response;

constexpr std::string_view kFullReason = "queue_full";
constexpr std::string_view kClosedReason = "closed";

// What ends an event before anybody could have kept it: it was never handed over, or each try of it
// would be refused. After all others a copy may exist: of an earlier try whose answer was lost, or
// on a disk that could not take it back.
constexpr std::array<std::string_view, 6> kCertainlyNotKept = {
    kFullReason, kClosedReason, "too_large", "MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD",
};

// Takes `amount` of what is bounded, or nothing.
bool take(std::atomic<std::uint64_t>& used, std::uint64_t amount, std::uint64_t bound) {
  if (used.fetch_add(amount) + amount <= bound) return true;
  used.fetch_sub(amount);
  return false;
}

}  // namespace

bool fate_is_unknown(std::string_view reason) {
  return std::find(kCertainlyNotKept.begin(), kCertainlyNotKept.end(), reason) ==
         kCertainlyNotKept.end();
}

InFlight::InFlight(const InFlightLimits& limits, Probe& probe)
    : limits_(limits), probe_(probe), slots_(std::make_unique<Slot[]>(limits.requests)) {
  TALLY_CHECK(limits.requests >= 1 && limits.requests <= core::kMaxRequestsInFlight);
  free_.reserve(limits.requests);
  for (std::size_t i = limits.requests; i > 0; --i) free_.push_back(static_cast<SlotId>(i - 1));
}

InFlight::Began InFlight::begin(Load load, const SenderPtr& sender, Reply& reply, SlotId& slot) {
  const std::uint64_t key_bound = limits_.events_of_a_key;
  const std::uint64_t key_requests = std::max<std::uint64_t>(1, limits_.requests / 2);
  if (key_bound > 0) {
    if (!take(sender->requests, 1, key_requests)) return Began::kKeyFull;
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
  {
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) {
      events_.fetch_sub(load.events);
      bytes_.fetch_sub(load.bytes);
      return give_back();
    }
    slot = free_.back();
    free_.pop_back();
  }
  Slot& taken = slots_[slot];
  taken.left.store(load.events + 1, std::memory_order_relaxed);
  taken.load = load;
  taken.sender = sender;
  taken.reply = std::move(reply);
  taken.begun = std::chrono::steady_clock::now();
  return Began::kYes;
}

void InFlight::missed(SlotId slot, std::size_t event, std::string_view reason) {
  {
    const std::scoped_lock lock(slots_[slot].mutex);
    slots_[slot].misses.push_back(
        {static_cast<std::uint32_t>(event), fate_is_unknown(reason), std::string(reason)});
  }
  count_down(slot);
}

void InFlight::offered(SlotId slot) { count_down(slot); }

void InFlight::ended(const SinkOutcome& outcome) {
  const auto slot = static_cast<SlotId>(outcome.tag >> 32U);
  TALLY_CHECK(slot < limits_.requests, "tag {}", outcome.tag);
  if (!outcome.kept) return missed(slot, outcome.tag & 0xffff'ffffU, outcome.reason);
  count_down(slot);
}

void InFlight::count_down(SlotId slot) {
  const std::uint64_t before = slots_[slot].left.fetch_sub(1, std::memory_order_acq_rel);
  TALLY_CHECK(before >= 1, "slot {} had ended", slot);
  if (before == 1) finish(slot);
}

void InFlight::finish(SlotId slot) {
  Slot& done = slots_[slot];
  const Load load = done.load;
  const auto took = std::chrono::steady_clock::now() - done.begun;
  const SenderPtr sender = std::exchange(done.sender, nullptr);
  Reply reply = std::exchange(done.reply, Reply());
  std::vector<Miss> misses;
  {
    const std::scoped_lock lock(done.mutex);
    misses.swap(done.misses);
  }
  const auto unknown =
      std::count_if(misses.begin(), misses.end(), [](const Miss& miss) { return miss.unknown; });
  probe_.ended({.kept = load.events - misses.size(),
                .not_kept = misses.size() - static_cast<std::uint64_t>(unknown),
                .unknown = static_cast<std::uint64_t>(unknown)},
               took);
  Response response = answer(load, misses);
  // Before the answer is out: whoever has read it finds the room free.
  events_.fetch_sub(load.events);
  bytes_.fetch_sub(load.bytes);
  if (limits_.events_of_a_key > 0) {
    sender->in_flight.fetch_sub(load.events);
    sender->requests.fetch_sub(1);
  }
  {
    const std::scoped_lock lock(mutex_);
    free_.push_back(slot);
  }
  probe_.answered(response.status);
  std::move(reply).send(std::move(response));
}

Response InFlight::answer(const Load& load, std::vector<Miss>& misses) {
  if (misses.empty()) {
    Response response;
    response.status = 202;
    return response;
  }
  const auto all_for = [&](std::string_view reason) {
    return misses.size() == load.events &&
           std::all_of(misses.begin(), misses.end(),
                       [reason](const Miss& miss) { return miss.reason == reason; });
  };
  if (all_for(kFullReason)) {
    return refuse(kQueueFull, "no room to keep events in: send it again later");
  }
  if (all_for(kClosedReason)) {
    return refuse(kClosed, "/readyz says why; send it to another instance, or later");
  }
  std::sort(misses.begin(), misses.end(),
            [](const Miss& a, const Miss& b) { return a.event < b.event; });
  std::map<std::string_view, std::size_t> reasons;
  std::string lists[2];
  for (const Miss& miss : misses) {
    ++reasons[miss.reason];
    std::string& list = lists[miss.unknown ? 1 : 0];
    if (!list.empty()) list += ',';
    fmt::format_to(std::back_inserter(list), "{}", miss.event);
  }
  std::string members = fmt::format(R"(,"kept":{},"not_kept":[{}],"unknown":[{}],"reasons":{{)",
                                    load.events - misses.size(), lists[0], lists[1]);
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
