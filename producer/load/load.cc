#include "producer/load/load.h"

#include "producer/load/dispatch.h"
#include "runtime/lifecycle/open_files.h"
#include "runtime/terminal/progress.h"

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace tally::producer::load {
namespace {

using runtime::terminal::grouped;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr milliseconds kLook{50};  // for a stop, or that all senders are done
constexpr milliseconds kShowEvery{1'000};
constexpr milliseconds kLead{10};  // before the first event is due: threads are started

std::string note(const Moment& moment) {
  std::string out =
      fmt::format("{} acked, {} in flight, p99 {} ms, {} errors", grouped(moment.acked),
                  grouped(moment.in_flight), in_ms(moment.p99), grouped(moment.errors));
  if (moment.behind > 0) out += fmt::format(", {} behind", grouped(moment.behind));
  return out;
}

// Of one connection: its socket, its poller's three, and two while a name is looked up.
constexpr std::size_t kDescriptorsEach = 6;
constexpr std::size_t kOtherDescriptors = 64;

core::Result<void> make_room_for(std::size_t connections) {
  const std::size_t most = runtime::lifecycle::raise_open_files();
  const std::size_t needed = connections * kDescriptorsEach + kOtherDescriptors;
  if (most >= needed) return boost::outcome_v2::success();
  return core::invalid(
      fmt::format("connections is {}, which takes {} open files, and the process may have {}: give "
                  "fewer, or raise the limit (ulimit -n)",
                  connections, needed, most));
}

core::Result<std::vector<std::unique_ptr<Sender>>> open_senders(const LoadOptions& options,
                                                                const EventStream& stream,
                                                                Dispatch& dispatch) {
  std::vector<std::unique_ptr<Sender>> senders;
  const std::size_t wanted = options.http ? options.connections : 1;
  while (senders.size() < wanted) {
    auto sender = options.http ? http_sender(*options.http, stream, dispatch)
                               : kafka_sender(options.kafka, stream, dispatch);
    if (!sender) return sender.error();
    senders.push_back(std::move(sender.value()));
  }
  return senders;
}

// Shows how it goes until the last sender is done; a stop ends what is due.
void watch(Dispatch& dispatch, const std::atomic<std::size_t>& running, std::uint64_t events,
           const runtime::lifecycle::StopSignal& stop) {
  runtime::terminal::Progress progress("load", events);
  const auto show = [&](auto draw) {
    const Moment moment = dispatch.moment();
    (progress.*draw)(moment.due, moment.acked, note(moment));
  };
  TimePoint next = Clock::now() + kShowEvery;
  while (running > 0) {
    if (!dispatch.closed() && stop.requested()) dispatch.stop();
    if (Clock::now() >= next) {
      show(&runtime::terminal::Progress::update);
      next += kShowEvery;
    }
    if (dispatch.closed()) {
      std::this_thread::sleep_for(kLook);  // the signal no longer makes anybody wait
    } else {
      (void)stop.wait_for(kLook);
    }
  }
  show(&runtime::terminal::Progress::finish);
}

}  // namespace

core::Result<LoadAccount> run_load(const LoadOptions& options,
                                   const runtime::lifecycle::StopSignal& stop) {
  const auto stream = EventStream::make(options.stream);
  if (!stream) return stream.error();
  if (options.http) {
    if (const auto room = make_room_for(options.connections); !room) return room.error();
  }
  Dispatch dispatch(Timetable(options.rate), options.events, options.again);
  // However long that takes, nothing is due meanwhile.
  auto senders = open_senders(options, stream.value(), dispatch);
  if (!senders) return senders.error();

  const TimePoint begun = Clock::now() + kLead;
  dispatch.start(begun);
  std::atomic<std::size_t> running = senders.value().size();
  std::vector<std::thread> threads;
  threads.reserve(running);
  for (auto& sender : senders.value()) {
    threads.emplace_back([&sender, &running] {
      sender->run();
      --running;
    });
  }
  watch(dispatch, running, options.events, stop);
  for (std::thread& thread : threads) thread.join();
  LoadAccount account = dispatch.finish();
  account.spent = duration_cast<microseconds>(Clock::now() - begun);
  account.copies = stream.value().copies(account.due);
  account.seed = options.stream.seed;
  account.rate = options.rate;
  return account;
}

}  // namespace tally::producer::load
