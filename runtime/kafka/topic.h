// What a component must know of a topic before it starts, and how tools make one. Each call asks
// the cluster and waits for the answer, at most as long as told. One thread at a time.
#pragma once

#include "core/result.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <memory>
#include <string>

namespace tally::runtime::kafka {

struct NewTopic {
  std::string name;
  int partitions = 1;
  int replication = 1;
  std::map<std::string, std::string> settings;  // "message.timestamp.type" = "LogAppendTime"
};

// kExisted: a topic of that name was there; its settings were neither changed nor compared.
enum class Creation { kCreated, kExisted };
enum class TimestampType { kCreateTime, kLogAppendTime };

// Errors: kNotFound, no such topic; kUnavailable, no broker answered in time (with what the
// client met: a connection, certificate or password that was refused); kInvalid, the cluster
// refuses. Nothing here creates a topic by asking about it.
class Admin {
 public:
  using Timeout = std::chrono::milliseconds;
  [[nodiscard]] static core::Result<std::unique_ptr<Admin>> open(const ClientSettings& settings);
  struct Impl;
  explicit Admin(std::unique_ptr<Impl> impl);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  [[nodiscard]] core::Result<Creation> create_topic(const NewTopic& topic, Timeout timeout);
  // Grows to `partitions` in all; Kafka cannot shrink.
  [[nodiscard]] core::Result<void> grow_topic(const std::string& topic, int partitions,
                                              Timeout timeout);
  [[nodiscard]] core::Result<void> delete_topic(const std::string& topic, Timeout timeout);
  [[nodiscard]] core::Result<int> partition_count(const std::string& topic, Timeout timeout);
  // A topic setting's value in force ("retention.ms").
  [[nodiscard]] core::Result<std::string> setting(const std::string& topic, const std::string& name,
                                                  Timeout timeout);
  [[nodiscard]] core::Result<TimestampType> timestamp_type(const std::string& topic,
                                                           Timeout timeout);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::kafka
