#include "runtime/http/connection_internal.h"

#include "core/check.h"
#include "runtime/log/log.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>
#include <new>

namespace tally::runtime::http {
namespace {

constexpr std::size_t kSmallBufferBytes = 2 * 1024;   // what an idle connection keeps
constexpr std::size_t kLargeBufferBytes = 64 * 1024;  // enough to fill a body at the disk's pace
constexpr std::size_t kKeptBytes = 64 * 1024;         // memory of a text that is used again
constexpr std::size_t kMaxUnsentBytes = 256 * 1024;   // more are read only when these are sent

void shed(std::string& text) {
  if (text.capacity() > kKeptBytes) std::string().swap(text);  // assigned to, it keeps its memory
}

}  // namespace

Connection::Connection(Place place)
    : place_(std::move(place)),
      loop_(place_.loop()),
      options_(loop_.shared().options),
      id_(loop_.add(*this)),
      charge_(loop_.shared().receiving, options_) {}

Connection::~Connection() {
  if (!closed_) loop_.remove(id_);
}

void Connection::begin_phase(Phase phase, std::chrono::milliseconds timeout) {
  phase_ = phase;
  read_deadline_ = loop_.deadline(timeout);
}

bool Connection::has_room() const {
  return next_ - next_out_ < options_.max_pipelined && out_.size() < kMaxUnsentBytes &&
         !(writing_ && sending_.size() >= kMaxUnsentBytes);
}

bool Connection::is_finished() const { return last_ && next_out_ > *last_ && is_all_sent(); }

// Grows while it is filled to the brim and shrinks when it is empty.
std::span<char> Connection::free_space() {
  const std::size_t held = end_ - begin_;
  std::size_t wanted = buffer_bytes_;
  if (end_ == buffer_bytes_) {
    wanted = std::max(kSmallBufferBytes, buffer_bytes_ * 2);
    if (held < kLargeBufferBytes) wanted = std::min(wanted, kLargeBufferBytes);
  } else if (held == 0 && !parser_) {
    wanted = kSmallBufferBytes;
  }
  if (wanted != buffer_bytes_) {
    auto other = std::make_unique_for_overwrite<char[]>(wanted);
    if (held > 0) std::memcpy(other.get(), buffer_.get() + begin_, held);
    buffer_ = std::move(other);
    buffer_bytes_ = wanted;
  } else if (held > 0 && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, held);
  }
  begin_ = 0;
  end_ = held;
  TALLY_CHECK(end_ < buffer_bytes_, "{} of {} bytes held", end_, buffer_bytes_);
  return {buffer_.get() + end_, buffer_bytes_ - end_};
}

void Connection::received(std::size_t bytes) {
  end_ += bytes;
  if (request_is_late_) return read_failed(asio::error::operation_aborted);
  process();
}

void Connection::process() {
  if (closed_ || last_) return;
  bool goes_on = true;
  while (goes_on) {
    processing_ = true;
    while (goes_on && has_room() && !closed_ && !last_) goes_on = step();
    processing_ = false;
    flush();
    goes_on = goes_on && has_room() && !closed_ && !last_;
  }
  is_blocked_ = !has_room();
}

bool Connection::step() {
  if (begin_ == end_) return false;
  if (!parser_) {
    parser_.emplace(options_, request_, charge_);
    read_deadline_ = loop_.deadline(options_.read_timeout);
  }
  std::string_view bytes(buffer_.get() + begin_, end_ - begin_);
  const RequestParser::State state = parser_->read(bytes);
  begin_ = end_ - bytes.size();
  switch (state) {
    case RequestParser::State::kNeedsMore:
      return false;
    case RequestParser::State::kHeaderRead:
      continue_due_ = parser_->expects_continue() && begin_ == end_;
      let_body_come();
      return true;
    case RequestParser::State::kRefused: {
      if (auto answer = parser_->take_answer()) {
        refuse(*std::move(answer));
        return false;
      }
      const std::string sentence = parser_->sentence();
      refuse(parser_->status(), sentence);
      return false;
    }
    case RequestParser::State::kWhole:
      hand_over();
      return true;
  }
  return false;
}

// The interim answer too waits for those of the requests before.
void Connection::let_body_come() {
  if (!continue_due_ || next_out_ != next_) return;
  continue_due_ = false;
  out_ += "HTTP/1.1 100 Continue\r\n\r\n";
}

void Connection::hand_over() {
  const std::uint64_t number = next_++;
  note_method(number);
  if (!parser_->may_stay() || loop_.draining()) last_ = number;
  parser_.reset();
  continue_due_ = false;
  read_deadline_ = kNever;
  loop_.counters.requests.add();
  Shared& shared = loop_.shared();
  const auto log_failure = [&](const std::exception& failure) {
    log::error("http handler failed", {{"problem", failure.what()}});
  };
  if (shared.async_handler) {
    Responder responder = loop_.responder({id_, number});
    try {
      shared.async_handler(std::move(request_), std::move(responder));
    } catch (const std::exception& failure) {
      log_failure(failure);  // its Responder is gone, which answered
    }
  } else {
    std::optional<Response> response;
    try {
      response = shared.handler(request_);
    } catch (const std::exception& failure) {
      log_failure(failure);
    }
    answer(number, std::move(response));
  }
  let_go();
}

// An answer to HEAD has no body. Nothing is known of what was not begun.
void Connection::note_method(std::uint64_t request) {
  const std::uint64_t bit = std::uint64_t{1} << (request % 64);
  head_only_ = parser_ && request_.method == "HEAD" ? head_only_ | bit : head_only_ & ~bit;
}

void Connection::let_go() {
  parser_.reset();
  request_.grant.reset();
  request_.account.reset();
  shed(request_.body);
  charge_.give_back();
}

void Connection::refuse(int status, std::string_view sentence) {
  if (!closed_ && !last_) refuse(loop_.shared().error(status, sentence));
}

void Connection::refuse(Response response) {
  const std::uint64_t number = next_++;
  note_method(number);
  last_ = number;
  let_go();
  read_deadline_ = kNever;
  answer(number, std::move(response));
}

void Connection::answer(std::uint64_t request, std::optional<Response> response) {
  if (closed_) return;
  TALLY_CHECK(request >= next_out_ && request < next_, "answer {} not in [{}, {})", request,
              next_out_, next_);
  try {
    if (!response) response = loop_.shared().error(500, kServerFailed);
    put_in_order(request, *std::move(response));
  } catch (const std::bad_alloc&) {
    loop_.counters.responses[0].add();
    loop_.counters.connections_failed.add();
    close();
  }
}

void Connection::put_in_order(std::uint64_t request, Response response) {
  if (const auto delay = std::exchange(response.delay, {}); delay.count() > 0) {
    return loop_.deliver_later({{id_, request}, std::move(response)}, delay);
  }
  if (request != next_out_) {
    early_.emplace_back(request, std::move(response));
    return;
  }
  append(request, response);
  while (!early_.empty() && !closed_) {
    const auto next = std::find_if(early_.begin(), early_.end(),
                                   [&](const auto& one) { return one.first == next_out_; });
    if (next == early_.end()) break;
    append(next_out_, next->second);
    if (closed_) return;
    early_.erase(next);
  }
  let_body_come();
}

void Connection::append(std::uint64_t request, Response& response) {
  if (response.drop_connection) {
    loop_.counters.responses[0].add();
    if (response.reset_connection) reset_on_close();
    return close();
  }
  const bool head_only = (head_only_ >> (request % 64) & 1) != 0;
  append_answer(out_, response, head_only ? AnswerBody::kLeftOut : AnswerBody::kSent,
                last_ == request ? AfterAnswer::kCloses : AfterAnswer::kStays);
  const int status_class = std::clamp(response.status / 100, 1, 5);
  loop_.counters.responses[static_cast<std::size_t>(status_class)].add();
  ++next_out_;
}

void Connection::flush() {
  if (processing_) return;
  while (!closed_ && !writing_ && !out_.empty()) {
    out_.swap(sending_);
    const std::size_t sent = write_now(sending_);
    if (sent < sending_.size()) {
      writing_ = true;
      write_deadline_ = loop_.deadline(options_.write_timeout);
      write_rest(std::string_view(sending_).substr(sent));
      return;
    }
    sending_.clear();
    shed(sending_);
  }
  after_sending();
}

void Connection::written(error_code ec) {
  writing_ = false;
  write_deadline_ = kNever;
  sending_.clear();
  shed(sending_);
  if (ec) return close();
  flush();
}

void Connection::after_sending() {
  if (closed_ || writing_) return;
  if (phase_ != Phase::kServing) return;
  if (is_idle() && !last_) read_deadline_ = loop_.deadline(options_.idle_timeout);
  if (is_finished() || (is_blocked_ && has_room())) cancel_read();
}

void Connection::read_failed(error_code ec) {
  if (closed_ || last_) return;
  if (std::exchange(request_is_late_, false)) {
    refuse(408, "the request did not arrive in time");
    return flush();
  }
  if (ec == asio::error::operation_aborted) return;  // to look again what there is to do
  peer_is_done_ = true;
  const bool owes = next_out_ != next_ || !is_all_sent();
  if (!owes || next_ == 0 || ec != asio::error::eof) return close();
  // Half closed: it still waits for the answers.
  last_ = next_ - 1;
  read_deadline_ = kNever;
  let_go();  // of what will never be whole
}

void Connection::drain() {
  if (closed_ || last_ || phase_ == Phase::kLingering) return;
  if (phase_ == Phase::kHandshake || is_idle()) return close();
  if (!parser_) last_ = next_ - 1;
}

void Connection::time_out(Loop::Time now) {
  if (write_deadline_ != kNever && now >= write_deadline_) {
    loop_.counters.write_timeouts.add();
    return close();
  }
  read_deadline_ = kNever;
  if (phase_ == Phase::kHandshake) loop_.counters.tls_failures.add();
  if (phase_ != Phase::kServing) return close();
  if (!parser_) {
    loop_.counters.idle_timeouts.add();
    return close();
  }
  loop_.counters.request_timeouts.add();
  if (!is_all_sent()) return close();  // neither sends nor takes
  request_is_late_ = true;
  cancel_read();
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  read_deadline_ = kNever;
  write_deadline_ = kNever;
  loop_.remove(id_);
  place_.leave();
  close_stream();
}

}  // namespace tally::runtime::http
