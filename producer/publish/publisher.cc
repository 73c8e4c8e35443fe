#include "producer/publish/publisher.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/publish/record_reader.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace tally::producer::publish {
namespace {

using runtime::kafka::Delivery;
using runtime::kafka::Enqueued;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kStructured = "application/cloudevents+json";
constexpr std::uint64_t kReadsBetweenLooks = 256;
constexpr milliseconds kRoomWait{50};

class Publish {
 public:
  Publish(Input& input, Recipe& recipe, const PublishOptions& options)
      : options_(options),
        input_(input),
        recipe_(recipe),
        reader_(input, core::kMaxRecordBytes, options.csv_delimiter),
        progress_("publishing", input.size()) {
    input.keep_waiting([this] { return !options_.stopping(); });
  }
  core::Result<void> open();
  PublishAccount run();

 private:
  enum class Then { kGoOn, kStop };
  core::Result<void> read_header();
  Then read_one();
  Then take();
  Then refuse(const std::string& problem);
  Then stop_before(std::uint64_t line);
  Then send(const Message& message);
  void on_delivery(const Delivery& delivery);
  void drain();
  [[nodiscard]] std::string note() const;
  void close();

  const PublishOptions& options_;
  Input& input_;
  Recipe& recipe_;
  RecordReader reader_;
  Record record_;
  bool stopped_ = false;  // while the header was awaited
  runtime::terminal::Progress progress_;
  PublishAccount account_;
  std::atomic<std::uint64_t> delivered_{0};
  std::atomic<std::uint64_t> delivered_bytes_{0};
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> failed_;  // guarded by mutex_
  // Last: it calls back into what stands above until it is gone.
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

core::Result<void> Publish::read_header() {
  if (!recipe_.has_header()) return boost::outcome_v2::success();
  switch (reader_.next(record_)) {
    case Next::kRecord:
      return recipe_.header(record_.text);
    case Next::kStopped:
      stopped_ = true;
      return boost::outcome_v2::success();
    case Next::kNewFile:
    case Next::kEnd:
      return core::invalid("it is empty: its first row is to name the columns");
    case Next::kTooLong:
    case Next::kBroken:
      break;
  }
  return core::invalid("its first row, which is to name the columns, cannot be read");
}

core::Result<void> Publish::open() {
  const auto header = read_header();
  if (!header) return header;
  auto producer = runtime::kafka::Producer::open({
      .topic = options_.topic,
      .content_type = std::string(kStructured),
      .settings = options_.kafka,
      .reports = runtime::kafka::Reports::kEveryMessage,
      .on_delivery = [this](const Delivery& delivery) { on_delivery(delivery); },
  });
  if (!producer) return producer.error();
  producer_ = std::move(producer.value());
  return boost::outcome_v2::success();
}

void Publish::on_delivery(const Delivery& delivery) {
  if (delivery.delivered) {
    delivered_.fetch_add(1, std::memory_order_relaxed);
    delivered_bytes_.fetch_add(delivery.value_bytes, std::memory_order_relaxed);
    return;
  }
  const std::scoped_lock lock(mutex_);
  ++failed_[std::string(delivery.reason)];
}

std::string Publish::note() const {
  const std::uint64_t delivered = delivered_;
  std::string out = runtime::terminal::grouped(delivered) + " delivered";
  if (account_.refused > 0) out += fmt::format(", {} refused", account_.refused);
  // Said only while nothing moves: an old complaint says nothing once events are delivered.
  if (delivered == 0) {
    if (const auto problem = producer_->last_problem()) out += ", Kafka: " + *problem;
  }
  return out;
}

Publish::Then Publish::stop_before(std::uint64_t line) {
  account_.stopped_before_line = line;
  return Then::kStop;
}

Publish::Then Publish::refuse(const std::string& problem) {
  ++account_.refused;
  if (options_.on_refused) options_.on_refused(record_.line, problem);
  if (options_.on_bad_record == OnBadRecord::kGoOn) return Then::kGoOn;
  return stop_before(record_.next_line);
}

Publish::Then Publish::send(const Message& message) {
  for (;;) {
    switch (producer_->produce(message.key, message.value)) {
      case Enqueued::kQueued:
        return Then::kGoOn;
      case Enqueued::kTooLarge:
        return refuse("longer than the Kafka client's message.max.bytes: send less data");
      case Enqueued::kFatal: {
        const std::scoped_lock lock(mutex_);
        ++failed_["PRODUCER_ENDED"];
        return stop_before(record_.next_line);
      }
      case Enqueued::kQueueFull:
        producer_->wait_for_room(kRoomWait);
        progress_.update(input_.bytes_read(), delivered_, note());
        if (options_.stopping()) {
          // It was read but not queued: the next run begins with it.
          --account_.lines;
          return stop_before(record_.line);
        }
    }
  }
}

Publish::Then Publish::take() {
  Message message;
  ++account_.lines;
  const auto made = recipe_.make(record_, message);
  if (!made) return refuse(made.error().message);
  if (made.value() == Made::kMessage) return send(message);
  --account_.lines;
  ++account_.blank_lines;
  return Then::kGoOn;
}

Publish::Then Publish::read_one() {
  switch (reader_.next(record_)) {
    case Next::kRecord:
      return take();
    case Next::kTooLong:
      ++account_.lines;
      return refuse(fmt::format("longer than {} bytes: an event may have at most {} of data",
                                core::kMaxRecordBytes, core::kMaxDataBytes));
    case Next::kBroken:
      ++account_.lines;
      static_cast<void>(
          refuse(fmt::format("a quote is out of place or never closed, or the row is longer than "
                             "{} bytes: nothing tells where it ends, so what follows is not read",
                             core::kMaxRecordBytes)));
      return stop_before(record_.next_line);
    case Next::kNewFile:
    case Next::kEnd:
      break;
    case Next::kStopped:
      return stop_before(record_.next_line);
  }
  return Then::kStop;
}

void Publish::drain() {
  const auto until = Clock::now() + options_.drain_timeout;
  while (producer_->flush(milliseconds(100)) > 0 && Clock::now() < until) {
    progress_.update(input_.bytes_read(), delivered_, note());
  }
}

void Publish::close() {
  drain();
  progress_.finish(input_.bytes_read(), delivered_, note());
  // What is still outstanding is given up and called back as failed.
  producer_.reset();
  account_.delivered = delivered_;
  account_.delivered_bytes = delivered_bytes_;
  account_.failed_by_reason = failed_;
  for (const auto& [reason, count] : failed_) account_.failed += count;
  TALLY_CHECK(account_.lines == account_.delivered + account_.refused + account_.failed,
              "lines {} delivered {} refused {} failed {}", account_.lines, account_.delivered,
              account_.refused, account_.failed);
}

PublishAccount Publish::run() {
  const auto started = Clock::now();
  std::exception_ptr broken;
  try {
    if (stopped_) static_cast<void>(stop_before(1));
    std::uint64_t reads = 0;
    while (!stopped_ && read_one() == Then::kGoOn) {
      if (++reads % kReadsBetweenLooks != 0) continue;
      progress_.update(input_.bytes_read(), delivered_, note());
      if (options_.stopping()) {
        static_cast<void>(stop_before(record_.next_line));
        break;
      }
    }
  } catch (const std::exception&) {
    broken = std::current_exception();
  }
  close();
  if (broken) std::rethrow_exception(broken);
  account_.spent = Clock::now() - started;
  return std::move(account_);
}

}  // namespace

core::Result<PublishAccount> publish_records(Input& input, Recipe& recipe,
                                             const PublishOptions& options) {
  Publish publish(input, recipe, options);
  const auto opened = publish.open();
  if (!opened) return opened.error();
  return publish.run();
}

}  // namespace tally::producer::publish
