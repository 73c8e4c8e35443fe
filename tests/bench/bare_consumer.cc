// The floor that the aggregator is measured against: one thread of librdkafka that reads a topic
// from its start to its end in batches and looks at nothing but the lengths.
//
//   bare_consumer BROKERS TOPIC RECORDS
//
// Prints one line of JSON: records, bytes, seconds from the first batch to the last, and
// CPU-seconds.
#include <librdkafka/rdkafka.h>

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char problem[256];
  if (rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)) != RD_KAFKA_CONF_OK) {
    std::fprintf(stderr, "bare_consumer: %s\n", problem);
    std::exit(1);
  }
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

rd_kafka_t* make_client(const char* brokers) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "group.id", "bare-consumer");
  set(conf, "enable.auto.commit", "false");
  set(conf, "queued.min.messages", "1000000");
  set(conf, "queued.max.messages.kbytes", "1048576");
  set(conf, "fetch.message.max.bytes", "4194304");
  set(conf, "fetch.wait.max.ms", "10");
  char problem[256];
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, problem, sizeof(problem));
  if (client == nullptr) {
    std::fprintf(stderr, "bare_consumer: %s\n", problem);
    std::exit(1);
  }
  rd_kafka_poll_set_consumer(client);
  return client;
}

void assign_all(rd_kafka_t* client, const char* topic) {
  const struct rd_kafka_metadata* metadata = nullptr;
  rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic, nullptr);
  if (rd_kafka_metadata(client, 0, handle, &metadata, 10'000) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
    std::fprintf(stderr, "bare_consumer: topic %s cannot be found\n", topic);
    std::exit(1);
  }
  rd_kafka_topic_partition_list_t* list =
      rd_kafka_topic_partition_list_new(metadata->topics[0].partition_cnt);
  for (int i = 0; i < metadata->topics[0].partition_cnt; ++i) {
    rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  }
  rd_kafka_assign(client, list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(handle);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bare_consumer BROKERS TOPIC RECORDS\n");
    return 2;
  }
  const long long wanted = std::atoll(argv[3]);
  rd_kafka_t* client = make_client(argv[1]);
  assign_all(client, argv[2]);
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(client);
  using Clock = std::chrono::steady_clock;
  Clock::time_point first{};
  Clock::time_point last = Clock::now();
  std::vector<rd_kafka_message_t*> batch(100'000);
  long long records = 0;
  unsigned long long bytes = 0;
  while (records < wanted && Clock::now() - last < std::chrono::seconds(30)) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue, 50, batch.data(), batch.size());
    for (ssize_t i = 0; i < got; ++i) {
      rd_kafka_message_t* message = batch[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (records++ == 0) first = Clock::now();
        bytes += message->len;
      }
      rd_kafka_message_destroy(message);
    }
    if (got > 0) last = Clock::now();
  }
  const double seconds = std::chrono::duration<double>(last - first).count();
  std::printf("{\"records\": %lld, \"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
              records, bytes, seconds, cpu_seconds());
  std::fflush(stdout);
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(client);
  rd_kafka_destroy(client);
  return records == wanted ? 0 : 1;
}
