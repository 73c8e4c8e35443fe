#include "core/check.h"
#include "producer/load/sender.h"

#include <utility>

namespace tally::producer::load {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;

constexpr std::size_t kTakenAtOnce = 1'000;
constexpr milliseconds kLook{100};
// Kafka's client ends each message by itself once the ack's timeout is over; that it looks takes a
// second or two.
constexpr milliseconds kGrace{5'000};
// A message's tag: the event's number and, above it, how often it was sent and tried.
constexpr unsigned kNumberBits = 48;
constexpr unsigned kTriesBits = 8;

class KafkaSender final : public Sender {
 public:
  KafkaSender(const KafkaTarget& target, const EventStream& stream, Dispatch& dispatch)
      : target_(target), stream_(stream), dispatch_(dispatch) {}

  core::Result<void> open() {
    auto settings = target_.settings;
    settings["message.timeout.ms"] = std::to_string(target_.ack_timeout.count());
    auto producer = runtime::kafka::Producer::open({
        .topic = target_.topic,
        .content_type = "application/cloudevents+json",
        .settings = std::move(settings),
        .reports = runtime::kafka::Reports::kEveryMessage,
        .on_delivery = [this](const Delivery& delivery) { on_delivery(delivery); },
    });
    if (!producer) return producer.error();
    producer_ = std::move(producer.value());
    return boost::outcome_v2::success();
  }

  void run() override {
    do {
      while (auto batch = dispatch_.take(kTakenAtOnce)) produce(*batch);
    } while (!drained());
  }

 private:
  // False: something is to be sent again.
  bool drained() {
    const TimePoint until = Clock::now() + target_.ack_timeout + kGrace;
    while (producer_->flush(kLook) > 0) {
      if (dispatch_.has_more()) return false;
      if (Clock::now() < until) continue;
      dispatch_.close("Kafka's client told nothing of some events: they are unanswered");
      break;
    }
    return !dispatch_.has_more();
  }

  void produce(const Batch& taken) {
    Batch one = taken;
    for (const std::uint64_t number : taken.numbers) {
      one.numbers.assign(1, number);
      produce_one(one);
    }
  }

  void produce_one(const Batch& batch) {
    const std::uint64_t number = batch.numbers.front();
    stream_.write_id(number, id_);
    text_.clear();
    stream_.append_event(number, text_);
    Batch sent = batch;
    ++sent.sendings;
    for (;;) {
      switch (producer_->produce(id_, text_, tag_of(sent))) {
        case Enqueued::kQueued:
          dispatch_.sent(sent);
          return;
        case Enqueued::kTooLarge:
          dispatch_.failed(batch, End::kNotSent, "too large", Again::kNever, {});
          return;
        case Enqueued::kFatal:
          dispatch_.failed(batch, End::kNotSent, "producer ended", Again::kNever, {});
          dispatch_.close(producer_->fatal_error().value_or("Kafka's client has ended"));
          return;
        case Enqueued::kQueueFull:
          producer_->wait_for_room(kLook);
          if (!dispatch_.closed()) break;
          dispatch_.failed(batch, End::kNotSent, "queue full", Again::kNever, {});
          return;
      }
    }
  }

  static std::uint64_t tag_of(const Batch& batch) {
    const std::uint64_t number = batch.numbers.front();
    TALLY_CHECK(number >> kNumberBits == 0 && batch.tries >> kTriesBits == 0);
    const std::uint64_t counts = (std::uint64_t{batch.sendings} << kTriesBits) | batch.tries;
    return (counts << kNumberBits) | number;
  }

  static Batch batch_of(std::uint64_t tag) {
    constexpr std::uint64_t kTriesMask = (1U << kTriesBits) - 1;
    const std::uint64_t counts = tag >> kNumberBits;
    Batch batch;
    batch.numbers.assign(1, tag & ((std::uint64_t{1} << kNumberBits) - 1));
    batch.tries = static_cast<std::uint32_t>(counts & kTriesMask);
    batch.sendings = static_cast<std::uint32_t>(counts >> kTriesBits);
    return batch;
  }

  // On the producer's thread.
  void on_delivery(const Delivery& delivery) {
    const TimePoint now = Clock::now();
    Batch batch = batch_of(delivery.tag);
    if (delivery.delivered) {
      dispatch_.acked(batch.numbers, now);
      return;
    }
    dispatch_.complain("Kafka: " + std::string(delivery.detail));
    dispatch_.failed(std::move(batch), End::kLost, std::string(delivery.reason), Again::kMay,
                     now + kPauseBeforeAgain);
  }

  const KafkaTarget& target_;
  const EventStream& stream_;
  Dispatch& dispatch_;
  std::string id_;
  std::string text_;
  // Last: it calls back into what stands above until it is gone.
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

}  // namespace

core::Result<std::unique_ptr<Sender>> kafka_sender(const KafkaTarget& target,
                                                   const EventStream& stream, Dispatch& dispatch) {
  auto sender = std::make_unique<KafkaSender>(target, stream, dispatch);
  if (const auto opened = sender->open(); !opened) return opened.error();
  return std::unique_ptr<Sender>(std::move(sender));
}

}  // namespace tally::producer::load
