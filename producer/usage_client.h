// Records usage from inside a service: the one header that services include. It needs nothing but
// the standard library.
//
//   auto opened = tally::producer::UsageClient::open({.brokers = "kafka:9092",
//                                                     .source = "/gateway"});
//   if (!opened.client) return fail(opened.problem);
//   opened.client->record("llm.completion", tenant, {{"tokens", 812}, {"model", "x"}},
//                         {.id = request_id});
//
// Give the request's own id: whatever is sent again under it (a retry of the request, of the
// service or of the client) is then counted once.
//
// Threads: every method from any thread, but for the destructor. Callbacks and coroutines run on
// threads of the client (or on the one that runs its destructor), one at a time: they must be
// quick, must not throw, and must not call flush(), drain(), wait_for_room() or the destructor.
// Those threads block all signals: the service's handlers never run there. Lifetime: the destructor
// drains for drain_deadline, then gives up the rest, calling back for each; what the callbacks use
// must outlive it. A callback may record, also while the destructor drains; from then on record()
// answers kClosed. The destructor takes as long as the callbacks do; it ends no process: what
// Kafka's client tells nothing of for 30 s is told in the log (usage_events_without_an_end) and to
// nobody else.
//
// A deadline may be milliseconds::max(), which is for ever; one of none or less has passed.
//
// fork(): in the child each record() answers kClosed, flush() and the destructor do nothing, and
// nothing of the parent's is sent twice; counts() are the parent's at the fork, without reasons.
// Open a client after the fork.
#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tally::producer {

// What "kept" means, for all events of a client.
enum class Level {
  kMemory,   // it is in the queue: record() says so. A kill loses it; a loss is called back
  kSpooled,  // it is fsynced in the local spool
  kAcked,    // all in-sync replicas of the broker have it
};

enum class Recorded {
  kAccepted,   // in the queue: it ends kept or lost, and counts() says which
  kInvalid,    // breaks a rule of schemas/events, or is larger than Kafka's client takes
               // (message.max.bytes): `reason` names the field, the limit, what to do
  kQueueFull,  // dropped and counted: whoever takes events is slower than this service, or away
  kClosed,     // the client ended or is ending, or this process is a fork: `reason` says what to do
};

// An exact decimal number as text: Decimal{"12.50"}. At most 10^18 with 12 decimals.
struct Decimal {
  std::string_view text;
};

// The value of a member of `data`: an integer (at most 10^18, as a decimal), an exact decimal, a
// text or a bool. There is no binary floating point: 0.1 is none of its numbers.
class FieldValue {
 public:
  enum class Kind : std::uint8_t { kSigned, kUnsigned, kDecimal, kText, kBool };

  constexpr FieldValue(std::same_as<bool> auto value) : kind_(Kind::kBool), number_(value) {}
  template <std::signed_integral T>
    requires(!std::same_as<T, char>)
  constexpr FieldValue(T value)
      : kind_(Kind::kSigned), number_(static_cast<std::uint64_t>(std::int64_t{value})) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool> && !std::same_as<T, char>)
  constexpr FieldValue(T value) : kind_(Kind::kUnsigned), number_(value) {}
  constexpr FieldValue(Decimal value) : kind_(Kind::kDecimal), text_(value.text) {}
  constexpr FieldValue(const char* value) : kind_(Kind::kText), text_(value) {}
  constexpr FieldValue(std::string_view value) : kind_(Kind::kText), text_(value) {}
  FieldValue(const std::string& value) : kind_(Kind::kText), text_(value) {}
  FieldValue(std::floating_point auto value) = delete;  // write Decimal{"0.1"}

  [[nodiscard]] constexpr Kind kind() const { return kind_; }
  [[nodiscard]] constexpr std::string_view text() const { return text_; }
  // Of an integer or a bool; of a signed one in two's complement.
  [[nodiscard]] constexpr std::uint64_t number() const { return number_; }

 private:
  Kind kind_;
  std::uint64_t number_ = 0;
  std::string_view text_;
};

// A member of `data`. Views: they must live until record() has returned.
struct Field {
  std::string_view name;
  FieldValue value;
};

// What the common form leaves out.
struct Details {
  std::string_view id = {};                                                  // empty: a new UUIDv7
  std::string_view source = {};                                              // empty: the client's
  std::optional<std::chrono::system_clock::time_point> time = std::nullopt;  // absent: now
  // Comes back in the outcome; below 2^63. Not with a future or an awaitable (kInvalid).
  std::uint64_t tag = 0;
};

// The event in full (schemas/events/README.md). Views, as in Field.
struct UsageEvent {
  std::string_view id = {};      // empty: a new UUIDv7
  std::string_view source = {};  // empty: the client's; the emitting service, never the host
  std::string_view type = {};    // what happened: "api.request"
  std::string_view tenant = {};  // CloudEvents' subject
  std::optional<std::chrono::system_clock::time_point> time = std::nullopt;  // absent: now
  std::string_view data = {};                                                // a JSON object's text
  std::uint64_t tag = 0;                                                     // as in Details
};

class Receipt {
 public:
  Recorded recorded = Recorded::kInvalid;
  // A sentence, empty when accepted. Valid until this thread records again.
  std::string_view reason;
  // The id that was made because the caller gave none, else empty.
  [[nodiscard]] std::string_view new_id() const { return {id_.data(), id_bytes_}; }
  explicit operator bool() const { return recorded == Recorded::kAccepted; }

 private:
  friend class UsageClient;
  std::array<char, 36> id_;
  std::size_t id_bytes_ = 0;
};

// The end of one accepted event. The views are valid during the callback only.
struct Outcome {
  std::string_view id;
  std::uint64_t tag = 0;    // as given; 0 of those with a future or an awaitable
  bool kept = false;        // at the client's level
  std::string_view reason;  // of a lost one, a short name: "_MSG_TIMED_OUT", "gave_up", "disk_full"
  // Of a lost one: whether a copy may be kept all the same, now or after a crash: true once Kafka's
  // client or the spool had it, for neither can take that back. False: it left this client's queue
  // for nowhere. Recorded again under the same id it counts once, either way.
  bool may_be_kept = false;
};

// The same with texts of its own, also for an event that was not accepted.
struct Ended {
  Recorded recorded = Recorded::kInvalid;
  bool kept = false;
  std::string id;
  std::string reason;        // of an accepted one cut after 128 bytes
  bool may_be_kept = false;  // of an accepted one that is lost, as Outcome's
};

// accepted = delivered + spooled + failed + outstanding(); beside it what was never accepted. No
// number but outstanding() ever goes down.
struct UsageCounts {
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;  // acked by the broker
  std::uint64_t spooled = 0;    // level kSpooled: fsynced locally; the spool delivers it
  std::uint64_t failed = 0;     // accepted and lost
  std::map<std::string, std::uint64_t> failed_by_reason;
  std::uint64_t dropped_full = 0;
  std::uint64_t invalid = 0;
  std::uint64_t closed = 0;
  [[nodiscard]] std::uint64_t outstanding() const {
    return accepted - delivered - spooled - failed;
  }
};

// Level kSpooled: what became of what lies in the folder. At any moment
//   found + spooled = delivered + refused + lost + torn + waiting.
// Of what was kept in the second before a kill and is gone from the disk afterwards nobody knows.
struct SpoolAccount {
  std::uint64_t found = 0;      // waited there when it was opened, from earlier processes
  std::uint64_t spooled = 0;    // fsynced since
  std::uint64_t delivered = 0;  // acked by the broker
  std::uint64_t refused = 0;    // by the broker for good: refused.ndjson of the folder has them
  std::uint64_t lost = 0;       // kept once, and damaged or gone when they were to be sent
  std::uint64_t torn = 0;       // of the last write before a crash: perhaps never kept
  std::uint64_t waiting = 0;    // for the broker
  std::uint64_t disk_bytes = 0;
  std::chrono::seconds oldest_waiting{0};
  std::string problem;  // what stands in the way of keeping or delivering now; empty: nothing
};

struct UsageClientOptions {
  std::string brokers = {};  // host:port[,host:port]
  std::string topic = "usage.events";
  std::string source = {};  // of events that name none
  Level level = Level::kAcked;
  // Of level kSpooled: a folder on a local disk, this client's alone. What lies there is delivered
  // while a client has it open, be it by the next process. On a full disk events are lost, and told
  // as such ("disk_full").
  // spool_bytes bounds the segments (64 MiB each, at least two): all of a segment counts until its
  // last event is acked, and so does what is in memory on its way there. At the bound events wait
  // in the queue, then record() answers kQueueFull. Beside it the folder holds some KiB (the
  // position, the lock) and up to 64 MiB of events that the broker refused for good
  // (refused.ndjson).
  std::string spool_directory = {};
  std::uint64_t spool_bytes = 4UL * 1024 * 1024 * 1024;
  // What record() writes into, allocated and touched at open; rounded up to a power of two,
  // 256 KiB to 1 GiB. Beyond it Kafka's client keeps what kafka says
  // (queue.buffering.max.messages, queue.buffering.max.kbytes).
  std::size_t queue_bytes = 8UL * 1024 * 1024;
  std::size_t max_outstanding_events = 500'000;  // accepted and not yet ended, 1 to 100,000,000
  std::chrono::milliseconds delivery_timeout{120'000};  // 1 ms or more; at most 2^31 - 1 ms count
  std::chrono::milliseconds drain_deadline{5'000};
  // librdkafka's settings by its own names: security.protocol, sasl.password, linger.ms, … Checked
  // at open; what tally's promises stand on is refused (docs/operating/kafka.md).
  std::map<std::string, std::string> kafka = {};
  // Each accepted event's end; not at level kMemory, where only losses are called back.
  std::function<void(const Outcome&)> on_outcome = {};
  // Each accepted event that was lost, after on_outcome.
  std::function<void(const Outcome&)> on_loss = {};
};

class UsageClient;
struct PendingState;

// One event on its way:
//
//   Pending pending = client.record_awaitable("api.request", tenant, {{"calls", 1}});
//   const Ended ended = co_await std::move(pending);
//
// (On two lines, because GCC 12 knows no braces within co_await.) The coroutine goes on at once
// when the event has ended by then, else on a thread of the client: hand it over to an executor of
// your own if more is to be done. At most one coroutine may await it. It may be dropped unawaited,
// before its end or after, and may outlive the client; a suspended coroutine may not be destroyed.
class Pending {
 public:
  explicit Pending(PendingState* state) noexcept : state_(state) {}
  Pending(Pending&& other) noexcept : state_(other.state_) { other.state_ = nullptr; }
  Pending& operator=(Pending&&) = delete;
  ~Pending();
  [[nodiscard]] bool await_ready() const noexcept;
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> waiting) noexcept;
  [[nodiscard]] Ended await_resume();

 private:
  PendingState* state_;
};

// An open client, or why there is none: the setting that is wrong and what to do.
struct Opened {
  std::unique_ptr<UsageClient> client;
  std::string problem;
};

class UsageClient {
 public:
  struct Impl;
  // Does not wait for the broker.
  [[nodiscard]] static Opened open(UsageClientOptions options);
  explicit UsageClient(std::unique_ptr<Impl> impl);
  ~UsageClient();
  UsageClient(const UsageClient&) = delete;
  UsageClient& operator=(const UsageClient&) = delete;

  // Checks the event, stamps it and copies it into the queue: no lock, no wait, no heap once the
  // thread has recorded before, no exception. An absent time becomes now: when it happened, not
  // when the broker was back.
  Receipt record(std::string_view type, std::string_view tenant, std::span<const Field> data,
                 const Details& details = {}) noexcept;
  Receipt record(std::string_view type, std::string_view tenant, std::initializer_list<Field> data,
                 const Details& details = {}) noexcept {
    return record(type, tenant, std::span<const Field>(data.begin(), data.size()), details);
  }
  Receipt record(const UsageEvent& event) noexcept;

  // The same, with this one event's end. Not at level kMemory and not with a tag (kInvalid). They
  // allocate, so they may throw std::bad_alloc; nothing was recorded then.
  [[nodiscard]] std::future<Ended> record_future(const UsageEvent& event);
  [[nodiscard]] std::future<Ended> record_future(std::string_view type, std::string_view tenant,
                                                 std::initializer_list<Field> data,
                                                 const Details& details = {});
  [[nodiscard]] Pending record_awaitable(const UsageEvent& event);
  [[nodiscard]] Pending record_awaitable(std::string_view type, std::string_view tenant,
                                         std::initializer_list<Field> data,
                                         const Details& details = {});

  // Waits until nothing is outstanding, or the deadline; returns how many events have not ended.
  [[nodiscard]] std::size_t flush(std::chrono::milliseconds deadline);
  // Level kSpooled: the same, and until nothing in the folder waits for the broker; returns how
  // many events have not ended or wait. 0 is not that the broker has every event: before the folder
  // is given up look at refused and lost of spool_account(), and move refused.ndjson away from it.
  // Not in a callback.
  // A service may end without draining: the next client of the folder delivers what waits. At the
  // other levels, and in a fork: flush().
  [[nodiscard]] std::size_t drain(std::chrono::milliseconds deadline);
  // For those who would rather wait than drop: returns when there is room in the queue, or at the
  // deadline. A hint: another thread may take it.
  void wait_for_room(std::chrono::milliseconds deadline);
  [[nodiscard]] UsageCounts counts() const;
  // Absent at the other levels, and in a fork. The last callbacks of the destructor are told what
  // it was when the destructor gave up the rest.
  [[nodiscard]] std::optional<SpoolAccount> spool_account() const;
  // tallystream of every event of this client: 32 hex digits.
  [[nodiscard]] std::string_view stream_id() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::producer
