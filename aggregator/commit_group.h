// The committers of a process' workers as one: plans that wait at the same time go in one
// transaction, so that a row which all of them add to is written once, and no worker waits for
// another's locks.
#pragma once

#include "aggregator/commit_duty.h"
#include "aggregator/committer.h"
#include "runtime/retry/backoff.h"

#include <chrono>
#include <condition_variable>
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
  virtual ~Monitor() = default;
  virtual void lock() = 0;
  virtual void unlock() = 0;
  // Locked, and not locked while it waits: until `holds` or, if given, for that time. Returns
  // whether it holds.
  virtual bool wait(std::optional<std::chrono::milliseconds> at_most,
                    const std::function<bool()>& holds) = 0;
  virtual void wake_all() = 0;
};

// Threads: run() on one, until stop(); join() from any. Lifetime: outlives its members, monitor and
// probes outlive it.
class CommitGroup {
 public:
  // `boarding_time`: that the first plan waits for those of the other members.
  CommitGroup(std::unique_ptr<TotalsStore> store, Monitor& monitor,
              std::chrono::milliseconds boarding_time);
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

  void board();
  void attempt();
  [[nodiscard]] bool everybody_aboard() const;

  Monitor& monitor_;
  std::chrono::milliseconds boarding_time_;
  CommitDuty duty_;                // run()'s alone, but for connection()
  runtime::retry::Backoff again_;  // run()'s alone
  Tickets under_way_;              // run()'s alone
  Tickets waiting_;                // this and all below: guarded by the monitor
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
