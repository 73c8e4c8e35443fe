#include "aggregator/commit_group.h"

#include "aggregator/join_plans.h"
#include "core/check.h"
#include "runtime/retry/backoff.h"

#include <algorithm>
#include <random>
#include <utility>

namespace tally::aggregator {

using namespace std::chrono_literals;

struct CommitGroup::Ticket {
  CommitTask task;                          // run()'s alone until it is settled
  runtime::retry::Backoff waits;            // run()'s alone
  Monitor::Clock::time_point not_before{};  // run()'s alone: when it is tried again
  bool settled = false;                     // this and below: guarded by the monitor
  bool given_up = false;                    // its session is gone
};

class CommitGroup::Member final : public Committer {
 public:
  Member(CommitGroup& group, Probe& probe)
      : group_(group), probe_(probe), connection_(group.duty_.connection()) {
    const std::lock_guard lock(group_.monitor_);
    group_.members_.push_back(this);
  }

  ~Member() override {
    const std::lock_guard lock(group_.monitor_);
    std::erase(group_.members_, this);
    if (ticket_) {
      ticket_->given_up = true;
      std::erase(group_.untried_, ticket_);
      std::erase(group_.to_retry_, ticket_);
      probe_.problem("postgres", "");  // what it met: nobody waits for it any more
    }
    group_.monitor_.wake_all();
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  [[nodiscard]] bool busy() const override { return ticket_ != nullptr; }

  void submit(std::unique_ptr<BatchPlan> plan) override {
    TALLY_CHECK(!busy() && plan && !plan->empty());
    const std::lock_guard lock(group_.monitor_);
    ticket_ = std::make_shared<Ticket>(
        CommitTask{.plan = std::move(plan), .probe = &probe_, .connection = connection_},
        runtime::retry::Backoff(100ms, 5s, group_.settings_.seed + group_.submitted_++));
    group_.untried_.push_back(ticket_);
    group_.monitor_.wake_all();
  }

  std::optional<CommitReport> take_report(std::chrono::milliseconds time) override {
    const std::lock_guard lock(group_.monitor_);
    if (!ticket_ || !group_.monitor_.wait(time, [this] { return ticket_->settled; }))
      return std::nullopt;
    const auto ticket = std::exchange(ticket_, nullptr);
    return CommitReport{*ticket->task.fate, std::move(ticket->task.plan)};
  }

  [[nodiscard]] bool boarding() const override {
    const std::lock_guard lock(group_.monitor_);
    return group_.boarding_;
  }

  void pass() override {
    const std::lock_guard lock(group_.monitor_);
    passed_ = true;
    if (group_.boarding_) group_.monitor_.wake_all();
  }

  // With the monitor locked.
  void boarding_begins() { passed_ = false; }
  [[nodiscard]] bool aboard() const { return passed_ || (ticket_ && !ticket_->settled); }

 private:
  CommitGroup& group_;
  Probe& probe_;
  std::uint64_t connection_;
  std::shared_ptr<Ticket> ticket_;  // written under the monitor, by the member's own thread
  bool passed_ = false;             // guarded by the monitor
};

CommitGroup::CommitGroup(std::unique_ptr<TotalsStore> store, Monitor& monitor,
                         const Settings& settings)
    : monitor_(monitor), settings_(settings), duty_(std::move(store)) {}

CommitGroup::~CommitGroup() { TALLY_CHECK(members_.empty(), "a member outlives its group"); }

std::unique_ptr<Committer> CommitGroup::join(Probe& probe) {
  return std::make_unique<Member>(*this, probe);
}

void CommitGroup::stop() {
  const std::lock_guard lock(monitor_);
  stopping_ = true;
  monitor_.wake_all();
}

bool CommitGroup::everybody_aboard() const {
  return std::ranges::all_of(members_, &Member::aboard);
}

// The first plan is there: whoever has one comes along.
void CommitGroup::board() {
  for (Member* member : members_) member->boarding_begins();
  boarding_ = true;
  monitor_.wait(settings_.boarding_time,
                [this] { return stopping_ || untried_.empty() || everybody_aboard(); });
  boarding_ = false;
}

CommitGroup::Tickets CommitGroup::take_those_that_fit() {
  if (untried_.empty()) return {};
  std::vector<const BatchPlan*> plans;
  plans.reserve(untried_.size());
  for (const auto& ticket : untried_) plans.push_back(ticket->task.plan.get());
  const auto end = untried_.begin() + static_cast<std::ptrdiff_t>(fit_together(plans));
  Tickets together(untried_.begin(), end);
  untried_.erase(untried_.begin(), end);
  return together;
}

CommitGroup::Tickets CommitGroup::take_one_that_is_due() {
  const auto first = std::ranges::min_element(
      to_retry_, {}, [](const auto& ticket) { return ticket->not_before; });
  if (first == to_retry_.end() || (*first)->not_before > monitor_.now()) return {};
  Tickets one{std::move(*first)};
  to_retry_.erase(first);
  return one;
}

// Locked, but for the transaction.
void CommitGroup::attempt(const Tickets& together, std::unique_lock<Monitor>& lock) {
  if (together.empty()) return;
  std::vector<CommitTask*> tasks;
  tasks.reserve(together.size());
  for (const auto& ticket : together) tasks.push_back(&ticket->task);
  lock.unlock();
  duty_.attempt(tasks);
  lock.lock();
  for (const auto& ticket : together) settle(ticket);
  monitor_.wake_all();
}

void CommitGroup::settle(const std::shared_ptr<Ticket>& ticket) {
  if (ticket->given_up) return;
  const CommitTask& task = ticket->task;
  ticket->settled = task.fate.has_value();
  if (ticket->settled) {
    task.probe->problem("postgres", "");
    return;
  }
  ticket->not_before = monitor_.now();
  if (task.in_doubt) {
    task.probe->problem("postgres", task.failure);
    ticket->not_before += ticket->waits.next();
  }
  to_retry_.push_back(ticket);
}

// False: it is to stop.
bool CommitGroup::await_work() {
  std::optional<std::chrono::milliseconds> time;
  if (duty_.keeping_small_is_due()) {
    time = 0ms;
  } else if (!to_retry_.empty()) {
    const auto first = std::ranges::min(to_retry_, {}, [](const auto& ticket) {
                         return ticket->not_before;
                       })->not_before;
    time = std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(first - monitor_.now()));
  }
  monitor_.wait(time, [this] { return stopping_ || !untried_.empty(); });
  return !stopping_;
}

void CommitGroup::run() {
  std::unique_lock lock(monitor_);
  while (await_work()) {
    if (!untried_.empty()) board();
    if (stopping_) return;
    attempt(take_those_that_fit(), lock);
    if (stopping_) return;
    attempt(take_one_that_is_due(), lock);
    if (stopping_) return;
    lock.unlock();
    duty_.keep_small();
    lock.lock();
  }
}

CommitThread::CommitThread(std::unique_ptr<TotalsStore> store,
                           std::chrono::milliseconds boarding_time)
    : group_(std::move(store), monitor_, {boarding_time, std::random_device()()}),
      thread_([this] { group_.run(); }) {}

CommitThread::~CommitThread() {
  group_.stop();
  thread_.join();
}

bool CommitThread::ThreadMonitor::wait(std::optional<std::chrono::milliseconds> at_most,
                                       const std::function<bool()>& holds) {
  std::unique_lock lock(mutex_, std::adopt_lock);
  if (at_most) {
    changed_.wait_for(lock, *at_most, holds);
  } else {
    changed_.wait(lock, holds);
  }
  const bool result = holds();
  lock.release();
  return result;
}

}  // namespace tally::aggregator
