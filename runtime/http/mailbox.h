// Where answers from other threads wait for one I/O thread.
#pragma once

#include "runtime/http/responder.h"

#include <functional>
#include <mutex>
#include <optional>
#include <vector>

namespace tally::runtime::http {

struct Answer {
  Asker asker;
  std::optional<Response> response;  // nullopt: the Responder was dropped
};

// One for each I/O thread; responders keep it alive beyond its server.
class Mailbox {
 public:
  // `deliver` takes an answer on the I/O thread itself. `wake` is called by any thread, under the
  // mailbox's lock, when the mailbox turned non-empty; it has the I/O thread call take() soon.
  Mailbox(std::function<void(Answer&&)> deliver, std::function<void()> wake);

  void own();                               // from now on the calling thread is the I/O thread
  void put(Answer answer);                  // any thread; nothing happens when closed
  void take(std::vector<Answer>& answers);  // swaps what waits with an empty `answers`
  void close();  // neither function is called after; what waits is thrown away

 private:
  const std::function<void(Answer&&)> deliver_;
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<Answer> waiting_;  // guarded by mutex_
  bool closed_ = false;          // guarded by mutex_
};

}  // namespace tally::runtime::http
