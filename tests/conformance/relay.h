// A TCP relay between one client and the server, which can break the client's side alone: then the
// server goes on with what it was told and nobody hears its answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace tally::conformance {

// Listens on a free port of the loopback. Threads: any; one of its own does the work.
class Relay {
 public:
  Relay(const std::string& host, std::uint16_t port);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Both sides of every connection close; new ones are taken.
  void cut();
  // Only the client's side closes; the server's stays open, unread, until the relay ends.
  void cut_client();

 private:
  struct Pair {
    int client = -1;
    int server = -1;
  };
  void serve();
  void accept_one();
  static bool pass(int from, int to);

  std::string host_;
  std::uint16_t server_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::mutex mutex_;
  std::list<Pair> pairs_;   // guarded by mutex_
  std::list<int> orphans_;  // guarded by mutex_
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace tally::conformance
