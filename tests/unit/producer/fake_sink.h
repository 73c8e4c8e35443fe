// A sink that a test holds in its hand: it takes, refuses, keeps and loses as told.
#pragma once

#include "producer/event_sink.h"
#include "producer/open_client.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tally::producer {

struct Taken {
  std::string key;
  std::string value;
  std::uint64_t tag = 0;
};

// What the test sees and sets; it outlives the sink.
class Script {
 public:
  enum class Ends { kAtOnce, kWhenTold, kWithTheSink, kNever };

  void set_answer(Offered answer) {
    const std::scoped_lock lock(mutex_);
    answer_ = answer;
    changed_.notify_all();
  }
  void set_ends(Ends ends) {
    const std::scoped_lock lock(mutex_);
    ends_ = ends;
    changed_.notify_all();
  }
  // Whether those who end from now on are kept, and why not.
  void set_lost(std::string reason) {
    const std::scoped_lock lock(mutex_);
    lost_ = std::move(reason);
  }
  // Ends the oldest `count` of those that are held.
  void end(std::size_t count) {
    const std::scoped_lock lock(mutex_);
    told_ += count;
    changed_.notify_all();
  }
  std::vector<Taken> taken() {
    const std::scoped_lock lock(mutex_);
    return taken_;
  }
  void wait_for_taken(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return taken_.size() >= count; });
  }
  void wait_for_offers(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return offers_ >= count; });
  }
  std::uint64_t offers() {
    const std::scoped_lock lock(mutex_);
    return offers_;
  }

 private:
  friend class FakeSink;
  std::mutex mutex_;
  std::condition_variable changed_;
  Offered answer_ = Offered::kAccepted;
  Ends ends_ = Ends::kAtOnce;
  std::string lost_;
  std::size_t told_ = 0;
  std::uint64_t offers_ = 0;
  std::vector<Taken> taken_;
};

class FakeSink final : public EventSink {
 public:
  FakeSink(Script& script, OnOutcome on_outcome)
      : script_(script), on_outcome_(std::move(on_outcome)), ender_([this] { run(); }) {}
  ~FakeSink() override {
    {
      const std::scoped_lock lock(script_.mutex_);
      ending_ = true;
      script_.changed_.notify_all();
    }
    ender_.join();
    if (script_.ends_ == Script::Ends::kNever) return;
    for (const Taken& one : held_) on_outcome_({one.tag, one.key, false, "sink_ended"});
  }

  Offered offer(const SinkEvent& event) override {
    const std::scoped_lock lock(script_.mutex_);
    ++script_.offers_;
    script_.changed_.notify_all();
    if (script_.answer_ != Offered::kAccepted) return script_.answer_;
    held_.push_back({std::string(event.key), std::string(event.value), event.tag});
    script_.taken_.push_back(held_.back());
    return Offered::kAccepted;
  }

 private:
  bool may_end() {
    if (held_.empty()) return false;
    if (script_.ends_ == Script::Ends::kAtOnce) return true;
    return script_.ends_ == Script::Ends::kWhenTold && script_.told_ > 0;
  }
  void run() {
    std::unique_lock lock(script_.mutex_);
    for (;;) {
      script_.changed_.wait(lock, [this] { return ending_ || may_end(); });
      if (ending_) return;
      const Taken one = std::move(held_.front());
      held_.pop_front();
      if (script_.ends_ == Script::Ends::kWhenTold) --script_.told_;
      const std::string reason = script_.lost_;
      lock.unlock();
      on_outcome_({one.tag, one.key, reason.empty(), reason});
      lock.lock();
    }
  }

  Script& script_;
  OnOutcome on_outcome_;
  std::deque<Taken> held_;  // guarded by the script's mutex
  bool ending_ = false;     // guarded by the script's mutex
  std::thread ender_;
};

inline MakeSink fake(Script& script) {
  return [&script](EventSink::OnOutcome on_outcome) -> core::Result<MadeSink> {
    return MadeSink{std::make_unique<FakeSink>(script, std::move(on_outcome)),
                    [] { return std::string("the test closed it: open a new client"); }};
  };
}

}  // namespace tally::producer
