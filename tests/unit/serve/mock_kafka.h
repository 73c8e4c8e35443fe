// A broker of librdkafka's own, in this process, on a loopback port.
#pragma once

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

namespace tally::producer::serve {

class MockKafka {
 public:
  MockKafka() {
    ::rd_kafka_mock_topic_create(cluster_.get(), kTopic, kPartitions, 1);
    brokers_ = ::rd_kafka_mock_cluster_bootstraps(cluster_.get());
  }
  [[nodiscard]] const std::string& brokers() const { return brokers_; }
  void go_away() { ::rd_kafka_mock_broker_set_down(cluster_.get(), 1); }
  void come_back() { ::rd_kafka_mock_broker_set_up(cluster_.get(), 1); }

  // The keys of all records up to the ends of the partitions.
  [[nodiscard]] std::set<std::string> keys() const {
    const ClientPtr reader = client(RD_KAFKA_CONSUMER, {{{"bootstrap.servers", brokers_},
                                                         {"group.id", "reader"},
                                                         {"enable.partition.eof", "true"}}});
    const std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy> all(
        ::rd_kafka_topic_partition_list_new(kPartitions));
    for (int partition = 0; partition < kPartitions; ++partition) {
      ::rd_kafka_topic_partition_list_add(all.get(), kTopic, partition)->offset =
          RD_KAFKA_OFFSET_BEGINNING;
    }
    EXPECT_EQ(::rd_kafka_assign(reader.get(), all.get()), RD_KAFKA_RESP_ERR_NO_ERROR);
    std::set<std::string> found;
    for (int ends = 0; ends < kPartitions;) {
      const std::unique_ptr<rd_kafka_message_t, Destroy> record(
          ::rd_kafka_consumer_poll(reader.get(), 1000));
      if (record == nullptr) continue;
      if (record->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) ++ends;
      if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        found.emplace(static_cast<const char*>(record->key), record->key_len);
      }
    }
    ::rd_kafka_consumer_close(reader.get());
    return found;
  }

  static constexpr const char* kTopic = "usage.events";

 private:
  static constexpr int kPartitions = 2;

  struct Destroy {
    void operator()(rd_kafka_t* client) const { ::rd_kafka_destroy(client); }
    void operator()(rd_kafka_mock_cluster_t* cluster) const {
      ::rd_kafka_mock_cluster_destroy(cluster);
    }
    void operator()(rd_kafka_message_t* message) const { ::rd_kafka_message_destroy(message); }
    void operator()(rd_kafka_topic_partition_list_t* list) const {
      ::rd_kafka_topic_partition_list_destroy(list);
    }
  };
  using ClientPtr = std::unique_ptr<rd_kafka_t, Destroy>;

  static ClientPtr client(rd_kafka_type_t type,
                          const std::array<std::pair<const char*, std::string>, 3>& settings) {
    std::array<char, 256> problem{};
    rd_kafka_conf_t* conf = ::rd_kafka_conf_new();
    for (const auto& [name, value] : settings) {
      ::rd_kafka_conf_set(conf, name, value.c_str(), problem.data(), problem.size());
    }
    ClientPtr made(::rd_kafka_new(type, conf, problem.data(), problem.size()));
    if (made == nullptr) throw std::runtime_error(problem.data());
    return made;
  }

  ClientPtr host_ =
      client(RD_KAFKA_PRODUCER, {{{"client.id", "host"}, {"linger.ms", "5"}, {"acks", "all"}}});
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy> cluster_{
      ::rd_kafka_mock_cluster_new(host_.get(), 1)};
  std::string brokers_;
};

}  // namespace tally::producer::serve
