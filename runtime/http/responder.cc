#include "runtime/http/responder.h"

#include "core/check.h"
#include "runtime/http/mailbox.h"

#include <type_traits>
#include <utility>

namespace tally::runtime::http {
namespace {

// The mailbox of the I/O thread that runs this code; nullptr elsewhere.
thread_local const Mailbox* own_mailbox = nullptr;

}  // namespace

Mailbox::Mailbox(std::function<void(Answer&&)> deliver, std::function<void()> wake)
    : deliver_(std::move(deliver)), wake_(std::move(wake)) {}

void Mailbox::own() { own_mailbox = this; }

void Mailbox::put(std::list<Answer> answer) noexcept {
  if (own_mailbox == this) return deliver_(std::move(answer.front()));
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const bool was_empty = waiting_.empty();
  waiting_.splice(waiting_.end(), answer);
  if (was_empty) wake_();
}

std::list<Answer> Mailbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

void Mailbox::close() {
  std::list<Answer> thrown_away;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  waiting_.swap(thrown_away);
}

Responder::Responder(std::shared_ptr<Mailbox> mailbox, Asker asker)
    : mailbox_(std::move(mailbox)), answer_(1, Answer{asker, std::nullopt}) {}

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this == &other) return *this;
  hand_in();
  mailbox_ = std::move(other.mailbox_);
  answer_ = std::move(other.answer_);
  return *this;
}

Responder::~Responder() { hand_in(); }

void Responder::send(Response response) && noexcept {
  static_assert(std::is_nothrow_move_constructible_v<Response>);
  TALLY_CHECK(mailbox_ != nullptr, "a request was answered twice");
  answer_.front().response.emplace(std::move(response));
  hand_in();
}

void Responder::hand_in() noexcept {
  if (mailbox_ == nullptr) return;
  const std::shared_ptr<Mailbox> mailbox = std::move(mailbox_);
  mailbox->put(std::move(answer_));
}

}  // namespace tally::runtime::http
