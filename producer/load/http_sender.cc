#include "producer/load/answer.h"
#include "producer/load/sender.h"
#include "runtime/http/client.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tally::producer::load {
namespace {

using std::chrono::milliseconds;

// Where nobody listens, connecting again at once for each event would be the only load.
constexpr milliseconds kPauseWithoutConnection{10};

// One connection: one request at a time.
class HttpSender final : public Sender {
 public:
  HttpSender(const HttpTarget& target, const EventStream& stream, Dispatch& dispatch)
      : target_(target), stream_(stream), dispatch_(dispatch), client_(target.url) {
    request_.method = "POST";
    request_.target = "/v1/events";
    request_.headers.set("Content-Type", "application/cloudevents-batch+json");
    if (!target.key.empty()) request_.headers.set("Authorization", "Bearer " + target.key);
  }

  void run() override {
    while (auto batch = dispatch_.take(target_.batch)) send(std::move(*batch));
  }

 private:
  void send(Batch batch) {
    std::string& body = request_.body;
    body = "[";
    for (const std::uint64_t number : batch.numbers) {
      if (body.size() > 1) body += ",\n";
      stream_.append_event(number, body);
    }
    body += ']';
    const auto outcome = client_.send(request_, target_.ack_timeout);
    const TimePoint now = Clock::now();
    const Answer answer = read_answer(outcome, batch.numbers.size());
    if (!answer.complaint.empty()) dispatch_.complain(answer.complaint);
    if (answer.end == End::kNotSent) {
      dispatch_.pause(now + kPauseWithoutConnection);
    } else {
      ++batch.sendings;
      dispatch_.sent(batch);
    }
    TimePoint again = now + kPauseBeforeAgain;
    if (answer.wait) {
      again = now + *answer.wait;
      dispatch_.told_to_wait(again);
    }
    tell(std::move(batch), answer, now, again);
  }

  void tell(Batch batch, const Answer& answer, TimePoint now, TimePoint again) {
    take_out(batch, answer.not_kept, End::kLost, again);
    take_out(batch, answer.unknown, End::kUnanswered, again);
    std::erase(batch.numbers, kTakenOut);
    if (answer.end == End::kAcked) {
      dispatch_.acked(batch.numbers, now);
    } else {
      dispatch_.failed(std::move(batch), answer.end, answer.reason, answer.again, again);
    }
  }

  // Of 503 not_all_kept: these places came to `end`.
  void take_out(Batch& batch, const std::vector<std::size_t>& places, End end, TimePoint again) {
    Batch part = batch;
    part.numbers.clear();
    for (const std::size_t place : places) {
      if (batch.numbers[place] != kTakenOut) part.numbers.push_back(batch.numbers[place]);
      batch.numbers[place] = kTakenOut;
    }
    dispatch_.failed(std::move(part), end, std::string(kNotAllKeptReason), Again::kMay, again);
  }

  static constexpr std::uint64_t kTakenOut = ~std::uint64_t{0};

  const HttpTarget& target_;
  const EventStream& stream_;
  Dispatch& dispatch_;
  runtime::http::Client client_;
  runtime::http::Request request_;
};

}  // namespace

core::Result<std::unique_ptr<Sender>> http_sender(const HttpTarget& target,
                                                  const EventStream& stream, Dispatch& dispatch) {
  try {
    return std::make_unique<HttpSender>(target, stream, dispatch);
  } catch (const std::invalid_argument& wrong) {
    return core::invalid(wrong.what());
  }
}

}  // namespace tally::producer::load
