#include "runtime/kafka/consumer.h"

#include "runtime/kafka/handles.h"
#include "runtime/kafka/settings.h"
#include "runtime/log/log.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace tally::runtime::kafka {

namespace {

struct ListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;

struct ErrorDeleter {
  void operator()(rd_kafka_error_t* error) const { rd_kafka_error_destroy(error); }
};
using ErrorHandle = std::unique_ptr<rd_kafka_error_t, ErrorDeleter>;

std::vector<std::int32_t> numbers_of(const rd_kafka_topic_partition_list_t* list) {
  std::vector<std::int32_t> partitions;
  partitions.reserve(static_cast<std::size_t>(list->cnt));
  for (int i = 0; i < list->cnt; ++i) partitions.push_back(list->elems[i].partition);
  return partitions;
}

std::string_view bytes_of(const void* data, std::size_t size) {
  return data == nullptr ? std::string_view{}
                         : std::string_view(static_cast<const char*>(data), size);
}

}  // namespace

struct RecordBatch::Storage {
  std::vector<rd_kafka_message_t*> messages;
  std::vector<Header> headers;
  struct Owner {
    std::size_t record;
    std::size_t first;
    std::size_t count;
  };
  std::vector<Owner> owners;  // of headers
  ~Storage() {
    for (auto* message : messages) rd_kafka_message_destroy(message);
  }
};

RecordBatch::RecordBatch() = default;
RecordBatch::~RecordBatch() = default;
RecordBatch::RecordBatch(RecordBatch&&) noexcept = default;
RecordBatch& RecordBatch::operator=(RecordBatch&&) noexcept = default;

struct Consumer::Impl {
  std::string topic;
  RebalanceListener* listener = nullptr;
  rd_kafka_t* client = nullptr;
  std::exception_ptr listener_failure;
  mutable std::mutex mutex;
  std::string problem;  // guarded by mutex
  std::atomic<bool> has_problem{false};
  bool rebalanced = false;                             // during this poll; of the polling thread
  bool ever_assigned = false;                          // of the polling thread
  bool closing = false;                                // of the polling thread
  bool subscribed = false;                             // of the polling thread
  std::chrono::steady_clock::time_point ask_again_at;  // of the polling thread
  std::vector<std::int32_t> read_from;  // what is assigned and read; of the polling thread
  // Since the fetcher was last woken, and when to do it again.
  std::size_t taken_bytes = 0;
  std::size_t taken_records = 0;
  std::size_t wake_after_bytes = 0;
  std::size_t wake_after_records = 0;

  static void on_error(rd_kafka_t* /*client*/, int code, const char* reason, void* opaque) {
    auto* self = static_cast<Impl*>(opaque);
    const auto error = static_cast<rd_kafka_resp_err_t>(code);
    if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
    const std::lock_guard lock(self->mutex);
    self->problem = std::string(rd_kafka_err2name(error)) + ": " + reason;
    self->has_problem = true;
  }

  static void on_log(const rd_kafka_t* /*client*/, int level, const char* facility,
                     const char* text) {
    log::write(level <= 3 ? log::Level::kError : log::Level::kInfo, "librdkafka",
               {{"facility", facility}, {"text", text}});
  }

  static void on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t error,
                           rd_kafka_topic_partition_list_t* list, void* opaque) {
    auto* self = static_cast<Impl*>(opaque);
    self->rebalanced = true;
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      self->assign(client, list);
      return;
    }
    const std::vector<std::int32_t> given_up = numbers_of(list);
    std::erase_if(self->read_from, [&](std::int32_t partition) {
      return std::find(given_up.begin(), given_up.end(), partition) != given_up.end();
    });
    const Revocation kind =
        rd_kafka_assignment_lost(client) != 0 ? Revocation::kLost : Revocation::kOrderly;
    try {
      self->listener->revoked(given_up, kind);
    } catch (...) {
      self->listener_failure = std::current_exception();
    }
    const ErrorHandle refused(rd_kafka_incremental_unassign(client, list));
  }

  // The client waits for an answer to every assignment, or its close never ends.
  static void take_nothing(rd_kafka_t* handle) {
    const PartitionList none(rd_kafka_topic_partition_list_new(1));
    const ErrorHandle ignored(rd_kafka_incremental_assign(handle, none.get()));
  }

  void assign(rd_kafka_t* handle, rd_kafka_topic_partition_list_t* list) {
    ever_assigned = true;
    if (closing) {
      take_nothing(handle);
      return;
    }
    try {
      const std::vector<std::int64_t> starts = listener->assigned(numbers_of(list));
      if (starts.empty()) {
        take_nothing(handle);
        return;
      }
      for (int i = 0; i < list->cnt; ++i)
        list->elems[i].offset = starts.at(static_cast<std::size_t>(i));
    } catch (...) {
      listener_failure = std::current_exception();
      take_nothing(handle);
      return;
    }
    const ErrorHandle refused(rd_kafka_incremental_assign(handle, list));
    if (refused) {
      listener_failure = std::make_exception_ptr(FatalError(
          std::string("Kafka refused the assignment: ") + rd_kafka_error_string(refused.get())));
      return;
    }
    const std::vector<std::int32_t> taken = numbers_of(list);
    read_from.insert(read_from.end(), taken.begin(), taken.end());
  }

  // Sorts one message into the batch; true when the batch's storage keeps it.
  bool take(rd_kafka_message_t* message, RecordBatch& batch) {
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      batch.ends.push_back({message->partition, message->offset});
      return false;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      take_error(*message, batch);
      return false;
    }
    Record record;
    record.partition = message->partition;
    record.offset = message->offset;
    rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    record.log_time_ms = rd_kafka_message_timestamp(message, &kind);
    record.log_time_kind = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? LogTimeKind::kLogAppendTime
                           : kind == RD_KAFKA_TIMESTAMP_CREATE_TIME   ? LogTimeKind::kCreateTime
                                                                      : LogTimeKind::kAbsent;
    record.key = bytes_of(message->key, message->key_len);
    record.value = bytes_of(message->payload, message->len);
    batch.records.push_back(record);
    read_headers(message, batch);
    return true;
  }

  void take_error(const rd_kafka_message_t& message, RecordBatch& batch) {
    if (message.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        message.err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
      batch.out_of_range.push_back(message.partition);
      return;
    }
    const char* text = rd_kafka_message_errstr(&message);
    if (message.err == RD_KAFKA_RESP_ERR__FATAL ||
        message.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        message.err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
        message.err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
      listener_failure = std::make_exception_ptr(
          FatalError(std::string("Kafka: ") + (text != nullptr ? text : "")));
      return;
    }
    const std::lock_guard lock(mutex);
    problem = std::string(rd_kafka_err2name(message.err)) + ": " + (text != nullptr ? text : "");
    has_problem = true;
  }

  // A topic without new records must not keep an old problem: asks, at most once a second.
  bool brokers_answer() {
    const auto now = std::chrono::steady_clock::now();
    if (now < ask_again_at) return false;
    const struct rd_kafka_metadata* metadata = nullptr;
    constexpr int kAnswerTimeMs = 1000;
    rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    if (handle == nullptr) return false;
    const auto error = rd_kafka_metadata(client, 0, handle, &metadata, kAnswerTimeMs);
    rd_kafka_topic_destroy(handle);
    ask_again_at = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    const bool known =
        metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_metadata_destroy(metadata);
    return known;
  }

  // A full queue stops librdkafka 2.0.2 from fetching, and whether there is room again it finds out
  // when something else wakes its thread, or a second later. Any request does; this one asks each
  // leader where its partitions end, whenever half a queue was taken. The answers go nowhere.
  void wake_fetcher() {
    if (taken_bytes < wake_after_bytes && taken_records < wake_after_records) return;
    taken_bytes = 0;
    taken_records = 0;
    if (read_from.empty()) return;
    const PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(read_from.size())));
    for (const std::int32_t partition : read_from) {
      rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset =
          RD_KAFKA_OFFSET_END;
    }
    constexpr int kNotWaitedFor = 0;
    rd_kafka_offsets_for_times(client, list.get(), kNotWaitedFor);
  }

  // At the first poll, not before: librdkafka 2.0.2 ends the process by an assertion when a
  // consumer is closed while it joins, so one that will never be polled must not begin to.
  void subscribe_once() {
    if (std::exchange(subscribed, true)) return;
    const PartitionList topics(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    const rd_kafka_resp_err_t error = rd_kafka_subscribe(client, topics.get());
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      throw FatalError("cannot subscribe to " + topic + ": " + rd_kafka_err2str(error));
    }
  }

  // librdkafka 2.0.2 ends the process by an assertion when a consumer is closed between the answer
  // to its join and its first assignment: a join under way is waited for, and takes nothing. False:
  // it takes too long, and the client must not be closed.
  bool join_is_over() {
    closing = true;
    constexpr auto kJoinTime = std::chrono::seconds(12);
    const auto deadline = std::chrono::steady_clock::now() + kJoinTime;
    while (subscribed && !ever_assigned && std::chrono::steady_clock::now() < deadline) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(client, 100);
      if (message != nullptr) rd_kafka_message_destroy(message);
    }
    return !subscribed || ever_assigned;
  }

  // Now, while the message is in the cache. Headers move when their number grows: which are whose
  // is noted by place.
  static void read_headers(const rd_kafka_message_t* message, RecordBatch& batch) {
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    auto& storage = *batch.storage;
    const std::size_t first = storage.headers.size();
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t h = 0;
         rd_kafka_header_get_all(headers, h, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++h) {
      storage.headers.push_back({name, bytes_of(value, size)});
    }
    storage.owners.push_back({batch.records.size() - 1, first, storage.headers.size() - first});
  }

  static void give_headers(RecordBatch& batch) {
    const std::span<const Header> headers(batch.storage->headers);
    for (const auto& [record, first, count] : batch.storage->owners)
      batch.records[record].headers = headers.subspan(first, count);
  }
};

Consumer::Consumer(const ConsumerSettings& settings, RebalanceListener& listener)
    : impl_(std::make_unique<Impl>()) {
  impl_->topic = settings.topic;
  impl_->listener = &listener;
  impl_->wake_after_bytes = settings.queue_bytes / 2;
  impl_->wake_after_records = settings.queue_records / 2;
  ClientSettings options = {
      {"auto.offset.reset", "error"},   // never jump silently
      {"enable.auto.commit", "false"},  // the truth is in Postgres
      {"enable.auto.offset.store", "false"},
      {"enable.partition.eof", "true"},
      {"isolation.level", "read_committed"},
      {"partition.assignment.strategy", "cooperative-sticky"},
      {"check.crcs", "true"},
      {"session.timeout.ms", "10000"},
      {"heartbeat.interval.ms", "2000"},
      {"max.poll.interval.ms", "600000"},
      {"topic.metadata.refresh.interval.ms", "10000"},
      {"log_level", "3"},
  };
  options["queued.max.messages.kbytes"] = std::to_string(settings.queue_bytes / 1024);
  options["queued.min.messages"] = std::to_string(settings.queue_records);
  options = merged(std::move(options), settings.extra);
  options["bootstrap.servers"] = settings.brokers;
  options["group.id"] = settings.group;
  options["client.id"] = settings.client_id;
  if (!settings.instance_id.empty()) options["group.instance.id"] = settings.instance_id;
  if (const auto wrong = reserved_objection(Role::kConsumer, Source::kTally, options)) {
    throw FatalError(wrong->sentence);
  }
  auto conf = make_conf(options);
  if (!conf) throw FatalError(conf.error().message);
  rd_kafka_conf_set_opaque(conf.value().get(), impl_.get());
  rd_kafka_conf_set_error_cb(conf.value().get(), &Impl::on_error);
  rd_kafka_conf_set_log_cb(conf.value().get(), &Impl::on_log);
  rd_kafka_conf_set_rebalance_cb(conf.value().get(), &Impl::on_rebalance);
  auto client = make_handle(RD_KAFKA_CONSUMER, std::move(conf.value()));
  if (!client) throw FatalError(client.error().message);
  // Closed and destroyed by the destructor, or left alone by it.
  impl_->client = client.value().release();
  rd_kafka_poll_set_consumer(impl_->client);
}

Consumer::~Consumer() {
  if (!impl_->join_is_over()) {
    log::warn("join_abandoned", {{"what",
                                  "the group waits for another member; this one is not "
                                  "closed, the group drops it after its session timeout"}});
    static_cast<void>(impl_.release());
    return;
  }
  rd_kafka_consumer_close(impl_->client);
  rd_kafka_destroy(impl_->client);
}

RecordBatch Consumer::poll(std::size_t max_records, std::chrono::milliseconds timeout) {
  impl_->subscribe_once();
  RecordBatch batch;
  batch.storage = std::make_unique<RecordBatch::Storage>();
  batch.storage->messages.reserve(max_records);
  batch.records.reserve(max_records);
  // One message at a time: in librdkafka 2.0.2 a rebalance during a larger batch call drops
  // messages which that call had already collected, and reads on behind them (fixed in its 2.2.0).
  impl_->rebalanced = false;
  for (std::size_t taken = 0; taken < max_records && !impl_->rebalanced; ++taken) {
    rd_kafka_message_t* message =
        rd_kafka_consumer_poll(impl_->client, taken == 0 ? static_cast<int>(timeout.count()) : 0);
    if (message == nullptr) break;
    if (impl_->take(message, batch)) {
      impl_->taken_bytes += message->len;
      batch.storage->messages.push_back(message);
    } else {
      rd_kafka_message_destroy(message);
    }
  }
  if (impl_->has_problem && (!batch.records.empty() || impl_->brokers_answer())) {
    const std::lock_guard lock(impl_->mutex);
    impl_->problem.clear();
    impl_->has_problem = false;
  }
  Impl::give_headers(batch);
  impl_->taken_records += batch.records.size();
  impl_->wake_fetcher();
  if (impl_->listener_failure)
    std::rethrow_exception(std::exchange(impl_->listener_failure, nullptr));
  return batch;
}

std::optional<Watermarks> Consumer::watermarks(std::int32_t partition,
                                               std::chrono::milliseconds timeout) {
  Watermarks marks;
  const auto error =
      rd_kafka_query_watermark_offsets(impl_->client, impl_->topic.c_str(), partition, &marks.low,
                                       &marks.high, static_cast<int>(timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  // The broker told where a reader of committed records must stop; the last fetch saw what lies
  // behind that.
  marks.high = std::max(marks.high, fetched_end(partition).value_or(marks.high));
  return marks;
}

std::optional<std::int64_t> Consumer::fetched_end(std::int32_t partition) const {
  Watermarks fetched;
  const auto error = rd_kafka_get_watermark_offsets(impl_->client, impl_->topic.c_str(), partition,
                                                    &fetched.low, &fetched.high);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR || fetched.high < 0) return std::nullopt;
  return fetched.high;
}

std::optional<std::int32_t> Consumer::partition_count(std::chrono::milliseconds timeout) {
  rd_kafka_topic_t* handle = rd_kafka_topic_new(impl_->client, impl_->topic.c_str(), nullptr);
  if (handle == nullptr) return std::nullopt;
  const struct rd_kafka_metadata* metadata = nullptr;
  const auto error =
      rd_kafka_metadata(impl_->client, 0, handle, &metadata, static_cast<int>(timeout.count()));
  rd_kafka_topic_destroy(handle);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return std::nullopt;
  std::optional<std::int32_t> count;
  if (metadata->topic_cnt == 1) {
    const auto& topic = metadata->topics[0];
    if (topic.err == RD_KAFKA_RESP_ERR_NO_ERROR) count = topic.partition_cnt;
    if (topic.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) count = 0;
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

void Consumer::mirror_offsets(
    const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets) {
  if (next_offsets.empty()) return;
  const PartitionList list(
      rd_kafka_topic_partition_list_new(static_cast<int>(next_offsets.size())));
  for (const auto& [partition, offset] : next_offsets) {
    rd_kafka_topic_partition_list_add(list.get(), impl_->topic.c_str(), partition)->offset = offset;
  }
  rd_kafka_commit(impl_->client, list.get(), 1);
}

std::string Consumer::transport_problem() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->problem;
}

}  // namespace tally::runtime::kafka
