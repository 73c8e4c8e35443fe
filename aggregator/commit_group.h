// The committers of a process' workers as one: plans that wait at the same time go in one
// transaction, so that a row which all of them add to is written once, and no worker waits for
// another's locks.
#pragma once

#include "aggregator/commit_duty.h"
#include "aggregator/committer.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace tally::aggregator {

// A mutex and its condition, or what stands for them where time and threads are simulated.
class Monitor {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Monitor() = default;
  [[nodiscard]] virtual Clock::time_point now() const = 0;
  virtual void lock() = 0;
  virtual void unlock() = 0;
  // Locked, and not locked while it waits: until `holds` or, if given, for that time. Returns
  // whether it holds.
  virtual bool wait(std::optional<std::chrono::milliseconds> at_most,
                    const std::function<bool()>& holds) = 0;
  virtual void wake_all() = 0;
};

// It goes in rounds. Each has one transaction at most for what was never tried, which goes first
// and together; then one for a plan that was: alone, and after a wait of its own when its outcome
// is in doubt. After each transaction those whose fate is known are told. So a plan waits for one
// transaction of each kind at most before one in which it may be, and nothing is begun for a
// session that is gone, nor after stop().
//
// Threads: run() on one, until stop(); join() from any. stop() does not end a transaction that is
// under way. Lifetime: outlives its members, monitor and probes outlive it.
class CommitGroup {
 public:
  struct Settings {
    std::chrono::milliseconds boarding_time{};  // that the first plan waits for the other members'
    std::uint64_t seed = 0;  // of the waits: another for each process, or all retry in step
  };
  CommitGroup(std::unique_ptr<TotalsStore> store, Monitor& monitor, const Settings& settings);
  CommitGroup(const CommitGroup&) = delete;
  CommitGroup& operator=(const CommitGroup&) = delete;
  ~CommitGroup();

  // For one session.
  [[nodiscard]] std::unique_ptr<Committer> join(Probe& probe);
  void run();
  void stop();

 private:
  class Member;
  struct Ticket;
  using Tickets = std::vector<std::shared_ptr<Ticket>>;

  [[nodiscard]] bool await_work();
  void board();
  [[nodiscard]] bool everybody_aboard() const;
  [[nodiscard]] Tickets take_those_that_fit();
  [[nodiscard]] Tickets take_one_that_is_due();
  void attempt(const Tickets& together, std::unique_lock<Monitor>& lock);
  void settle(const std::shared_ptr<Ticket>& ticket);

  Monitor& monitor_;
  Settings settings_;
  CommitDuty duty_;   // run()'s alone, but for connection()
  Tickets untried_;   // this and all below: guarded by the monitor
  Tickets to_retry_;  // each alone
  std::uint64_t submitted_ = 0;
  std::vector<Member*> members_;
  bool boarding_ = false;
  bool stopping_ = false;
};

// A group on a thread of its own.
class CommitThread {
 public:
  CommitThread(std::unique_ptr<TotalsStore> store, std::chrono::milliseconds boarding_time);
  ~CommitThread();
  CommitThread(const CommitThread&) = delete;
  CommitThread& operator=(const CommitThread&) = delete;

  [[nodiscard]] std::unique_ptr<Committer> join(Probe& probe) { return group_.join(probe); }

 private:
  class ThreadMonitor final : public Monitor {
   public:
    [[nodiscard]] Clock::time_point now() const override { return Clock::now(); }
    void lock() override { mutex_.lock(); }
    void unlock() override { mutex_.unlock(); }
    bool wait(std::optional<std::chrono::milliseconds> at_most,
              const std::function<bool()>& holds) override;
    void wake_all() override { changed_.notify_all(); }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
  };

  ThreadMonitor monitor_;
  CommitGroup group_;
  std::thread thread_;
};

}  // namespace tally::aggregator
