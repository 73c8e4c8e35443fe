#include "tests/support/sandbox/courier.h"

#include "runtime/http/client.h"
#include "runtime/log/log.h"

#include <map>
#include <thread>
#include <vector>

namespace tally::sandbox {

namespace http = runtime::http;

struct Courier::Impl {
  Sandbox& sandbox;
  std::chrono::milliseconds timeout;
  std::vector<std::jthread> threads;

  // Ends early when the sandbox can keep nothing any more, which fails every request, too.
  void run(const std::stop_token& stop) {
    try {
      carry(stop);
    } catch (const StateFileFull& problem) {
      runtime::log::error("webhooks are sent no more", {{"problem", problem.what()}});
    }
  }

  void carry(const std::stop_token& stop) {
    std::map<std::string, http::Client> clients;
    while (!stop.stop_requested()) {
      const auto outgoing = sandbox.wait_for_delivery(stop);
      if (!outgoing) continue;
      auto client = clients.try_emplace(outgoing->base_url, outgoing->base_url).first;
      http::Request request{"POST", outgoing->target, {}, outgoing->body};
      request.headers.set("Content-Type", "application/json; charset=utf-8");
      request.headers.set("Stripe-Signature", outgoing->signature);
      request.headers.set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
      const http::Outcome outcome = client->second.send(request, timeout);
      const bool answered = outcome.fate == http::Fate::kAnswered;
      sandbox.told_delivery(outgoing->number, answered ? outcome.response.status : 0);
    }
  }
};

Courier::Courier(Sandbox& sandbox, int threads, std::chrono::milliseconds timeout)
    : impl_(new Impl{sandbox, timeout, {}}) {
  for (int i = 0; i < threads; ++i) {
    impl_->threads.emplace_back(
        [impl = impl_.get()](const std::stop_token& stop) { impl->run(stop); });
  }
}

void Courier::stop() {
  for (std::jthread& thread : impl_->threads) thread.request_stop();
}

// All are told before the first is waited for, which takes as long as its delivery.
Courier::~Courier() { stop(); }

}  // namespace tally::sandbox
