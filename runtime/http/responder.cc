#include "runtime/http/responder.h"

#include "core/check.h"
#include "runtime/http/mailbox.h"

#include <utility>

namespace tally::runtime::http {
namespace {

// The mailbox of the I/O thread that runs this code; nullptr elsewhere.
thread_local const Mailbox* own_mailbox = nullptr;

}  // namespace

Mailbox::Mailbox(std::function<void(Answer&&)> deliver, std::function<void()> wake)
    : deliver_(std::move(deliver)), wake_(std::move(wake)) {}

void Mailbox::own() { own_mailbox = this; }

void Mailbox::put(Answer answer) {
  if (own_mailbox == this) return deliver_(std::move(answer));
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  waiting_.push_back(std::move(answer));
  if (waiting_.size() == 1) wake_();
}

void Mailbox::take(std::vector<Answer>& answers) {
  TALLY_CHECK(answers.empty(), "{} answers not delivered", answers.size());
  const std::lock_guard lock(mutex_);
  waiting_.swap(answers);
}

void Mailbox::close() {
  std::vector<Answer> thrown_away;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  waiting_.swap(thrown_away);
}

Responder::Responder(std::shared_ptr<Mailbox> mailbox, Asker asker)
    : mailbox_(std::move(mailbox)), asker_(asker) {}

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this == &other) return *this;
  abandon();
  mailbox_ = std::move(other.mailbox_);
  asker_ = other.asker_;
  return *this;
}

Responder::~Responder() { abandon(); }

void Responder::send(Response response) && {
  TALLY_CHECK(mailbox_ != nullptr, "request {} answered twice", asker_.request);
  const std::shared_ptr<Mailbox> mailbox = std::move(mailbox_);
  mailbox->put({asker_, std::move(response)});
}

void Responder::abandon() noexcept {
  if (mailbox_ == nullptr) return;
  const std::shared_ptr<Mailbox> mailbox = std::move(mailbox_);
  mailbox->put({asker_, std::nullopt});
}

}  // namespace tally::runtime::http
