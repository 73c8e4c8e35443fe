// A handler that answers only when the broker has its event: example-coroutine BROKERS TOPIC
//
// Level kAcked: each event's end comes through a coroutine, a future or the callback.
#include <tally/usage_client.h>

#include <chrono>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <future>
#include <utility>

namespace {

using namespace tally::producer;

// The least that a coroutine needs; a service has its framework's.
struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// After co_await it runs on a thread of the client: it only passes the end on.
Task handle(UsageClient& client, std::promise<Ended>& answer) {
  Pending pending = client.record_awaitable("api.request", "tenant_42", {{"calls", 1}},
                                            {.id = "from-a-coroutine"});
  answer.set_value(co_await std::move(pending));
}

bool tell(const char* what, const Ended& ended) {
  std::printf("%s: %s %s\n", what, ended.id.c_str(),
              ended.kept ? "is on every in-sync replica" : ended.reason.c_str());
  return ended.kept;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "example-coroutine BROKERS TOPIC\n");
    return 2;
  }
  Opened opened = UsageClient::open({.brokers = argv[1],
                                     .topic = argv[2],
                                     .source = "/examples/coroutine",
                                     .level = Level::kAcked,
                                     .delivery_timeout = std::chrono::seconds(30)});
  if (!opened.client) {
    std::fprintf(stderr, "%s\n", opened.problem.c_str());
    return 1;
  }
  std::promise<Ended> answer;
  handle(*opened.client, answer);
  const bool first = tell("coroutine", answer.get_future().get());
  const bool second = tell("future", opened.client
                                         ->record_future("api.request", "tenant_42", {{"calls", 1}},
                                                         {.id = "from-a-future"})
                                         .get());
  return first && second ? 0 : 1;
}
