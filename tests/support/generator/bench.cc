#include "tests/support/generator/bench.h"

#include "runtime/kafka/producer.h"
#include "runtime/kafka/topic.h"
#include "runtime/terminal/progress.h"
#include "tests/support/generator/pacer.h"
#include "tests/support/generator/publications.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tally::generator {
namespace {

using runtime::kafka::Enqueued;
using std::chrono::milliseconds;

constexpr std::int64_t kBlock = 4'096;  // records that one thread makes at a time
constexpr milliseconds kPatience{120'000};
constexpr milliseconds kAdminTimeout{10'000};
constexpr milliseconds kHeadStart{1'000};  // the timetable begins when the producer is connected

class Bench {
 public:
  Bench(const BenchOptions& options, const BenchTarget& target)
      : options_(options), target_(target), stream_(options) {}
  BenchSums run();

 private:
  void open();
  void delivered(const runtime::kafka::Delivery& delivery);
  void work();
  bool send_block(std::int64_t first, BenchRecord& record, BenchSums& sums);
  void write_pace() const;
  void fail(const std::string& why);
  void show_until_done();

  const BenchOptions& options_;
  const BenchTarget& target_;
  BenchStream stream_;
  std::optional<Pacer> pacer_;                // with a rate
  std::optional<Publications> publications_;  // with a rate; used by the producer's thread
  std::unique_ptr<runtime::kafka::Producer> producer_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> written_{0};
  std::atomic<int> working_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::string why_;                  // guarded by mutex_
  BenchSums sums_;                   // guarded by mutex_
  Pacer::Clock::duration behind_{};  // guarded by mutex_; the latest that a record was produced
};

void Bench::fail(const std::string& why) {
  const std::scoped_lock lock(mutex_);
  if (why_.empty()) why_ = why;
  failed_ = true;
}

void Bench::delivered(const runtime::kafka::Delivery& delivery) {
  if (!delivery.delivered) {
    fail(fmt::format("a record was not taken: {}", delivery.detail));
  } else if (pacer_) {
    const auto number = static_cast<std::int64_t>(delivery.tag);
    publications_->note(number, delivery.partition, delivery.offset, pacer_->due(number),
                        Pacer::Clock::now());
  }
}

void Bench::open() {
  auto admin = runtime::kafka::Admin::open({{"bootstrap.servers", target_.brokers}});
  if (!admin) throw std::runtime_error(admin.error().message);
  const auto partitions = admin.value()->partition_count(target_.topic, kAdminTimeout);
  if (!partitions) throw std::runtime_error(partitions.error().message);
  auto producer = runtime::kafka::Producer::open({
      .topic = target_.topic,
      .content_type = "",
      .settings = {{"bootstrap.servers", target_.brokers},
                   {"linger.ms", target_.rate > 0 ? "5" : "20"},
                   {"message.timeout.ms", "120000"}},
      .reports = target_.rate > 0 ? runtime::kafka::Reports::kEveryMessage
                                  : runtime::kafka::Reports::kFailuresOnly,
      .on_delivery = [this](const runtime::kafka::Delivery& delivery) { delivered(delivery); },
  });
  if (!producer) throw std::runtime_error(producer.error().message);
  producer_ = std::move(producer.value());
}

bool Bench::send_block(std::int64_t first, BenchRecord& record, BenchSums& sums) {
  const std::int64_t end = std::min(first + kBlock, options_.records);
  Pacer::Clock::duration behind{};
  for (std::int64_t number = first; number < end; ++number) {
    stream_.make(number, record, sums);
    if (pacer_) behind = std::max(behind, pacer_->await(number));
    for (;;) {
      const Enqueued enqueued =
          producer_->produce(record.id, record.text, static_cast<std::uint64_t>(number));
      if (enqueued == Enqueued::kQueued) break;
      if (enqueued != Enqueued::kQueueFull) {
        fail(producer_->fatal_error().value_or("a record is longer than message.max.bytes"));
        return false;
      }
      if (failed_) return false;
      producer_->wait_for_room(milliseconds(5));
    }
  }
  written_ += end - first;
  const std::scoped_lock lock(mutex_);
  behind_ = std::max(behind_, behind);
  return true;
}

void Bench::work() {
  BenchRecord record;
  BenchSums sums;
  for (;;) {
    const std::int64_t first = next_.fetch_add(kBlock);
    if (first >= options_.records || failed_ || !send_block(first, record, sums)) break;
  }
  const std::scoped_lock lock(mutex_);
  sums_.add(sums);
  --working_;
}

void Bench::show_until_done() {
  runtime::terminal::Progress progress("writing", static_cast<std::uint64_t>(options_.records));
  const auto show = [&](bool last) {
    const auto left = static_cast<std::int64_t>(producer_->outstanding());
    const auto done = static_cast<std::uint64_t>(std::max<std::int64_t>(0, written_ - left));
    const std::string note = runtime::terminal::grouped(done) + " records";
    last ? progress.finish(done, done, note) : progress.update(done, done, note);
  };
  while (working_ > 0) {
    producer_->wait_for_room(milliseconds(100));
    show(false);
  }
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!failed_ && producer_->flush(milliseconds(100)) > 0) {
    show(false);
    if (std::chrono::steady_clock::now() > until) {
      fail(fmt::format("{} records were still not taken by the broker after {} s",
                       producer_->outstanding(), kPatience.count() / 1'000));
    }
  }
  show(true);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be written", path.string()));
}

void write_json(const std::filesystem::path& path, const nlohmann::ordered_json& json) {
  write_text(path, json.dump(1) + '\n');
}

void Bench::write_pace() const {
  using Seconds = std::chrono::duration<double>;
  publications_->write(target_.out / "published.csv");
  write_json(target_.out / "pace.json",
             {{"rate_per_second", target_.rate},
              {"records", options_.records},
              {"seconds", Seconds(publications_->last_acked() - pacer_->start()).count()},
              {"behind_max_ms", Seconds(behind_).count() * 1e3},
              {"sampled_every", target_.sample}});
}

BenchSums Bench::run() {
  std::filesystem::create_directories(target_.out);
  write_json(target_.out / "bench-catalogue.json", stream_.catalogue());
  open();
  if (target_.rate > 0) {
    publications_.emplace(target_.sample, options_.records);
    pacer_.emplace(target_.rate, Pacer::Clock::now() + kHeadStart);
  }
  std::vector<std::thread> threads;
  working_ = target_.threads;
  for (int i = 0; i < target_.threads; ++i) threads.emplace_back([this] { work(); });
  show_until_done();
  for (std::thread& thread : threads) thread.join();
  if (failed_) throw std::runtime_error(why_);
  write_json(target_.out / "expected.json", stream_.expected(sums_));
  write_text(target_.out / "expected_windows.csv", stream_.expected_windows(sums_));
  producer_.reset();  // its thread notes no more
  if (pacer_) write_pace();
  return sums_;
}

}  // namespace

BenchSums write_bench(const BenchOptions& options, const BenchTarget& target) {
  return Bench(options, target).run();
}

}  // namespace tally::generator
