// Records usage from inside a service: the header that services include.
//
//   auto client = tally::producer::UsageClient::open({.brokers = "kafka:9092"});
//   if (!client) return fail(client.error().message);
//   client.value()->record({.id = request_id, .source = "/gateway", .type = "llm.completion",
//                           .subject = tenant, .time = {}, .data = R"({"tokens":1234})"});
//
// Give the request's own id: whatever is sent again under it (a retry of the request, of the
// service or of the client) is then counted once. Delivered means that all in-sync replicas have
// the event (promise P6). The queue is memory: what is accepted and not yet delivered is lost when
// the process is killed.
//
// Threads: record(), flush() and counts() from any thread. Lifetime: the destructor drains for
// drain_deadline, then gives up the rest, calling back for each; the callback must outlive it.
#pragma once

#include "core/result.h"
#include "core/usage_event.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace tally::producer {

enum class Recorded {
  kAccepted,   // an outcome will follow, delivered or failed
  kInvalid,    // the event breaks a rule of schemas/events: Receipt::reason names it
  kQueueFull,  // dropped and counted: the broker is slower than this service, or away
  kClosed,     // the client ended with a fatal error, see Receipt::reason; open a new one
};

struct Receipt {
  Recorded recorded = Recorded::kInvalid;
  std::string id;      // the event's id, the new one when the caller gave none
  std::string reason;  // empty when accepted
};

// The end of one accepted event. The views are valid during the callback only.
struct Outcome {
  std::string_view id;
  std::uint64_t tag = 0;  // as given to record()
  bool delivered = false;
  std::int32_t partition = -1;  // where, when delivered
  std::int64_t offset = -1;
  std::string_view reason;  // a short name when failed ("_MSG_TIMED_OUT")
};

struct UsageCounts {
  std::uint64_t accepted = 0;  // = delivered + failed + outstanding
  std::uint64_t delivered = 0;
  std::uint64_t failed = 0;
  std::uint64_t dropped_full = 0;
  std::uint64_t refused = 0;  // invalid, or after a fatal error
  std::map<std::string, std::uint64_t> failed_by_reason;
  [[nodiscard]] std::uint64_t outstanding() const { return accepted - delivered - failed; }
};

struct UsageClientOptions {
  std::string brokers = {};  // host:port[,host:port]
  std::string topic = "usage.events";
  std::size_t max_queued_events = 100'000;            // accepted and not yet ended
  std::size_t max_queued_bytes = 64UL * 1024 * 1024;  // of their keys and values
  std::chrono::milliseconds delivery_timeout{120'000};
  std::chrono::milliseconds drain_deadline{5'000};
  std::map<std::string, std::string> kafka = {};  // more librdkafka settings: security.protocol, …
  // Runs on a thread of the client; must be quick, must not throw. May be empty: then only counted.
  std::function<void(const Outcome&)> on_outcome = {};
};

class UsageClient {
 public:
  struct Impl;
  // Does not wait for the broker. An error names the setting that is wrong.
  [[nodiscard]] static core::Result<std::unique_ptr<UsageClient>> open(UsageClientOptions options);
  explicit UsageClient(std::unique_ptr<Impl> impl);
  ~UsageClient();
  UsageClient(const UsageClient&) = delete;
  UsageClient& operator=(const UsageClient&) = delete;

  // Never blocks on the network and never throws. An empty id becomes a new UUIDv7, an absent time
  // becomes now: when it happened, not when the broker was back.
  Receipt record(core::UsageEvent event, std::uint64_t tag = 0) noexcept;

  // Waits until every accepted event has ended, or the deadline; returns how many have not.
  [[nodiscard]] std::size_t flush(std::chrono::milliseconds deadline);
  [[nodiscard]] UsageCounts counts() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::producer
