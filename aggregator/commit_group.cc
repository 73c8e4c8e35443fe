#include "aggregator/commit_group.h"

#include "core/check.h"

#include <algorithm>
#include <utility>

namespace tally::aggregator {

using namespace std::chrono_literals;

struct CommitGroup::Ticket {
  CommitTask task;        // run()'s alone until it is settled
  bool settled = false;   // this and below: guarded by the monitor
  bool given_up = false;  // its session is gone
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
      std::erase(group_.waiting_, ticket_);
    }
    group_.monitor_.wake_all();
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  [[nodiscard]] bool busy() const override { return ticket_ != nullptr; }

  void submit(std::unique_ptr<BatchPlan> plan) override {
    TALLY_CHECK(!busy() && plan && !plan->empty());
    auto ticket = std::make_shared<Ticket>();
    ticket->task = {.plan = std::move(plan), .probe = &probe_, .connection = connection_};
    const std::lock_guard lock(group_.monitor_);
    ticket_ = std::move(ticket);
    group_.waiting_.push_back(ticket_);
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
                         std::chrono::milliseconds boarding_time)
    : monitor_(monitor),
      boarding_time_(boarding_time),
      duty_(std::move(store)),
      again_(100ms, 5s, static_cast<std::uint64_t>(boarding_time.count())) {}

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
  monitor_.wait(boarding_time_,
                [this] { return stopping_ || waiting_.empty() || everybody_aboard(); });
  boarding_ = false;
  under_way_.insert(under_way_.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
}

void CommitGroup::attempt() {
  std::vector<CommitTask*> tasks;
  tasks.reserve(under_way_.size());
  for (const auto& ticket : under_way_) tasks.push_back(&ticket->task);
  duty_.attempt(tasks);
  for (const CommitTask* task : tasks) {
    if (task->fate == PlanFate::kCommitted) duty_.keep_small(*task->plan);
  }
}

void CommitGroup::run() {
  std::unique_lock lock(monitor_);
  while (!stopping_) {
    // What has failed is tried again after a while, or when another plan comes.
    const auto time = under_way_.empty() ? std::nullopt : std::optional(again_.next());
    monitor_.wait(time, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    if (!waiting_.empty()) board();
    std::erase_if(under_way_, [](const auto& ticket) { return ticket->given_up; });
    lock.unlock();
    attempt();
    lock.lock();
    std::erase_if(under_way_, [](const auto& ticket) {
      ticket->settled = ticket->task.fate.has_value();
      return ticket->settled;
    });
    if (under_way_.empty()) again_.reset();
    monitor_.wake_all();
  }
}

CommitThread::CommitThread(std::unique_ptr<TotalsStore> store,
                           std::chrono::milliseconds boarding_time)
    : group_(std::move(store), monitor_, boarding_time), thread_([this] { group_.run(); }) {}

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
