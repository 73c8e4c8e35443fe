// Threads of the client are not the service's to interrupt.
#pragma once

#include <pthread.h>

#include <csignal>

namespace tally::producer {

// While it lives, this thread blocks every signal, and so does for good each thread that is begun
// meanwhile: the service's handlers never run there. It goes where it was made.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace tally::producer
