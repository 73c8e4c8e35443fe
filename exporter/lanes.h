// Requests to Stripe that are under way at the same time, each on a thread of its own with its own
// connection. The sender decides what is started and when; a lane only carries it.
#pragma once

#include "core/timestamp.h"
#include "exporter/meter_event_api.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace tally::exporter {

struct Sending {
  std::size_t tag = 0;  // comes back with the answer
  MeterEvent event;
  core::Timestamp not_after;  // from then on it must not be sent
};

struct Answered {
  std::size_t tag = 0;
  ApiAnswer answer;
};

// The seam of the sender to its lanes; simulated in tests. One thread.
class Lanes {
 public:
  virtual ~Lanes() = default;
  [[nodiscard]] virtual std::size_t count() const = 0;
  // Fewer than count() are under way: started, and not yet given back by next().
  virtual void start(Sending sending) = 0;
  // An answer that has come; waits up to `time` for one.
  [[nodiscard]] virtual std::optional<Answered> next(std::chrono::milliseconds time) = 0;
};

// Makes one lane's way to Stripe.
using ApiFactory = std::function<std::unique_ptr<MeterEventApi>()>;
using Now = std::function<core::Timestamp()>;

// What a lane does: a request that stood still until its time was over is not sent.
[[nodiscard]] ApiAnswer send_in_time(MeterEventApi& api, const Now& now, const Sending& sending);

// `now` is called by all of its threads.
class ThreadLanes final : public Lanes {
 public:
  ThreadLanes(std::size_t count, ApiFactory apis, Now now);
  ~ThreadLanes() override;  // waits for what is under way
  ThreadLanes(const ThreadLanes&) = delete;
  ThreadLanes& operator=(const ThreadLanes&) = delete;

  [[nodiscard]] std::size_t count() const override { return threads_.size(); }
  void start(Sending sending) override;
  [[nodiscard]] std::optional<Answered> next(std::chrono::milliseconds time) override;

 private:
  void carry();

  ApiFactory apis_;
  Now now_;
  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable answered_;
  std::deque<Sending> waiting_;  // guarded, as the next two
  std::deque<Answered> done_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tally::exporter
