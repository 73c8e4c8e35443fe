// What one connection does, whatever carries its bytes: parse, hand over, put answers into order,
// keep the time. For the sources of this folder only.
#pragma once

#include "runtime/http/loop_internal.h"
#include "runtime/http/parser_internal.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::runtime::http {

// Lives in one I/O thread. Its reader (a coroutine of the derived class) and the write under way
// hold it alive; close() ends both.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(Place place);
  virtual ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  virtual void start() = 0;  // once
  // Instead of reading: one answer with this status.
  void refuse(int status, std::string_view sentence);

  // nullopt: the Responder was dropped. Nothing is sent before flush(). Without memory for it the
  // connection is closed: nobody waits for what cannot come.
  void answer(std::uint64_t request, std::optional<Response> response);
  void flush();
  void drain();
  [[nodiscard]] bool is_late(Loop::Time now) const {
    return (write_deadline_ != kNever && now >= write_deadline_) ||
           (read_deadline_ != kNever && now >= read_deadline_);
  }
  void time_out(Loop::Time now);
  void close();

 protected:
  enum class Phase { kHandshake, kServing, kLingering };

  // The stream's part.
  virtual std::size_t write_now(std::string_view bytes) = 0;  // without waiting; 0 is a fine answer
  virtual void write_rest(std::string_view bytes) = 0;        // then written(), once
  virtual void cancel_read() = 0;  // ends the reader's waiting; no write is under way
  virtual void close_stream() = 0;
  // From now on close() tells the other side nothing but a reset.
  virtual void reset_on_close() = 0;

  void written(error_code ec);
  // The reader's part.
  void begin_phase(Phase phase, std::chrono::milliseconds timeout);
  [[nodiscard]] bool wants_bytes() const { return !closed_ && !last_; }
  [[nodiscard]] bool is_blocked() const { return is_blocked_; }  // until cancel_read()
  [[nodiscard]] std::span<char> free_space();                    // never empty
  void received(std::size_t bytes);                              // of free_space()
  void process();  // what was received, as far as there is room
  void read_failed(error_code ec);
  [[nodiscard]] bool is_closed() const { return closed_; }
  [[nodiscard]] bool peer_is_done() const { return peer_is_done_; }
  [[nodiscard]] bool is_finished() const;  // the last answer was sent
  [[nodiscard]] Loop& loop() { return loop_; }

 private:
  static constexpr Loop::Time kNever{0};

  [[nodiscard]] bool is_idle() const { return !parser_ && next_out_ == next_ && is_all_sent(); }
  [[nodiscard]] bool has_room() const;
  [[nodiscard]] bool is_all_sent() const { return !writing_ && out_.empty(); }
  bool step();  // false: needs more bytes
  void hand_over();
  void refuse(Response response);
  void note_method(std::uint64_t request);
  void let_go();  // of the request that was begun or handled, and its memory
  void put_in_order(std::uint64_t request, Response response);
  void append(std::uint64_t request, Response& response);
  void let_body_come();
  void after_sending();

  Place place_;  // until close()
  Loop& loop_;
  const ServerOptions& options_;
  const std::uint64_t id_;
  Phase phase_ = Phase::kServing;

  // Received and not yet parsed: buffer_[begin_, end_).
  std::unique_ptr<char[]> buffer_;
  std::size_t buffer_bytes_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  BodyCharge charge_;                    // of request_, and given back after it
  Request request_;                      // being filled, or lent to the handler
  std::optional<RequestParser> parser_;  // of a request that was begun

  // Requests are numbered; those in [next_out_, next_) are not answered yet, or not in order.
  std::uint64_t next_ = 0;
  std::uint64_t next_out_ = 0;
  std::optional<std::uint64_t> last_;  // after its answer the connection ends
  std::uint64_t head_only_ = 0;        // bit (number % 64): a HEAD request
  std::vector<std::pair<std::uint64_t, Response>> early_;
  std::string out_;      // to be sent
  std::string sending_;  // the write under way

  // Reading and writing go on side by side, so these are no states of one kind:
  //
  //   true              from                                 until
  //   writing_          write_rest() has `sending_`          written()
  //   processing_       process() takes requests             it returns; flush() does nothing then
  //   is_blocked_       process() stops for want of room     process() stops for another reason
  //   continue_due_     a head that expects it               all before is answered; the body came
  //   request_is_late_  time_out() of parser_'s request      the reader is told: 408
  //   peer_is_done_     the reader's end, or a failure       the end
  //   closed_           close()                              the end
  //
  // With last_ nothing is parsed any more: what is due is sent, then it ends. With closed_ nothing
  // at all is done, whatever the others say. read_deadline_ is the handshake's, the idle one's, the
  // begun request's or the lingering one's; write_deadline_ goes with writing_.
  Loop::Time read_deadline_ = kNever;
  Loop::Time write_deadline_ = kNever;
  bool writing_ = false;
  bool processing_ = false;
  bool is_blocked_ = false;
  bool continue_due_ = false;
  bool request_is_late_ = false;
  bool peer_is_done_ = false;
  bool closed_ = false;
};

// Appends the bytes of an answer.
enum class AnswerBody { kSent, kLeftOut };  // left out of an answer to HEAD
enum class AfterAnswer { kStays, kCloses };
void append_answer(std::string& out, const Response& response, AnswerBody body, AfterAnswer after);

}  // namespace tally::runtime::http
