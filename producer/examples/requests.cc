// A service that records what each request used: example-requests BROKERS TOPIC REQUESTS
//
// Its threads never wait for the broker. When it ends it says what became of every event.
#include <tally/usage_client.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using namespace tally::producer;

// What a handler does when its request is done. A full queue drops the event and counts it: a
// service that would rather slow down calls wait_for_room() here.
void handled(UsageClient& client, const std::string& request_id, std::int64_t tokens) {
  const Receipt receipt = client.record("llm.completion", "tenant_42",
                                        {{"tokens", tokens},
                                         {"model", "small-2"},
                                         {"cost", Decimal{"0.00125"}},
                                         {"cached", tokens % 2 == 0}},
                                        {.id = request_id});
  if (!receipt) {
    std::fprintf(stderr, "%s: %.*s\n", request_id.c_str(), static_cast<int>(receipt.reason.size()),
                 receipt.reason.data());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "example-requests BROKERS TOPIC REQUESTS\n");
    return 2;
  }
  Opened opened = UsageClient::open({
      .brokers = argv[1],
      .topic = argv[2],
      .source = "/examples/requests",  // the service, never the host
      .level = Level::kMemory,
      .on_loss =
          [](const Outcome& lost) {
            std::fprintf(stderr, "lost %.*s: %.*s\n", static_cast<int>(lost.id.size()),
                         lost.id.data(), static_cast<int>(lost.reason.size()), lost.reason.data());
          },
  });
  if (!opened.client) {
    std::fprintf(stderr, "%s\n", opened.problem.c_str());
    return 1;
  }
  const long requests = std::strtol(argv[3], nullptr, 10);
  for (long i = 0; i < requests; ++i) {
    handled(*opened.client, "request-" + std::to_string(i), 100 + i);
  }
  // Before a service ends: what is on its way arrives, or the deadline says how much did not.
  const std::size_t left = opened.client->flush(std::chrono::seconds(30));
  const UsageCounts counts = opened.client->counts();
  std::printf("accepted %llu delivered %llu failed %llu dropped %llu left %zu\n",
              static_cast<unsigned long long>(counts.accepted),
              static_cast<unsigned long long>(counts.delivered),
              static_cast<unsigned long long>(counts.failed),
              static_cast<unsigned long long>(counts.dropped_full), left);
  return left == 0 && counts.failed == 0 ? 0 : 1;
}
