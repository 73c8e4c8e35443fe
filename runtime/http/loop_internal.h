// One I/O thread of the server: its io_context, its connections, its clock and its mailbox. For the
// sources of this folder only.
#pragma once

#include "runtime/http/mailbox.h"
#include "runtime/http/operation_memory_internal.h"
#include "runtime/http/server.h"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace tally::runtime::http {

namespace asio = boost::asio;
using boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;

class Connection;

// Added to by one thread, read by any.
class Counter {
 public:
  void add() {
    value_.store(value_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct LoopCounters {
  Counter connections_failed;
  Counter requests;
  std::array<Counter, 6> responses;
  Counter request_timeouts;
  Counter idle_timeouts;
  Counter write_timeouts;
  Counter tls_failures;
};

// What all I/O threads of one server share; outlives them.
struct Shared {
  ServerOptions options;
  Server::Handler handler;  // one of the two is set
  Server::AsyncHandler async_handler;
  std::atomic<std::size_t> open{0};  // connections, those to be refused included
  BytesReceiving receiving;
  std::mutex mutex;                      // for the waiting only
  std::condition_variable none_is_open;  // notified when `open` became 0

  // What the server itself answers.
  [[nodiscard]] Response error(int status, std::string_view sentence) const;
};

class Loop {
 public:
  // Of the connection's own clock, which stands still while the thread is held up, so that nobody
  // is timed out for that. 0 is no time.
  using Time = std::chrono::milliseconds;

  explicit Loop(Shared& shared);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void start();  // the thread
  void stop();   // joins it; connections end with the Loop

  // Any thread.
  void drain();
  [[nodiscard]] asio::io_context& context() { return context_; }
  [[nodiscard]] Shared& shared() { return shared_; }
  // Connections that are here or on their way here: Places of this thread.
  [[nodiscard]] std::size_t load() const { return load_.load(std::memory_order_relaxed); }
  LoopCounters counters;

  // The I/O thread only, as all below.
  // The connection is looked after until remove(); its id is never given again. Throws
  // std::bad_alloc: then it is not.
  [[nodiscard]] std::uint64_t add(Connection& connection);
  void remove(std::uint64_t id);
  // A moment that has surely come when `timeout` has passed from now.
  [[nodiscard]] Time deadline(std::chrono::milliseconds timeout) const {
    return now_ + timeout + period_;
  }
  [[nodiscard]] bool draining() const { return draining_; }
  // Throws std::bad_alloc: then nobody answers.
  [[nodiscard]] Responder responder(Asker asker) const { return {mailbox_, asker}; }
  // Delivers an answer that is to be late.
  void deliver_later(Answer answer, std::chrono::milliseconds delay);

 private:
  struct Slot {
    Connection* connection = nullptr;
    std::uint32_t generation = 0;
  };
  friend class Place;
  void lose_connection();
  [[nodiscard]] std::shared_ptr<Connection> find(std::uint64_t id) const;
  void wake();
  void deliver(Answer&& answer);
  void collect();
  void arm();
  void tick();

  Shared& shared_;
  const Time period_;
  std::atomic<std::size_t> load_{0};
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;  // has room for all
  Time now_{1};
  std::chrono::steady_clock::time_point looked_at_;  // when now_ was last moved
  bool ticking_ = false;
  bool draining_ = false;
  OperationMemory wake_memory_;
  // After all that its connections use: it ends them.
  asio::io_context context_{1};
  Timer ticker_{context_};
  std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
};

// One connection of a Loop's, counted while this lives: from where it was accepted, whether it
// can be made or not, until it is closed. Outlived by the Loop. One thread at a time.
class Place {
 public:
  explicit Place(Loop& loop);
  ~Place() { leave(); }
  Place(Place&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)) {}
  Place& operator=(Place&&) = delete;

  void leave();                                        // once more does no harm
  [[nodiscard]] Loop& loop() const { return *loop_; }  // not after leave()

 private:
  Loop* loop_;
};

}  // namespace tally::runtime::http
