// Where answers from other threads wait for one I/O thread.
#pragma once

#include "runtime/http/responder.h"

#include <functional>
#include <list>
#include <mutex>

namespace tally::runtime::http {

// One for each I/O thread; responders keep it alive beyond its server.
class Mailbox {
 public:
  // `deliver` takes an answer on the I/O thread itself. `wake` is called by any thread, under the
  // mailbox's lock, when the mailbox turned non-empty; it has the I/O thread call take() soon, so
  // it is not called again before that. Neither throws.
  Mailbox(std::function<void(Answer&&)> deliver, std::function<void()> wake);

  void own();  // from now on the calling thread is the I/O thread
  // Of one answer. Any thread; takes no memory; nothing happens when closed.
  void put(std::list<Answer> answer) noexcept;
  [[nodiscard]] std::list<Answer> take();  // all that wait
  void close();  // neither function is called after; what waits is thrown away

 private:
  const std::function<void(Answer&&)> deliver_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::list<Answer> waiting_;  // guarded by mutex_
  bool closed_ = false;        // guarded by mutex_
};

}  // namespace tally::runtime::http
