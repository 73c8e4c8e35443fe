#include "runtime/kafka/topic.h"

#include "core/check.h"
#include "runtime/kafka/handles.h"

#include <fmt/core.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace tally::runtime::kafka {

struct Admin::Impl {
  Handle client;
  std::string brokers;

  // What the client met, kept until the cluster answers: of a connection that comes to nothing a
  // call itself says only that no answer came in time, not that a certificate was refused.
  std::optional<std::string> problem;

  core::Error error(rd_kafka_resp_err_t code, const char* text, const std::string& what);
  void hear();      // what the client met since
  void answered();  // the cluster did
  // Runs `send` with options and a queue of its own and waits for the one answer.
  template <class Send>
  core::Result<Event> ask(rd_kafka_admin_op_t operation, Timeout timeout, const std::string& what,
                          Send send);
};

core::Error Admin::Impl::error(rd_kafka_resp_err_t code, const char* text,
                               const std::string& what) {
  hear();
  const std::string reason = text != nullptr ? text : rd_kafka_err2str(code);
  switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      return {core::ErrorKind::kNotFound,
              fmt::format("{}: the cluster has no such topic; create it first", what)};
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
      return {core::ErrorKind::kUnavailable,
              fmt::format("{}: no answer from Kafka at {} ({}); check the address, that the broker "
                          "runs, and the settings kafka.security.protocol, kafka.ssl.ca.location "
                          "and kafka.sasl.*",
                          what, brokers, problem.value_or(reason))};
    default:
      return core::invalid(fmt::format("{}: Kafka refuses: {}", what, reason));
  }
}

void Admin::Impl::hear() {
  const Queue events(rd_kafka_queue_get_main(client.get()));
  while (const Event event{rd_kafka_queue_poll(events.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_ERROR) continue;
    // That one follows from the others and says nothing more.
    if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) continue;
    problem = rd_kafka_event_error_string(event.get());
  }
}

void Admin::Impl::answered() {
  hear();
  problem.reset();
}

template <class Send>
core::Result<Event> Admin::Impl::ask(rd_kafka_admin_op_t operation, Timeout timeout,
                                     const std::string& what, Send send) {
  const auto wait_ms = static_cast<int>(timeout.count());
  const AdminOptionsHandle options(rd_kafka_AdminOptions_new(client.get(), operation));
  std::array<char, 256> why{};
  if (rd_kafka_AdminOptions_set_request_timeout(options.get(), wait_ms, why.data(), why.size()) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    return core::invalid(fmt::format("{}: timeout of {} ms: {}", what, wait_ms, why.data()));
  }
  const Queue queue(rd_kafka_queue_new(client.get()));
  send(options.get(), queue.get());
  Event event(rd_kafka_queue_poll(queue.get(), wait_ms + 1'000));
  if (event == nullptr) return error(RD_KAFKA_RESP_ERR__TIMED_OUT, nullptr, what);
  const auto code = rd_kafka_event_error(event.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return error(code, rd_kafka_event_error_string(event.get()), what);
  }
  answered();
  return event;
}

core::Result<std::unique_ptr<Admin>> Admin::open(const ClientSettings& settings) {
  auto conf = make_conf(settings);
  if (!conf) return conf.error();
  auto impl = std::make_unique<Impl>();
  const auto brokers = settings.find("bootstrap.servers");
  if (brokers == settings.end() || brokers->second.empty()) {
    return core::invalid("no Kafka brokers given; set bootstrap.servers to host:port[,host:port]");
  }
  impl->brokers = brokers->second;
  rd_kafka_conf_set_events(conf.value().get(), RD_KAFKA_EVENT_ERROR);
  // A consumer handle: asking it for metadata never creates a topic, a producer's would.
  auto client = make_handle(RD_KAFKA_CONSUMER, std::move(conf.value()));
  if (!client) return client.error();
  impl->client = std::move(client.value());
  return std::make_unique<Admin>(std::move(impl));
}

Admin::Admin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Admin::~Admin() = default;

core::Result<Creation> Admin::create_topic(const NewTopic& topic, Timeout timeout) {
  const std::string what = fmt::format("creating topic {}", topic.name);
  std::array<char, 256> why{};
  const NewTopicHandle wanted(rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions,
                                                    topic.replication, why.data(), why.size()));
  if (wanted == nullptr) return core::invalid(fmt::format("{}: {}", what, why.data()));
  for (const auto& [name, value] : topic.settings) {
    if (rd_kafka_NewTopic_set_config(wanted.get(), name.c_str(), value.c_str()) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
      return core::invalid(fmt::format("{}: setting {}={} is not possible", what, name, value));
    }
  }
  rd_kafka_NewTopic_t* list = wanted.get();
  auto answer = impl_->ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, what,
                           [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                             rd_kafka_CreateTopics(impl_->client.get(), &list, 1, options, queue);
                           });
  if (!answer) return answer.error();
  std::size_t count = 0;
  const auto* results = rd_kafka_CreateTopics_result_topics(
      rd_kafka_event_CreateTopics_result(answer.value().get()), &count);
  TALLY_CHECK(count == 1, "topics answered: {}", count);
  const auto code = rd_kafka_topic_result_error(results[0]);
  if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return Creation::kExisted;
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return impl_->error(code, rd_kafka_topic_result_error_string(results[0]), what);
  }
  return Creation::kCreated;
}

core::Result<void> Admin::grow_topic(const std::string& topic, int partitions, Timeout timeout) {
  const std::string what = fmt::format("growing topic {} to {} partitions", topic, partitions);
  std::array<char, 256> why{};
  const NewPartitionsHandle wanted(rd_kafka_NewPartitions_new(
      topic.c_str(), static_cast<std::size_t>(partitions), why.data(), why.size()));
  if (wanted == nullptr) return core::invalid(fmt::format("{}: {}", what, why.data()));
  rd_kafka_NewPartitions_t* list = wanted.get();
  auto answer =
      impl_->ask(RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, timeout, what,
                 [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                   rd_kafka_CreatePartitions(impl_->client.get(), &list, 1, options, queue);
                 });
  if (!answer) return answer.error();
  std::size_t count = 0;
  const auto* results = rd_kafka_CreatePartitions_result_topics(
      rd_kafka_event_CreatePartitions_result(answer.value().get()), &count);
  TALLY_CHECK(count == 1, "topics answered: {}", count);
  const auto code = rd_kafka_topic_result_error(results[0]);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return impl_->error(code, rd_kafka_topic_result_error_string(results[0]), what);
  }
  return boost::outcome_v2::success();
}

core::Result<void> Admin::delete_topic(const std::string& topic, Timeout timeout) {
  const std::string what = fmt::format("deleting topic {}", topic);
  const DeleteTopicHandle wanted(rd_kafka_DeleteTopic_new(topic.c_str()));
  rd_kafka_DeleteTopic_t* list = wanted.get();
  auto answer = impl_->ask(RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout, what,
                           [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                             rd_kafka_DeleteTopics(impl_->client.get(), &list, 1, options, queue);
                           });
  if (!answer) return answer.error();
  std::size_t count = 0;
  const auto* results = rd_kafka_DeleteTopics_result_topics(
      rd_kafka_event_DeleteTopics_result(answer.value().get()), &count);
  TALLY_CHECK(count == 1, "topics answered: {}", count);
  const auto code = rd_kafka_topic_result_error(results[0]);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return impl_->error(code, rd_kafka_topic_result_error_string(results[0]), what);
  }
  return boost::outcome_v2::success();
}

core::Result<int> Admin::partition_count(const std::string& topic, Timeout timeout) {
  const std::string what = fmt::format("looking up topic {}", topic);
  const TopicHandle handle(rd_kafka_topic_new(impl_->client.get(), topic.c_str(), nullptr));
  if (handle == nullptr) return core::invalid(fmt::format("topic {}: not a topic name", topic));
  const rd_kafka_metadata_t* raw = nullptr;
  const auto code = rd_kafka_metadata(impl_->client.get(), 0, handle.get(), &raw,
                                      static_cast<int>(timeout.count()));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return impl_->error(code, nullptr, what);
  const Metadata metadata(raw);
  impl_->answered();
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& found = metadata->topics[i];
    if (topic != found.topic) continue;
    if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return impl_->error(found.err, nullptr, what);
    if (found.partition_cnt > 0) return found.partition_cnt;
  }
  return impl_->error(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, nullptr, what);
}

core::Result<std::string> Admin::setting(const std::string& topic, const std::string& name,
                                         Timeout timeout) {
  const std::string what = fmt::format("reading {} of topic {}", name, topic);
  const ConfigResource resource(
      rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  rd_kafka_ConfigResource_t* list = resource.get();
  auto answer =
      impl_->ask(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, what,
                 [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                   rd_kafka_DescribeConfigs(impl_->client.get(), &list, 1, options, queue);
                 });
  if (!answer) return answer.error();
  std::size_t count = 0;
  const auto* resources = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(answer.value().get()), &count);
  TALLY_CHECK(count == 1, "resources answered: {}", count);
  const auto code = rd_kafka_ConfigResource_error(resources[0]);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return impl_->error(code, rd_kafka_ConfigResource_error_string(resources[0]), what);
  }
  const auto* entries = rd_kafka_ConfigResource_configs(resources[0], &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (name != rd_kafka_ConfigEntry_name(entries[i])) continue;
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    return std::string(value != nullptr ? value : "");
  }
  return core::Error{core::ErrorKind::kNotFound,
                     fmt::format("{}: the cluster knows no such setting", what)};
}

core::Result<TimestampType> Admin::timestamp_type(const std::string& topic, Timeout timeout) {
  auto value = setting(topic, "message.timestamp.type", timeout);
  if (!value) return value.error();
  if (value.value() == "LogAppendTime") return TimestampType::kLogAppendTime;
  if (value.value() == "CreateTime") return TimestampType::kCreateTime;
  return core::invalid(
      fmt::format("topic {}: message.timestamp.type={} is neither CreateTime nor LogAppendTime",
                  topic, value.value()));
}

}  // namespace tally::runtime::kafka
