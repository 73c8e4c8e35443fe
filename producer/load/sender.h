// One of those that take events from the dispatch and send them.
#pragma once

#include "core/result.h"
#include "producer/load/dispatch.h"
#include "producer/load/event_stream.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace tally::producer::load {

class Sender {
 public:
  virtual ~Sender() = default;
  // Until nothing is left and all that it sent has an end, or is given up. On a thread of its own.
  virtual void run() = 0;
};

struct HttpTarget {
  std::string url;          // http://HOST:PORT, https://… or unix:PATH
  std::string key;          // API key; "": none
  std::size_t batch = 100;  // events of one request at most
  std::chrono::milliseconds ack_timeout{30'000};
};

struct KafkaTarget {
  std::string topic;
  runtime::kafka::ClientSettings settings;
  std::chrono::milliseconds ack_timeout{30'000};
};

// Stream and dispatch outlive it. Errors name the setting that is wrong.
[[nodiscard]] core::Result<std::unique_ptr<Sender>> http_sender(const HttpTarget& target,
                                                                const EventStream& stream,
                                                                Dispatch& dispatch);
[[nodiscard]] core::Result<std::unique_ptr<Sender>> kafka_sender(const KafkaTarget& target,
                                                                 const EventStream& stream,
                                                                 Dispatch& dispatch);

// What was refused without being told when to come again is sent again after this.
inline constexpr std::chrono::seconds kPauseBeforeAgain{1};

}  // namespace tally::producer::load
