// Futures and awaitables: each a waiter that the client tells its event's end.
#include "producer/client_impl.h"
#include "producer/request_id.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

namespace tally::producer {
namespace {

// Of a reason; they are short names.
constexpr std::size_t kReasonRoom = 128;

// Room for an end: telling it needs no memory, for there may be none and nobody to tell.
Ended room_for(std::string_view given_id) {
  Ended room;
  room.id.reserve(std::max(given_id.size(), kNewIdBytes));
  room.reason.reserve(kReasonRoom);
  return room;
}

void fill(Ended& room, const Outcome& outcome) noexcept {
  room.recorded = Recorded::kAccepted;
  room.kept = outcome.kept;
  room.may_be_kept = outcome.may_be_kept;
  room.id.assign(outcome.id.substr(0, room.id.capacity()));
  room.reason.assign(outcome.reason.substr(0, room.reason.capacity()));
}

class FutureWaiter final : public Waiter {
 public:
  explicit FutureWaiter(std::string_view given_id) : result_(room_for(given_id)) {}
  std::promise<Ended> promise;
  void ended(const Outcome& outcome) noexcept override {
    const std::unique_ptr<FutureWaiter> self(this);
    fill(result_, outcome);
    promise.set_value(std::move(result_));
  }

 private:
  Ended result_;
};

Ended ended_of(const Receipt& receipt, std::string_view given_id) {
  return {receipt.recorded, false, std::string(given_id.empty() ? receipt.new_id() : given_id),
          std::string(receipt.reason), false};
}

std::future<Ended> start_future(UsageClient::Impl& client, const UsageEvent& event,
                                const std::span<const Field>* fields) {
  auto waiter = std::make_unique<FutureWaiter>(event.id);
  auto future = waiter->promise.get_future();
  const Receipt receipt = client.record(event, fields, waiter.get());
  if (receipt) {
    static_cast<void>(waiter.release());  // it is gone when its event has ended
  } else {
    waiter->promise.set_value(ended_of(receipt, event.id));
  }
  return future;
}

}  // namespace

// Shared by the Pending and the client: whoever is done last deletes it.
struct PendingState final : public Waiter {
  explicit PendingState(std::string_view given_id) : result(room_for(given_id)) {}
  Ended result;
  // Null, the coroutine that waits, or kDone once `result` is there.
  std::atomic<void*> waiting{nullptr};
  std::atomic<int> owners{2};
  static inline char kDone = 0;

  void ended(const Outcome& outcome) noexcept override {
    fill(result, outcome);
    finish();
  }
  void finish() noexcept {
    void* const coroutine = waiting.exchange(&kDone, std::memory_order_acq_rel);
    if (coroutine != nullptr) std::coroutine_handle<>::from_address(coroutine).resume();
    let_go();
  }
  void let_go() noexcept {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

namespace {

PendingState* start_pending(UsageClient::Impl& client, const UsageEvent& event,
                            const std::span<const Field>* fields) {
  auto state = std::make_unique<PendingState>(event.id);
  const Receipt receipt = client.record(event, fields, state.get());
  if (!receipt) state->result = ended_of(receipt, event.id);
  PendingState* const raw = state.release();
  if (!receipt) raw->finish();
  return raw;
}

}  // namespace

Pending::~Pending() {
  if (state_ != nullptr) state_->let_go();
}

bool Pending::await_ready() const noexcept {
  return state_->waiting.load(std::memory_order_acquire) == &PendingState::kDone;
}

bool Pending::await_suspend(std::coroutine_handle<> waiting) noexcept {
  void* nobody = nullptr;
  // False where the event ended meanwhile: the coroutine goes on. When true, it may have gone on
  // elsewhere already, and this Pending may be no more.
  return state_->waiting.compare_exchange_strong(nobody, waiting.address(),
                                                 std::memory_order_acq_rel);
}

Ended Pending::await_resume() { return std::move(state_->result); }

std::future<Ended> UsageClient::record_future(const UsageEvent& event) {
  return start_future(*impl_, event, nullptr);
}

std::future<Ended> UsageClient::record_future(std::string_view type, std::string_view tenant,
                                              std::initializer_list<Field> data,
                                              const Details& details) {
  const std::span<const Field> fields(data.begin(), data.size());
  return start_future(*impl_, event_of(type, tenant, details), &fields);
}

Pending UsageClient::record_awaitable(const UsageEvent& event) {
  return Pending(start_pending(*impl_, event, nullptr));
}

Pending UsageClient::record_awaitable(std::string_view type, std::string_view tenant,
                                      std::initializer_list<Field> data, const Details& details) {
  const std::span<const Field> fields(data.begin(), data.size());
  return Pending(start_pending(*impl_, event_of(type, tenant, details), &fields));
}

}  // namespace tally::producer
