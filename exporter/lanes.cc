#include "exporter/lanes.h"

#include "core/check.h"

#include <exception>
#include <utility>

namespace tally::exporter {

ApiAnswer send_in_time(MeterEventApi& api, const Now& now, const Sending& sending) {
  // Nothing may come between this look at the clock and the send.
  if (now() <= sending.not_after) return api.send(sending.event);
  ApiAnswer answer;
  answer.reply = Reply::kTooLate;
  return answer;
}

ThreadLanes::ThreadLanes(std::size_t count, ApiFactory apis, Now now)
    : apis_(std::move(apis)), now_(std::move(now)) {
  TALLY_CHECK(count > 0);
  threads_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this] { carry(); });
}

ThreadLanes::~ThreadLanes() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    waiting_.clear();  // nobody is left to be told
  }
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadLanes::start(Sending sending) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(sending));
  }
  started_.notify_one();
}

std::optional<Answered> ThreadLanes::next(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  if (!answered_.wait_for(lock, time, [this] { return !done_.empty(); })) return std::nullopt;
  Answered answered = std::move(done_.front());
  done_.pop_front();
  return answered;
}

void ThreadLanes::carry() {
  std::unique_ptr<MeterEventApi> api;
  std::unique_lock lock(mutex_);
  while (true) {
    started_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    const Sending sending = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Answered answered{sending.tag, {}};
    bool may_have_gone = false;
    try {
      if (!api) api = apis_();
      may_have_gone = true;
      answered.answer = send_in_time(*api, now_, sending);
    } catch (const std::exception& failure) {
      answered.answer = {};
      answered.answer.reply = may_have_gone ? Reply::kNoAnswer : Reply::kNotSent;
      answered.answer.message = failure.what();
      api.reset();
    }
    lock.lock();
    done_.push_back(std::move(answered));
    answered_.notify_one();
  }
}

}  // namespace tally::exporter
