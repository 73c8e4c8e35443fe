#include "runtime/lifecycle/reload_signal.h"

#include "core/check.h"

#include <atomic>
#include <csignal>

namespace tally::runtime::lifecycle {
namespace {

// A signal handler has no other way to reach its state.
std::atomic<bool> reload_requested = false;
std::atomic<bool> exists = false;

void install(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGHUP, &action, nullptr);
}

}  // namespace

ReloadSignal::ReloadSignal() {
  TALLY_CHECK(!exists.exchange(true), "one ReloadSignal per process");
  reload_requested = false;
  install([](int) { reload_requested = true; });
}

ReloadSignal::~ReloadSignal() {
  install(SIG_DFL);
  exists = false;
}

bool ReloadSignal::take() { return reload_requested.exchange(false); }

}  // namespace tally::runtime::lifecycle
