// A producer for one topic: idempotent, acks=all, keyed by murmur2 as every Kafka client can be.
// What it calls delivered is on all in-sync replicas (promise P6); librdkafka is included by the
// source alone.
//
// Threads: produce(), flush() and the readers from any thread. The delivery callback runs on one
// thread of the producer's own, one call at a time; it must be quick, must not throw and must not
// call flush(). Lifetime: the destructor gives up what is still outstanding (flush() before), calls
// back for each of it with a failure, then stops the thread; the callback must outlive it. It takes
// as long as the callbacks do. Where librdkafka itself lets nothing end any more for stuck_limit,
// it says so in the log (kafka_messages_without_an_end) and goes without telling of those.
#pragma once

#include "core/result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tally::runtime::kafka {

// librdkafka's settings by their own names ("bootstrap.servers", "linger.ms", "sasl.password").
using ClientSettings = std::map<std::string, std::string>;

// What became of produce(). Only kQueued is followed by a delivery.
enum class Enqueued {
  kQueued,
  kQueueFull,  // the local queue is at its bound: wait_for_room() or drop, then try again
  kTooLarge,   // longer than message.max.bytes: trying again changes nothing
  kFatal,      // the producer has ended, see fatal_error()
};

// One message's end. `key` is valid during the callback only. One that failed may be in the log all
// the same: librdkafka's own word for "not persisted" is no proof (decisions/0014-serve.md).
struct Delivery {
  std::uint64_t tag = 0;  // as given to produce()
  std::string_view key;
  std::size_t value_bytes = 0;
  bool delivered = false;
  std::int32_t partition = -1;  // of a delivered one
  std::int64_t offset = -1;     // of a delivered one; -1 when the broker did not say
  std::string_view reason;      // of a failed one: librdkafka's short name ("MSG_TIMED_OUT")
  std::string_view detail;      // of a failed one: a sentence
};

// Whether each message is called back, or only those that failed (faster by a third; what was
// delivered then shows in flush() alone).
enum class Reports { kEveryMessage, kFailuresOnly };

struct ProducerOptions {
  std::string topic = {};
  std::string content_type = {};  // header of every message; empty: no header
  ClientSettings settings = {};   // over the defaults in producer.cc
  Reports reports = Reports::kEveryMessage;
  std::function<void(const Delivery&)> on_delivery = {};  // may be empty
  std::chrono::milliseconds stuck_limit{30'000};          // of the destructor
};

// The most bytes that a message's key and value may have together: message.max.bytes (librdkafka's
// own unless set) less what a record needs besides. An error as Producer::open's.
[[nodiscard]] core::Result<std::size_t> max_message_bytes(const ClientSettings& settings,
                                                          std::string_view content_type);

class Producer {
 public:
  struct Impl;
  // Never waits for the broker. Errors (kInvalid): an unknown setting or value, and settings that
  // break the promise: acks other than all, enable.idempotence=false, another partitioner than
  // murmur2, transactional.id.
  [[nodiscard]] static core::Result<std::unique_ptr<Producer>> open(ProducerOptions options);
  explicit Producer(std::unique_ptr<Impl> impl);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Copies key and value. Never blocks on the network.
  [[nodiscard]] Enqueued produce(std::string_view key, std::string_view value,
                                 std::uint64_t tag = 0);
  // Waits until a message ended or the time is over; here and in flush() milliseconds::max() is for
  // ever. A hint: another thread may take the room.
  void wait_for_room(std::chrono::milliseconds time);
  // Waits until nothing is outstanding or the time is over; returns what is still outstanding.
  // Those stay queued and may be delivered yet.
  [[nodiscard]] std::size_t flush(std::chrono::milliseconds time);
  // Queued, in flight, or acked and not called back yet.
  [[nodiscard]] std::size_t outstanding() const;

  // Set once and for good: ordering or exactly-once can no longer be held. Nothing queued after it
  // is delivered; open a new producer.
  [[nodiscard]] std::optional<std::string> fatal_error() const;
  // The latest thing librdkafka complained of ("all brokers are down"), for people; it may be over.
  [[nodiscard]] std::optional<std::string> last_problem() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::kafka
