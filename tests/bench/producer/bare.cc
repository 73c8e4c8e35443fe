// The floor: the same threads build the same JSON and give it to librdkafka themselves, under the
// same settings; one thread serves its delivery reports. Nothing is checked, bounded or counted by
// reason, and nothing is stamped but the place in the stream.
#include "tests/bench/producer/load.h"

#include <librdkafka/rdkafka.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <iterator>

namespace tally::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kContentType = "application/cloudevents+json";
constexpr std::string_view kStream = "00112233445566778899aabbccddeeff";

std::atomic<std::uint64_t> delivered{0};

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) delivered.fetch_add(1);
}

rd_kafka_t* make_client(const Load& load) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char problem[256];
  auto settings = kafka_settings();
  settings["bootstrap.servers"] = load.brokers;
  settings["message.timeout.ms"] = "120000";
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), problem, sizeof(problem)) !=
        RD_KAFKA_CONF_OK) {
      fmt::print(stderr, "bench producer: {}\n", problem);
      return nullptr;
    }
  }
  rd_kafka_conf_set_dr_msg_cb(conf, &on_report);
  return rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
}

// As quick as it can be said in a line: libfmt, the second's text kept.
void build(const Call& call, std::string_view id, std::uint64_t sequence, std::string& out) {
  thread_local std::time_t last = 0;
  thread_local std::string second;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  if (micros / 1'000'000 != last) {
    last = micros / 1'000'000;
    second = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(last));
  }
  out.clear();
  fmt::format_to(std::back_inserter(out),
                 R"({{"specversion":"1.0","source":"{}","id":"{}","type":"{}","subject":"{}",)"
                 R"("time":"{}.{:06}Z","data":{{"tokens":{},"model":"{}"}},"tallystream":"{}",)"
                 R"("tallyseq":"{}"}})",
                 kSource, id, kType, call.tenant, second, micros % 1'000'000, call.tokens,
                 call.model, kStream, sequence);
}

bool produce(rd_kafka_t* client, rd_kafka_topic_t* topic, std::string& key, std::string& value) {
  rd_kafka_vu_t fields[5]{};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = topic;
  fields[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[1].u.i = RD_KAFKA_MSG_F_COPY;
  fields[2].vtype = RD_KAFKA_VTYPE_KEY;
  fields[2].u.mem = {key.data(), key.size()};
  fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[3].u.mem = {value.data(), value.size()};
  fields[4].vtype = RD_KAFKA_VTYPE_HEADER;
  fields[4].u.header = {"content-type", kContentType.data(),
                        static_cast<ssize_t>(kContentType.size())};
  rd_kafka_error_t* error = rd_kafka_produceva(client, fields, 5);
  if (error == nullptr) return true;
  rd_kafka_error_destroy(error);
  return false;
}

}  // namespace

int run_bare(const Load& load) {
  rd_kafka_t* client = make_client(load);
  if (client == nullptr) return 1;
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, load.topic.c_str(), nullptr);
  std::atomic<bool> stop{false};
  std::thread poller([&] {
    while (!stop) rd_kafka_poll(client, 50);
  });
  // The broker knows the topic before the clock starts.
  std::string key = "warm";
  std::string value = "{}";
  bool good = produce(client, topic, key, value) && rd_kafka_flush(client, 60'000) == 0;
  std::atomic<std::uint64_t> sequence{0};
  std::atomic<std::uint64_t> waits{0};
  const std::uint64_t each = load.records / static_cast<std::uint64_t>(load.threads);
  const double cpu_before = cpu_seconds();
  const auto begin = Clock::now();
  in_threads(load.threads, [&](int thread) {
    std::vector<Call> calls;
    for (std::uint64_t i = 0; i < 4'096; ++i) calls.push_back(make_call(i));
    std::string id = calls[0].id;
    std::string text;
    for (std::uint64_t i = 0; i < each; ++i) {
      const Call& call = calls[i % calls.size()];
      number_id(id, static_cast<std::uint64_t>(thread) * each + i);
      build(call, id, sequence.fetch_add(1, std::memory_order_relaxed) + 1, text);
      while (!produce(client, topic, id, text)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        ++waits;
      }
    }
  });
  const int left = rd_kafka_flush(client, 120'000) == 0 ? 0 : 1;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  fmt::print(R"({{"records":{},"seconds":{:.3f},"cpu_seconds":{:.2f},"delivered":{},"waits":{},)"
             R"("left":{}}})"
             "\n",
             each * static_cast<std::uint64_t>(load.threads), seconds, cpu_seconds() - cpu_before,
             delivered.load(), waits.load(), left);
  stop = true;
  poller.join();
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(client);
  return good && left == 0 ? 0 : 1;
}

}  // namespace tally::bench
