#include "producer/publish/publisher.h"

#include "core/check.h"
#include "core/limits.h"
#include "producer/publish/acked_prefix.h"
#include "producer/publish/record_reader.h"
#include "producer/publish/state_file.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
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
constexpr milliseconds kKeepInterval{250};  // between two writes of the state, each an fsync

class Publish {
 public:
  Publish(Input& input, Recipe& recipe, const PublishOptions& options)
      : options_(options),
        input_(input),
        recipe_(recipe),
        reader_(input, core::kMaxRecordBytes, options.csv_delimiter, options.last_line),
        // Who follows a file into a log wants no line every two seconds.
        quiet_(input.is_followed() && !runtime::terminal::stderr_is_terminal()),
        progress_("publishing", input.size()) {
    input.keep_waiting([this] {
      look();
      return !is_to_stop();
    });
    account_.followed = input.is_followed();
  }
  core::Result<void> open();
  PublishAccount run();

 private:
  enum class Then { kGoOn, kStop };
  core::Result<void> read_header();
  core::Result<void> lock_state();
  core::Result<void> go_on_from_state();
  Then read_one();
  Then begin_new_file();
  Then take();
  void tell_refused(const std::string& problem);
  Then refuse(const std::string& problem);
  Then stop_before(std::uint64_t line);
  void break_off(const std::system_error& error);
  void read_all();
  Then send(const Message& message);
  Then put_back();
  void on_delivery(const Delivery& delivery);
  void drain();
  [[nodiscard]] std::string note() const;
  [[nodiscard]] bool keeps_state() const { return !options_.state_file.empty(); }
  [[nodiscard]] bool is_to_stop() const;
  [[nodiscard]] Place behind() const { return {reader_.file(), record_.end, record_.next_line}; }
  void look();
  void keep_state();
  void tell(const std::string& sentence) const;
  void tell_troubles();
  void tell_standstill();
  void count_unopened();
  void close();

  const PublishOptions& options_;
  Input& input_;
  Recipe& recipe_;
  RecordReader reader_;
  Record record_;
  bool stopped_ = false;  // while the header was awaited
  bool quiet_;
  runtime::terminal::Progress progress_;
  PublishAccount account_;
  AckedPrefix prefix_;
  std::optional<StateLock> lock_;
  std::optional<State> kept_;  // what the state file says
  bool told_standstill_ = false;
  std::uint64_t last_delivered_ = 0;
  Clock::time_point moved_ = Clock::now();  // when delivered_ was seen to change
  Clock::time_point next_keep_ = Clock::now();
  std::uint64_t queued_ = 0;
  std::atomic<std::uint64_t> ended_{0};  // of those queued, that were called back
  std::atomic<std::uint64_t> delivered_{0};
  std::atomic<std::uint64_t> delivered_bytes_{0};
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> failed_;  // guarded by mutex_
  // Last: it calls back into what stands above until it is gone.
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

core::Result<void> Publish::read_header() {
  if (!recipe_.has_header()) return boost::outcome_v2::success();
  Next next = Next::kNewFile;
  // A log that was rotated before its header was written holds nothing.
  while (next == Next::kNewFile) next = reader_.next(record_);
  switch (next) {
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

core::Result<void> Publish::lock_state() {
  try {
    auto lock = StateLock::take(options_.state_file);
    if (!lock) return lock.error();
    lock_.emplace(std::move(lock.value()));
  } catch (const std::system_error& error) {
    return core::invalid(error.what());
  }
  return boost::outcome_v2::success();
}

core::Result<void> Publish::go_on_from_state() {
  if (keeps_state()) {
    if (!input_.has_places()) {
      return core::invalid("a state needs a file: a pipe has no place to go on at");
    }
    const auto locked = lock_state();
    if (!locked) return locked;
    auto kept = load_state(options_.state_file);
    if (!kept) return kept.error();
    kept_ = std::move(kept.value());
  }
  if (kept_) {
    if (kept_->topic != options_.topic) {
      return core::invalid(fmt::format("state {} is of topic {}, not {}: give each topic its own",
                                       options_.state_file, kept_->topic, options_.topic));
    }
    const auto found = input_.find(kept_->place);
    if (!found) return found;
    input_.look_on_at(kept_->left);
    reader_.go_on_at(0, 1);
  }
  const auto header = read_header();
  if (!header) return header;
  if (kept_) account_.resumed_at_line = kept_->place.line;
  if (kept_ && kept_->place.offset > record_.end) {
    input_.seek(kept_->place.offset);
    reader_.go_on_at(kept_->place.offset, kept_->place.line);
    record_.end = kept_->place.offset;
    record_.next_line = kept_->place.line;
  }
  prefix_.begin(behind());
  return boost::outcome_v2::success();
}

core::Result<void> Publish::open() {
  const auto placed = go_on_from_state();
  if (!placed) return placed;
  auto producer = runtime::kafka::Producer::open({
      .topic = options_.topic,
      .content_type = std::string(kStructured),
      .settings = options_.kafka,
      .reports = runtime::kafka::Reports::kEveryMessage,
      .on_delivery = [this](const Delivery& delivery) { on_delivery(delivery); },
  });
  if (!producer) return producer.error();
  producer_ = std::move(producer.value());
  try {
    // A state that cannot be kept is told before there is something to keep.
    if (keeps_state() && !stopped_) keep_state();
  } catch (const std::system_error& error) {
    return core::invalid(error.what());
  }
  tell_troubles();
  return boost::outcome_v2::success();
}

void Publish::on_delivery(const Delivery& delivery) {
  ended_.fetch_add(1, std::memory_order_relaxed);
  if (delivery.delivered) {
    prefix_.delivered(delivery.tag);
    delivered_.fetch_add(1, std::memory_order_relaxed);
    delivered_bytes_.fetch_add(delivery.value_bytes, std::memory_order_relaxed);
    return;
  }
  prefix_.failed();
  const std::scoped_lock lock(mutex_);
  ++failed_[std::string(delivery.reason)];
}

bool Publish::is_to_stop() const {
  return options_.stopping() || (keeps_state() && prefix_.has_failed());
}

void Publish::look() {
  input_.watch();
  tell_troubles();
  if (!producer_) return;  // the header is awaited
  tell_standstill();
  if (!quiet_) progress_.update(input_.bytes_read(), delivered_, note());
  if (!keeps_state() || Clock::now() < next_keep_) return;
  keep_state();
  next_keep_ = Clock::now() + kKeepInterval;
}

void Publish::tell(const std::string& sentence) const {
  if (options_.on_trouble) options_.on_trouble(sentence);
}

void Publish::tell_standstill() {
  const std::uint64_t delivered = delivered_;
  const bool moved = delivered != last_delivered_;
  if (moved || producer_->outstanding() == 0) {
    if (moved && std::exchange(told_standstill_, false)) tell("events are delivered again");
    last_delivered_ = delivered;
    moved_ = Clock::now();
    return;
  }
  if (told_standstill_ || Clock::now() - moved_ < options_.standstill) return;
  told_standstill_ = true;
  tell(fmt::format("no event was delivered for {} s; Kafka: {}", options_.standstill.count() / 1000,
                   producer_->last_problem().value_or("no answer")));
}

void Publish::tell_troubles() {
  account_.late_bytes = input_.late_bytes();
  while (const auto trouble = input_.take_trouble()) tell(*trouble);
}

// A state goes on before them; without one nobody comes back.
void Publish::count_unopened() {
  const std::uint64_t bytes = input_.unopened_bytes();
  if (bytes == 0) return;
  if (!keeps_state()) {
    account_.late_bytes += bytes;
    return;
  }
  tell(fmt::format("{} bytes are left to the next run, of what could not be opened and follows it",
                   bytes));
}

void Publish::keep_state() {
  const Place place = prefix_.acked();
  State now{options_.topic, place_in(*place.file, place.offset, place.line),
            input_.left_before(place.file->inode)};
  if (kept_ == now) return;
  store_state(options_.state_file, now);
  kept_ = std::move(now);
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

void Publish::tell_refused(const std::string& problem) {
  ++account_.refused;
  if (options_.on_refused) options_.on_refused(record_.line, problem);
}

Publish::Then Publish::refuse(const std::string& problem) {
  tell_refused(problem);
  if (options_.on_bad_record == OnBadRecord::kGoOn) {
    prefix_.passed(behind());
    return Then::kGoOn;
  }
  return stop_before(record_.next_line);
}

// The record at hand was read but not queued: the next run begins with it.
Publish::Then Publish::put_back() {
  --account_.lines;
  return stop_before(record_.line);
}

Publish::Then Publish::send(const Message& message) {
  for (;;) {
    // Before it is offered: its end may come at once.
    if (prefix_.has_room()) {
      const std::uint64_t tag = prefix_.sent(behind());
      const Enqueued taken = producer_->produce(message.key, message.value, tag);
      if (taken == Enqueued::kQueued) {
        ++queued_;
        return Then::kGoOn;
      }
      prefix_.withdrawn();
      if (taken == Enqueued::kTooLarge) {
        return refuse("longer than the Kafka client's message.max.bytes: send less data");
      }
      if (taken == Enqueued::kFatal) {
        const std::scoped_lock lock(mutex_);
        ++failed_["PRODUCER_ENDED"];
        return stop_before(record_.next_line);
      }
    }
    producer_->wait_for_room(kRoomWait);
    try {
      look();
    } catch (const std::system_error&) {
      static_cast<void>(put_back());
      throw;
    }
    if (is_to_stop()) return put_back();
  }
}

Publish::Then Publish::take() {
  Message message;
  ++account_.lines;
  const auto made = recipe_.make(record_, message);
  if (!made) return refuse(made.error().message);
  if (made.value() == Made::kMessage) return send(message);
  if (made.value() == Made::kUnmatched) {
    ++account_.not_sent;
  } else {
    --account_.lines;
    ++account_.blank_lines;
  }
  prefix_.passed(behind());
  return Then::kGoOn;
}

Publish::Then Publish::begin_new_file() {
  const auto header = read_header();
  if (!header) {
    ++account_.lines;
    tell_refused(header.error().message);
    return stop_before(1);
  }
  if (stopped_) return stop_before(1);
  prefix_.passed(behind());
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
      tell_refused(
          fmt::format("a quote is out of place or never closed, or the row is longer than "
                      "{} bytes: nothing tells where it ends, so what follows is not read",
                      core::kMaxRecordBytes));
      return stop_before(record_.next_line);
    case Next::kNewFile:
      return begin_new_file();
    case Next::kEnd:
      account_.left_bytes = reader_.left_bytes();
      break;
    case Next::kStopped:
      return stop_before(record_.next_line);
  }
  return Then::kStop;
}

void Publish::drain() {
  const auto until = Clock::now() + options_.drain_timeout;
  while (producer_->flush(milliseconds(100)) > 0 && Clock::now() < until) {
    if (!quiet_) progress_.update(input_.bytes_read(), delivered_, note());
  }
}

void Publish::close() {
  drain();
  if (!quiet_) progress_.finish(input_.bytes_read(), delivered_, note());
  const auto ended = producer_->fatal_error();
  const auto problem = ended ? ended : producer_->last_problem();
  // What is still outstanding is given up and called back as failed.
  producer_.reset();
  tell_troubles();
  count_unopened();
  account_.delivered = delivered_;
  account_.delivered_bytes = delivered_bytes_;
  account_.failed_by_reason = failed_;
  for (const auto& [reason, count] : failed_) account_.failed += count;
  count_untold(account_, queued_ - ended_);
  if (account_.failed > 0) account_.kafka_problem = problem.value_or("");
  TALLY_CHECK(
      account_.lines == account_.delivered + account_.refused + account_.failed + account_.not_sent,
      "lines {} delivered {} refused {} failed {} not sent {}", account_.lines, account_.delivered,
      account_.refused, account_.failed, account_.not_sent);
}

void Publish::break_off(const std::system_error& error) {
  account_.broken_by = error.what();
  if (!account_.stopped_before_line) static_cast<void>(stop_before(record_.next_line));
}

void Publish::read_all() {
  if (stopped_) {
    static_cast<void>(stop_before(1));
    return;
  }
  std::uint64_t reads = 0;
  while (read_one() == Then::kGoOn) {
    if (++reads % kReadsBetweenLooks != 0) continue;
    look();
    if (is_to_stop()) {
      static_cast<void>(stop_before(record_.next_line));
      return;
    }
  }
}

PublishAccount Publish::run() {
  const auto started = Clock::now();
  try {
    read_all();
  } catch (const std::system_error& error) {
    break_off(error);
  }
  close();
  try {
    if (keeps_state() && !stopped_) keep_state();
  } catch (const std::system_error& error) {
    break_off(error);
  }
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
