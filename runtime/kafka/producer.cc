#include "runtime/kafka/producer.h"

#include "core/check.h"
#include "runtime/kafka/handles.h"
#include "runtime/kafka/settings.h"
#include "runtime/log/log.h"
#include "runtime/retry/deadline.h"
#include "runtime/retry/patience.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace tally::runtime::kafka {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 50;
constexpr milliseconds kLook{10};  // of those who wait for ends
constexpr std::string_view kContentTypeHeader = "content-type";
// What librdkafka reckons for a record beside key, value and headers, and for each header's
// lengths.
constexpr std::size_t kRecordBytes = 36;
constexpr std::size_t kHeaderLengthBytes = 2;

// Large batches cost the broker least; 10 ms of waiting is nothing to a meter.
const ClientSettings kDefaults = {
    {"acks", "all"},
    {"enable.idempotence", "true"},
    {"partitioner", "murmur2_random"},
    {"compression.type", "lz4"},
    {"linger.ms", "10"},
    {"batch.size", "1000000"},
    {"batch.num.messages", "10000"},
    {"queue.buffering.max.messages", "500000"},
    {"queue.buffering.max.kbytes", "262144"},
    {"client.id", "tally"},
};

core::Result<ClientSettings> checked(const ClientSettings& given) {
  ClientSettings settings = merged(kDefaults, given);
  if (auto wrong = reserved_objection(Role::kProducer, Source::kTally, settings)) {
    return core::invalid(std::move(wrong->sentence));
  }
  if (!settings.contains("bootstrap.servers") || settings.at("bootstrap.servers").empty()) {
    return core::invalid("no Kafka brokers given; set bootstrap.servers to host:port[,host:port]");
  }
  return settings;
}

}  // namespace

struct Producer::Impl {
  ProducerOptions options;
  Handle client;
  TopicHandle topic;
  std::thread poller;
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> waiting{0};
  mutable std::mutex mutex;
  std::condition_variable ended;       // some message ended
  std::optional<std::string> fatal;    // guarded by mutex
  std::optional<std::string> problem;  // guarded by mutex
  std::atomic<bool> has_fatal{false};

  static void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque);
  static void on_error(rd_kafka_t* client, int code, const char* reason, void* opaque);
  void poll_until_stopped();
  void note(rd_kafka_t* handle, int code, const char* reason);
  // Waits until something ended, a look is due, or `until` has come.
  void wait_for_an_end(Clock::time_point until);
  rd_kafka_resp_err_t enqueue(std::string_view key, std::string_view value, void* tag);
};

void Producer::Impl::on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* self = static_cast<Impl*>(opaque);
  if (!self->options.on_delivery) return;
  Delivery delivery;
  delivery.tag = reinterpret_cast<std::uintptr_t>(message->_private);
  if (message->key != nullptr) {
    delivery.key = {static_cast<const char*>(message->key), message->key_len};
  }
  delivery.value_bytes = message->len;
  delivery.delivered = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
  if (delivery.delivered) {
    delivery.partition = message->partition;
    delivery.offset = message->offset;
  } else {
    delivery.reason = rd_kafka_err2name(message->err);
    delivery.detail = rd_kafka_err2str(message->err);
  }
  self->options.on_delivery(delivery);
}

void Producer::Impl::on_error(rd_kafka_t* client, int code, const char* reason, void* opaque) {
  auto* self = static_cast<Impl*>(opaque);
  if (code == RD_KAFKA_RESP_ERR__FATAL) self->has_fatal = true;
  // No exception may pass through librdkafka: without memory there is no sentence.
  try {
    self->note(client, code, reason);
  } catch (const std::bad_alloc&) {
    return;
  }
}

void Producer::Impl::note(rd_kafka_t* handle, int code, const char* reason) {
  const std::scoped_lock lock(mutex);
  problem = reason;
  if (code != RD_KAFKA_RESP_ERR__FATAL) return;
  std::array<char, 512> why{};
  const auto cause = rd_kafka_fatal_error(handle, why.data(), why.size());
  fatal = fmt::format("{}: {}; open a new producer and send again what was not delivered",
                      rd_kafka_err2name(cause), why.data());
}

void Producer::Impl::wait_for_an_end(Clock::time_point until) {
  ++waiting;
  {
    std::unique_lock lock(mutex);
    ended.wait_until(lock, std::min(until, Clock::now() + kLook));
  }
  --waiting;
}

void Producer::Impl::poll_until_stopped() {
  // Then for as long as there is something to tell of.
  for (int served = 1; served > 0 || !stopping.load(std::memory_order_relaxed);) {
    served = rd_kafka_poll(client.get(), kPollMs);
    if (served > 0 || waiting.load() > 0) {
      const std::scoped_lock lock(mutex);
      ended.notify_all();
    }
  }
}

rd_kafka_resp_err_t Producer::Impl::enqueue(std::string_view key, std::string_view value,
                                            void* tag) {
  // The payload is copied, so dropping const is only the shape of the C interface.
  void* payload = const_cast<char*>(value.data());
  if (options.content_type.empty()) {
    if (rd_kafka_produce(topic.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload,
                         value.size(), key.data(), key.size(), tag) == 0) {
      return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return rd_kafka_last_error();
  }
  std::array<rd_kafka_vu_t, 6> fields{};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = topic.get();
  fields[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[1].u.i = RD_KAFKA_MSG_F_COPY;
  fields[2].vtype = RD_KAFKA_VTYPE_KEY;
  fields[2].u.mem = {const_cast<char*>(key.data()), key.size()};
  fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[3].u.mem = {payload, value.size()};
  // Not VTYPE_HEADER: where a partitioner finds no partition, librdkafka frees such headers twice
  // (confluentinc/librdkafka#4627). These stay ours unless the message was taken.
  rd_kafka_headers_t* const headers = rd_kafka_headers_new(1);
  rd_kafka_header_add(headers, kContentTypeHeader.data(),
                      static_cast<ssize_t>(kContentTypeHeader.size()), options.content_type.data(),
                      static_cast<ssize_t>(options.content_type.size()));
  fields[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  fields[4].u.headers = headers;
  fields[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  fields[5].u.ptr = tag;
  rd_kafka_error_t* error = rd_kafka_produceva(client.get(), fields.data(), fields.size());
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_headers_destroy(headers);
  const auto code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  return code;
}

core::Result<std::unique_ptr<Producer>> Producer::open(ProducerOptions options) {
  if (options.topic.empty()) return core::invalid("no Kafka topic given; name one");
  auto settings = checked(options.settings);
  if (!settings) return settings.error();
  if (options.reports == Reports::kFailuresOnly) {
    settings.value()["delivery.report.only.error"] = "true";
  }
  auto conf = make_conf(settings.value());
  if (!conf) return conf.error();

  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  rd_kafka_conf_set_opaque(conf.value().get(), impl.get());
  rd_kafka_conf_set_dr_msg_cb(conf.value().get(), &Impl::on_report);
  rd_kafka_conf_set_error_cb(conf.value().get(), &Impl::on_error);
  auto client = make_handle(RD_KAFKA_PRODUCER, std::move(conf.value()));
  if (!client) return client.error();
  impl->client = std::move(client.value());
  impl->topic.reset(rd_kafka_topic_new(impl->client.get(), impl->options.topic.c_str(), nullptr));
  if (impl->topic == nullptr) {
    return core::invalid(fmt::format("Kafka topic {}: {}", impl->options.topic,
                                     rd_kafka_err2str(rd_kafka_last_error())));
  }
  impl->poller = std::thread([raw = impl.get()] { raw->poll_until_stopped(); });
  return std::make_unique<Producer>(std::move(impl));
}

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Producer::~Producer() {
  // Purging makes each outstanding message fail, so that every one has its call back.
  rd_kafka_purge(impl_->client.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  retry::Patience patience(impl_->options.stuck_limit, outstanding(), Clock::now());
  while (patience.goes_on(outstanding(), Clock::now())) {
    impl_->wait_for_an_end(Clock::time_point::max());
  }
  impl_->stopping = true;
  impl_->poller.join();  // a callback that is under way is waited for
  if (const std::size_t left = outstanding(); left > 0) {
    log::error("kafka_messages_without_an_end",
               {{"messages", left},
                {"topic", impl_->options.topic},
                {"waited_ms", impl_->options.stuck_limit.count()},
                {"what",
                 "Kafka's client tells nothing of them: whether they are in the log is "
                 "unknown; send them again"}});
  }
}

core::Result<std::size_t> max_message_bytes(const ClientSettings& settings,
                                            std::string_view content_type) {
  ClientSettings one;
  const auto given = settings.find("message.max.bytes");
  if (given != settings.end()) one.insert(*given);
  const auto conf = make_conf(one);
  if (!conf) return conf.error();
  std::array<char, 32> text{};
  std::size_t size = text.size();
  const auto got = rd_kafka_conf_get(conf.value().get(), "message.max.bytes", text.data(), &size);
  std::size_t bytes = 0;
  TALLY_CHECK(got == RD_KAFKA_CONF_OK &&
                  std::from_chars(text.data(), text.data() + text.size(), bytes).ec == std::errc(),
              "message.max.bytes is {}", text.data());
  std::size_t besides = kRecordBytes;
  if (!content_type.empty()) {
    besides += kHeaderLengthBytes + kContentTypeHeader.size() + content_type.size();
  }
  return bytes - std::min(bytes, besides);
}

Enqueued Producer::produce(std::string_view key, std::string_view value, std::uint64_t tag) {
  if (impl_->has_fatal.load(std::memory_order_relaxed)) return Enqueued::kFatal;
  const auto code =
      impl_->enqueue(key, value, reinterpret_cast<void*>(static_cast<std::uintptr_t>(tag)));
  switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return Enqueued::kQueued;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Enqueued::kQueueFull;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return Enqueued::kTooLarge;
    case RD_KAFKA_RESP_ERR__FATAL:
      break;
    default: {
      const std::scoped_lock lock(impl_->mutex);
      // An unknown partition or topic: the cluster's metadata says the message can go nowhere.
      impl_->problem = rd_kafka_err2str(code);
      if (!impl_->fatal) {
        impl_->fatal = fmt::format("topic {}: {}; create the topic, then open a new producer",
                                   impl_->options.topic, rd_kafka_err2str(code));
      }
      impl_->has_fatal = true;
    }
  }
  return Enqueued::kFatal;
}

void Producer::wait_for_room(milliseconds time) {
  ++impl_->waiting;
  {
    std::unique_lock lock(impl_->mutex);
    impl_->ended.wait_until(lock, retry::deadline(Clock::now(), time));
  }
  --impl_->waiting;
}

std::size_t Producer::flush(milliseconds time) {
  TALLY_CHECK(std::this_thread::get_id() != impl_->poller.get_id(),
              "flush() called from the delivery callback would wait for itself");
  const auto until = retry::deadline(Clock::now(), time);
  std::size_t left = outstanding();
  for (; left > 0 && Clock::now() < until; left = outstanding()) impl_->wait_for_an_end(until);
  return left;
}

std::size_t Producer::outstanding() const {
  return static_cast<std::size_t>(rd_kafka_outq_len(impl_->client.get()));
}

std::optional<std::string> Producer::fatal_error() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->fatal;
}

std::optional<std::string> Producer::last_problem() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->problem;
}

}  // namespace tally::runtime::kafka
