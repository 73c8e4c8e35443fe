// The answer that one request of an asynchronous handler still has to get.
#pragma once

#include "runtime/http/http.h"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>

namespace tally::runtime::http {

class Mailbox;

// Who is to be answered: a connection of one I/O thread and the request's place on it.
struct Asker {
  std::uint64_t connection = 0;
  std::uint64_t request = 0;
};

// An answer on its way to its connection.
struct Answer {
  Asker asker;
  std::optional<Response> response;  // nullopt: the Responder was dropped
};

// Movable, one-shot. One thread at a time; which one, and whether the server or the connection
// still is, does not matter: an answer to who is gone is thrown away. Destroyed without an answer
// it answers 500. An answer from the server's own thread inside the handler costs no lock; from
// another thread it goes into the I/O thread's mailbox, which is woken when it was empty, so a
// burst of answers costs one wake-up. To answer takes no memory and throws nothing: the answer has
// its place since the Responder was made. Where the I/O thread then finds no memory to send it, the
// connection is closed.
class Responder {
 public:
  Responder() = default;                                     // answers nobody
  Responder(std::shared_ptr<Mailbox> mailbox, Asker asker);  // throws std::bad_alloc
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&& other) noexcept;
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  ~Responder();

  // At most once; not on one that was moved from.
  void send(Response response) && noexcept;
  void operator()(Response response) && noexcept { std::move(*this).send(std::move(response)); }
  [[nodiscard]] explicit operator bool() const { return mailbox_ != nullptr; }

 private:
  void hand_in() noexcept;  // what there is; nothing happens when it was handed in before

  std::shared_ptr<Mailbox> mailbox_;
  std::list<Answer> answer_;  // one, which moves into the mailbox
};

}  // namespace tally::runtime::http
