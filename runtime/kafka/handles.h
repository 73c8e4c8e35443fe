// Owning types for librdkafka's handles. Included by this folder's sources and tests only.
#pragma once

#include "core/result.h"
#include "runtime/kafka/producer.h"

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>

namespace tally::runtime::kafka {

template <auto kDestroy>
struct Destroyer {
  template <class T>
  void operator()(T* handle) const {
    kDestroy(handle);
  }
};

using Handle = std::unique_ptr<rd_kafka_t, Destroyer<rd_kafka_destroy>>;
using Conf = std::unique_ptr<rd_kafka_conf_t, Destroyer<rd_kafka_conf_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Destroyer<rd_kafka_topic_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroyer<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroyer<rd_kafka_event_destroy>>;
using NewTopicHandle = std::unique_ptr<rd_kafka_NewTopic_t, Destroyer<rd_kafka_NewTopic_destroy>>;
using NewPartitionsHandle =
    std::unique_ptr<rd_kafka_NewPartitions_t, Destroyer<rd_kafka_NewPartitions_destroy>>;
using DeleteTopicHandle =
    std::unique_ptr<rd_kafka_DeleteTopic_t, Destroyer<rd_kafka_DeleteTopic_destroy>>;
using ConfigResource =
    std::unique_ptr<rd_kafka_ConfigResource_t, Destroyer<rd_kafka_ConfigResource_destroy>>;
using AdminOptionsHandle =
    std::unique_ptr<rd_kafka_AdminOptions_t, Destroyer<rd_kafka_AdminOptions_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroyer<rd_kafka_metadata_destroy>>;

// A configuration holding `settings`, its log callback silent (errors come through error_cb), which
// tries a broker that is away at least once a second unless they say how often. An error names the
// setting; the value only when it cannot be a secret.
[[nodiscard]] core::Result<Conf> make_conf(const ClientSettings& settings);

// Creates the client; on success the configuration has been given away.
[[nodiscard]] core::Result<Handle> make_handle(rd_kafka_type_t type, Conf conf);

}  // namespace tally::runtime::kafka
