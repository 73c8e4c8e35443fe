// The spool's figures, run by spool.sh: how fast events are kept, how long one waits for its fsync
// at a steady rate, and how fast a full spool is emptied into Kafka beside a bare librdkafka
// producer that sends the same messages with the same settings from memory.
#include "core/check.h"
#include "producer/spool/posix_files.h"
#include "producer/spool/spooled_sink.h"
#include "runtime/config/settings.h"
#include "runtime/kafka/topic.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace tally;
using namespace tally::producer;
using runtime::config::Kind;
using runtime::config::Option;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr double kSpooledBar = 200'000;
constexpr double kReplayBar = 0.7;
constexpr milliseconds kLong{600'000};
constexpr std::uint64_t kSpoolBytes = 64ULL << 30U;
constexpr const char* kContentType = "application/cloudevents+json";
constexpr int kPartitions = 12;

constexpr std::array kOptions = {
    Option{.name = "dir", .sentence = "A folder on the disk to be measured.", .required = true},
    Option{.name = "brokers", .sentence = "A Kafka to replay into.", .required = true},
    Option{"records", Kind::kInteger, "2000000", "Of one measurement.", 10'000, 100'000'000},
    Option{"rounds", Kind::kInteger, "3", "Of each; the median counts.", 1, 99},
    Option{.name = "json", .sentence = "Where the figures go.", .required = true},
};
constexpr std::array kCommands = {
    runtime::config::Command{"",
                             "Measures the producer's disk spool.",
                             kOptions,
                             {},
                             "spool_bench --dir /tmp/spool --brokers h:9092 --json spool.json"},
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// About 300 bytes, as a service would send.
std::string key_of(std::size_t i) { return fmt::format("019ab0c4-1f2e-7abc-8def-{:012x}", i); }

std::string value_of(std::size_t i, const std::string& key) {
  return fmt::format(
      R"({{"specversion":"1.0","id":"{}","source":"/gateway/eu-west","type":"llm.completion",)"
      R"("subject":"tenant_{:05}","time":"2026-11-22T04:{:02}:{:02}.123456Z",)"
      R"("datacontenttype":"application/json","data":{{"tokens":{},"model":"large-{}",)"
      R"("region":"eu-west-1"}}}})",
      key, i % 10'000, i / 60 % 60, i % 60, i % 4'000, i % 14);
}

struct Messages {
  explicit Messages(std::size_t count) {
    keys.reserve(count);
    values.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      keys.push_back(key_of(i));
      values.push_back(value_of(i, keys.back()));
    }
  }
  std::vector<std::string> keys;
  std::vector<std::string> values;
};

std::unique_ptr<spool::Spool> open_spool(const std::filesystem::path& path,
                                         EventSink::OnOutcome on_outcome) {
  auto folder = spool::open_folder(path);
  TALLY_CHECK(folder, "{}", folder.error().message);
  spool::SpoolOptions options;
  options.limits.max_bytes = kSpoolBytes;
  options.on_outcome = std::move(on_outcome);
  auto opened = spool::Spool::open(std::move(folder.value()), std::move(options));
  TALLY_CHECK(opened, "{}", opened.error().message);
  return std::move(opened.value());
}

// As fast as it goes: kept events/s, from `threads` threads that try again when there is no room.
double keep_all(const std::filesystem::path& path, const Messages& messages, std::size_t threads) {
  std::atomic<std::size_t> kept{0};
  auto spool = open_spool(path, [&](const SinkOutcome& outcome) {
    if (outcome.kept) kept.fetch_add(1, std::memory_order_relaxed);
  });
  const auto start = Clock::now();
  std::vector<std::thread> callers;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    callers.emplace_back([&, thread] {
      for (std::size_t i = thread; i < messages.keys.size(); i += threads) {
        while (spool->offer({messages.keys[i], messages.values[i], i}) == Offered::kFull) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  TALLY_CHECK(spool->flush(kLong));
  const double spent = seconds_since(start);
  TALLY_CHECK(kept == messages.keys.size(), "{} of {} were kept", kept.load(),
              messages.keys.size());
  return static_cast<double>(kept) / spent;
}

struct Waits {
  double p50_ms = 0;
  double p99_ms = 0;
  double rate = 0;
};

// From offer to outcome at 200,000 events/s.
Waits wait_at_rate(const std::filesystem::path& path, const Messages& messages) {
  const std::size_t count = messages.keys.size();
  std::vector<Clock::time_point> offered(count);
  std::vector<float> waits(count);
  auto spool = open_spool(path, [&](const SinkOutcome& outcome) {
    TALLY_CHECK(outcome.kept);
    waits[outcome.tag] =
        std::chrono::duration<float, std::milli>(Clock::now() - offered[outcome.tag]).count();
  });
  const auto start = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    const auto due = start + std::chrono::nanoseconds(i * 5'000);
    while (Clock::now() < due) {
    }
    offered[i] = Clock::now();
    while (spool->offer({messages.keys[i], messages.values[i], i}) == Offered::kFull) {
    }
  }
  TALLY_CHECK(spool->flush(kLong));
  const double spent = seconds_since(start);
  std::sort(waits.begin(), waits.end());
  return {waits[count / 2], waits[count * 99 / 100], static_cast<double>(count) / spent};
}

class Topics {
 public:
  explicit Topics(const std::string& brokers) {
    auto admin = runtime::kafka::Admin::open({{"bootstrap.servers", brokers}});
    TALLY_CHECK(admin, "{}", admin.error().message);
    admin_ = std::move(admin.value());
  }
  // A new one each time, so that no round meets what another left; the one before goes.
  std::string next() {
    const milliseconds time{20'000};
    if (!name_.empty()) static_cast<void>(admin_->delete_topic(name_, time));
    name_ = fmt::format("spool.bench.{}", ++number_);
    const auto made = admin_->create_topic(
        {.name = name_, .partitions = kPartitions, .replication = 1, .settings = {}}, time);
    TALLY_CHECK(made, "{}", made.error().message);
    while (true) {
      const auto seen = admin_->partition_count(name_, time);
      if (seen && seen.value() == kPartitions) return name_;
    }
  }

 private:
  std::unique_ptr<runtime::kafka::Admin> admin_;
  std::string name_;
  int number_ = 0;
};

double replay(const std::filesystem::path& path, const std::string& brokers,
              const std::string& topic, const Messages& messages) {
  keep_all(path, messages, 1);
  const auto start = Clock::now();
  auto sink = spool::SpooledSink::open({.folder = path,
                                        .max_bytes = kSpoolBytes,
                                        .topic = topic,
                                        .kafka = {{"bootstrap.servers", brokers}}});
  TALLY_CHECK(sink, "{}", sink.error().message);
  TALLY_CHECK(sink.value()->drain(kLong), "{}", sink.value()->problem().value_or("too slow"));
  const double spent = seconds_since(start);
  const auto counts = sink.value()->counts();
  TALLY_CHECK(counts.relay.delivered == messages.keys.size(), "{} delivered",
              counts.relay.delivered);
  return static_cast<double>(messages.keys.size()) / spent;
}

struct BareCounts {
  std::size_t delivered = 0;
  std::size_t failed = 0;
};

void count_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* counts = static_cast<BareCounts*>(opaque);
  message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? ++counts->delivered : ++counts->failed;
}

// false: the queue is full.
bool produce_bare(rd_kafka_t* client, rd_kafka_topic_t* topic, const std::string& key,
                  const std::string& value) {
  std::array<rd_kafka_vu_t, 5> fields{};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = topic;
  fields[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[1].u.i = RD_KAFKA_MSG_F_COPY;
  fields[2].vtype = RD_KAFKA_VTYPE_KEY;
  fields[2].u.mem = {const_cast<char*>(key.data()), key.size()};
  fields[3].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[3].u.mem = {const_cast<char*>(value.data()), value.size()};
  fields[4].vtype = RD_KAFKA_VTYPE_HEADER;
  fields[4].u.header = {"content-type", kContentType, -1};
  rd_kafka_error_t* error = rd_kafka_produceva(client, fields.data(), fields.size());
  if (error == nullptr) return true;
  const auto code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  TALLY_CHECK(code == RD_KAFKA_RESP_ERR__QUEUE_FULL, "{}", rd_kafka_err2str(code));
  return false;
}

// The settings are those of runtime/kafka/producer.cc and the relay's queue.
double bare(const std::string& brokers, const std::string& topic, const Messages& messages) {
  BareCounts counts;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const std::array<std::array<const char*, 2>, 11> settings = {{
      {"bootstrap.servers", brokers.c_str()},
      {"acks", "all"},
      {"enable.idempotence", "true"},
      {"partitioner", "murmur2_random"},
      {"compression.type", "lz4"},
      {"linger.ms", "10"},
      {"batch.size", "1000000"},
      {"batch.num.messages", "10000"},
      {"queue.buffering.max.messages", "500000"},
      {"queue.buffering.max.kbytes", "65536"},
      {"message.max.bytes", "1048576"},
  }};
  std::array<char, 512> why{};
  for (const auto& [name, value] : settings) {
    TALLY_CHECK(rd_kafka_conf_set(conf, name, value, why.data(), why.size()) == RD_KAFKA_CONF_OK,
                "{}", why.data());
  }
  rd_kafka_conf_set_opaque(conf, &counts);
  rd_kafka_conf_set_dr_msg_cb(conf, count_report);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why.data(), why.size());
  TALLY_CHECK(client != nullptr, "{}", why.data());
  rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
  const auto start = Clock::now();
  for (std::size_t i = 0; i < messages.keys.size(); ++i) {
    while (!produce_bare(client, handle, messages.keys[i], messages.values[i])) {
      rd_kafka_poll(client, 50);
    }
    if (i % 512 == 0) rd_kafka_poll(client, 0);
  }
  rd_kafka_flush(client, static_cast<int>(kLong.count()));
  const double spent = seconds_since(start);
  rd_kafka_topic_destroy(handle);
  rd_kafka_destroy(client);
  TALLY_CHECK(counts.delivered == messages.keys.size(), "{} delivered, {} failed", counts.delivered,
              counts.failed);
  return static_cast<double>(counts.delivered) / spent;
}

int run(const runtime::config::Settings& settings) {
  const std::filesystem::path root = settings.text("dir");
  const std::string brokers = settings.text("brokers");
  const auto count = static_cast<std::size_t>(settings.integer("records"));
  const auto rounds = settings.integer("rounds");
  const Messages messages(count);
  std::size_t bytes = 0;
  for (const std::string& value : messages.values) bytes += value.size();
  fmt::print("{} events, values of {} bytes\n", count, bytes / count);
  int folder = 0;
  const auto fresh = [&] {
    std::filesystem::remove_all(root / std::to_string(folder));
    return root / std::to_string(++folder);
  };
  Topics topics(brokers);
  std::vector<double> kept;
  std::vector<double> kept_by_four;
  std::vector<double> replayed;
  std::vector<double> bared;
  std::vector<double> ratios;
  for (std::int64_t round = 0; round < rounds; ++round) {
    kept.push_back(keep_all(fresh(), messages, 1));
    kept_by_four.push_back(keep_all(fresh(), messages, 4));
    bared.push_back(bare(brokers, topics.next(), messages));
    replayed.push_back(replay(fresh(), brokers, topics.next(), messages));
    ratios.push_back(replayed.back() / bared.back());
    fmt::print("round {}: kept {:.0f}/s (1 thread) {:.0f}/s (4), bare {:.0f}/s, replay {:.0f}/s\n",
               round + 1, kept.back(), kept_by_four.back(), bared.back(), replayed.back());
    std::fflush(stdout);
  }
  const Waits waits = wait_at_rate(fresh(), messages);
  std::filesystem::remove_all(root / std::to_string(folder));
  const double slower = std::min(median(kept), median(kept_by_four));
  const double ratio = median(ratios);
  const bool held = slower >= kSpooledBar && ratio >= kReplayBar;
  fmt::print("spooled: {:.0f} events/s from 1 thread, {:.0f} from 4; the bar is {:.0f}\n",
             median(kept), median(kept_by_four), kSpooledBar);
  fmt::print("offer to fsynced at {:.0f} events/s: median {:.2f} ms, p99 {:.2f} ms\n", waits.rate,
             waits.p50_ms, waits.p99_ms);
  fmt::print("replay: {:.0f} events/s, the bare producer {:.0f}: {:.3f} of it; the bar is {}\n",
             median(replayed), median(bared), ratio, kReplayBar);
  std::FILE* json = std::fopen(settings.text("json").c_str(), "w");
  TALLY_CHECK(json != nullptr, "{} cannot be written", settings.text("json"));
  fmt::print(json,
             R"({{"kept_per_s":{:.0f},"kept_per_s_4_threads":{:.0f},"wait_ms_p50":{:.3f},)"
             R"("wait_ms_p99":{:.3f},"bare_per_s":{:.0f},"replay_per_s":{:.0f},"ratio":{:.4f},)"
             R"("held":{}}})"
             "\n",
             median(kept), median(kept_by_four), waits.p50_ms, waits.p99_ms, median(bared),
             median(replayed), ratio, held);
  std::fclose(json);
  fmt::print("bench spool: {}\n", held ? "both bars are met." : "a bar is MISSED.");
  return held ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = runtime::config::parse("spool_bench", "Measures the producer's disk spool.",
                                             kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    return run(*parsed.settings);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "spool_bench: {}\n", failure.what());
    return 1;
  }
}
