#include "core/check.h"
#include "runtime/http/connection_internal.h"
#include "runtime/http/loop_internal.h"

#include <algorithm>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/post.hpp>

namespace tally::runtime::http {
namespace {

using std::chrono::milliseconds;

milliseconds tick_period(const ServerOptions& options) {
  const milliseconds shortest = std::min({options.read_timeout, options.idle_timeout,
                                          options.write_timeout, options.handshake_timeout});
  return std::clamp(shortest / 4, milliseconds(5), milliseconds(250));
}

}  // namespace

Response Shared::error(int status, std::string_view sentence) const {
  Response response;
  if (options.error_answer) {
    response = options.error_answer(status, sentence);
  } else {
    response.status = status;
    response.headers.add("Content-Type", "application/json");
    response.body.append("{\"error\":\"").append(sentence).append("\"}\n");
  }
  if (status == 503 || status == 429) response.headers.set("Retry-After", "1");
  if (status == 401) response.headers.set("WWW-Authenticate", "Bearer");
  return response;
}

Loop::Loop(Shared& shared)
    : shared_(shared),
      period_(tick_period(shared.options)),
      mailbox_(std::make_shared<Mailbox>([this](Answer&& answer) { deliver(std::move(answer)); },
                                         [this] { wake(); })) {}

Loop::~Loop() {
  TALLY_CHECK(!thread_.joinable(), "the thread is not stopped");
  mailbox_->close();
}

void Loop::start() {
  thread_ = std::thread([this] {
    mailbox_->own();
    const auto work = asio::make_work_guard(context_);
    context_.run();
  });
}

void Loop::stop() {
  mailbox_->close();
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

void Loop::drain() {
  asio::post(context_, [this] {
    draining_ = true;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].connection != nullptr) slots_[i].connection->shared_from_this()->drain();
    }
  });
}

Place::Place(Loop& loop) : loop_(&loop) {
  loop.load_.fetch_add(1, std::memory_order_relaxed);
  loop.shared_.open.fetch_add(1);
}

void Place::leave() {
  if (Loop* const left = std::exchange(loop_, nullptr)) left->lose_connection();
}

void Loop::lose_connection() {
  load_.fetch_sub(1, std::memory_order_relaxed);
  if (shared_.open.fetch_sub(1) != 1) return;
  const std::lock_guard lock(shared_.mutex);
  shared_.none_is_open.notify_all();
}

std::uint64_t Loop::add(Connection& connection) {
  if (free_slots_.empty()) {
    if (slots_.size() == slots_.capacity()) slots_.reserve(2 * slots_.size() + 1);
    free_slots_.reserve(slots_.capacity());  // remove() takes no memory
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  arm();
  const std::uint32_t place = free_slots_.back();
  free_slots_.pop_back();
  slots_[place].connection = &connection;
  return std::uint64_t{slots_[place].generation} << 32 | place;
}

void Loop::remove(std::uint64_t id) {
  Slot& slot = slots_.at(static_cast<std::uint32_t>(id));
  TALLY_CHECK(slot.connection != nullptr && slot.generation == id >> 32, "connection {:x}", id);
  slot.connection = nullptr;
  ++slot.generation;
  free_slots_.push_back(static_cast<std::uint32_t>(id));
}

std::shared_ptr<Connection> Loop::find(std::uint64_t id) const {
  const Slot& slot = slots_.at(static_cast<std::uint32_t>(id));
  if (slot.connection == nullptr || slot.generation != id >> 32) return nullptr;
  return slot.connection->shared_from_this();
}

void Loop::deliver(Answer&& answer) {
  const std::shared_ptr<Connection> connection = find(answer.asker.connection);
  if (connection == nullptr) return;
  connection->answer(answer.asker.request, std::move(answer.response));
  connection->flush();
}

void Loop::deliver_later(Answer answer, milliseconds delay) {
  auto timer = std::make_shared<Timer>(context_, delay);
  timer->async_wait([this, timer, answer = std::move(answer)](error_code ec) mutable {
    if (!ec) deliver(std::move(answer));
  });
}

// Under the mailbox's lock; again only when collect() has taken what was there.
void Loop::wake() {
  asio::post(context_, asio::bind_allocator(wake_memory_.allocator(), [this] { collect(); }));
}

// All answers first, then what they come to: one write for each connection.
void Loop::collect() {
  std::list<Answer> answers = mailbox_->take();
  for (Answer& answer : answers) {
    const auto connection = find(answer.asker.connection);
    if (connection != nullptr) {
      connection->answer(answer.asker.request, std::move(answer.response));
    }
  }
  for (const Answer& answer : answers) {
    if (const auto connection = find(answer.asker.connection)) connection->flush();
  }
}

// Without connections the clock stands still and wakes nobody.
void Loop::arm() {
  if (ticking_) return;
  looked_at_ = std::chrono::steady_clock::now();
  ticker_.expires_after(period_);
  ticker_.async_wait([this](error_code ec) {
    if (!ec) tick();
  });
  ticking_ = true;
}

void Loop::tick() {
  const auto passed =
      std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - looked_at_);
  now_ += std::min(passed, 2 * period_);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Connection* connection = slots_[i].connection;
    if (connection != nullptr && connection->is_late(now_)) {
      connection->shared_from_this()->time_out(now_);
    }
  }
  ticking_ = false;
  if (free_slots_.size() < slots_.size()) arm();
}

}  // namespace tally::runtime::http
