#include "producer/publish/publisher.h"

#include "core/check.h"
#include "core/limits.h"
#include "core/usage_event.h"
#include "producer/publish/line_reader.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
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
constexpr std::uint64_t kLinesBetweenLooks = 256;
constexpr milliseconds kRoomWait{50};

class Publish {
 public:
  Publish(int descriptor, std::uint64_t total_bytes, const PublishOptions& options)
      : options_(options),
        reader_(descriptor, core::kMaxRecordBytes, options.stopping),
        progress_("publishing", total_bytes) {}
  core::Result<void> open();
  PublishAccount run();

 private:
  enum class Next { kGoOn, kStop };
  Next read_one();
  Next take(std::string_view line);
  Next refuse(const std::string& problem);
  Next send(const core::UsageEvent& event, std::string_view line);
  void on_delivery(const Delivery& delivery);
  void drain();
  [[nodiscard]] std::string note() const;
  void close();

  const PublishOptions& options_;
  LineReader reader_;
  runtime::terminal::Progress progress_;
  PublishAccount account_;
  std::uint64_t line_number_ = 0;
  std::atomic<std::uint64_t> delivered_{0};
  std::atomic<std::uint64_t> delivered_bytes_{0};
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> failed_;  // guarded by mutex_
  // Last: it calls back into what stands above until it is gone.
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

core::Result<void> Publish::open() {
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

Publish::Next Publish::refuse(const std::string& problem) {
  ++account_.refused;
  if (options_.on_refused) options_.on_refused(line_number_, problem);
  if (options_.on_bad_line == OnBadLine::kGoOn) return Next::kGoOn;
  account_.stopped_before_line = line_number_ + 1;
  return Next::kStop;
}

Publish::Next Publish::send(const core::UsageEvent& event, std::string_view line) {
  for (;;) {
    switch (producer_->produce(event.id, line)) {
      case Enqueued::kQueued:
        return Next::kGoOn;
      case Enqueued::kTooLarge:
        return refuse("longer than the Kafka client's message.max.bytes: send less data");
      case Enqueued::kFatal: {
        const std::scoped_lock lock(mutex_);
        ++failed_["PRODUCER_ENDED"];
        account_.stopped_before_line = line_number_ + 1;
        return Next::kStop;
      }
      case Enqueued::kQueueFull:
        producer_->wait_for_room(kRoomWait);
        progress_.update(reader_.bytes_read(), delivered_, note());
        if (options_.stopping()) {
          // The line was read but not queued: the next run begins with it.
          --account_.lines;
          account_.stopped_before_line = line_number_;
          return Next::kStop;
        }
    }
  }
}

Publish::Next Publish::take(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.empty()) {
    ++account_.blank_lines;
    return Next::kGoOn;
  }
  ++account_.lines;
  const auto event = core::parse_structured(line);
  return event ? send(event.value(), line) : refuse(event.error().message);
}

Publish::Next Publish::read_one() {
  std::string_view line;
  switch (reader_.next(line)) {
    case ReadLine::kLine:
      ++line_number_;
      return take(line);
    case ReadLine::kTooLong:
      ++line_number_;
      ++account_.lines;
      return refuse(fmt::format("longer than {} bytes: an event may have at most {} of data",
                                core::kMaxRecordBytes, core::kMaxDataBytes));
    case ReadLine::kEnd:
      break;
    case ReadLine::kStopped:
      account_.stopped_before_line = line_number_ + 1;
      break;
  }
  return Next::kStop;
}

void Publish::drain() {
  const auto until = Clock::now() + options_.drain_timeout;
  while (producer_->flush(milliseconds(100)) > 0 && Clock::now() < until) {
    progress_.update(reader_.bytes_read(), delivered_, note());
  }
}

void Publish::close() {
  drain();
  progress_.finish(reader_.bytes_read(), delivered_, note());
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
    while (read_one() == Next::kGoOn) {
      if (line_number_ % kLinesBetweenLooks != 0) continue;
      progress_.update(reader_.bytes_read(), delivered_, note());
      if (options_.stopping()) {
        account_.stopped_before_line = line_number_ + 1;
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

core::Result<PublishAccount> publish_lines(int descriptor, std::uint64_t total_bytes,
                                           const PublishOptions& options) {
  Publish publish(descriptor, total_bytes, options);
  const auto opened = publish.open();
  if (!opened) return opened.error();
  return publish.run();
}

}  // namespace tally::producer::publish
