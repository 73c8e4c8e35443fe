// <threads.h> over POSIX threads, which ThreadSanitizer intercepts. The C library's own types are
// of the same size and meaning.
#include <pthread.h>
#include <threads.h>

#include <cerrno>
#include <cstdint>
#include <memory>

namespace {

static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t));
static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t));
static_assert(sizeof(thrd_t) == sizeof(pthread_t) && sizeof(once_flag) == sizeof(pthread_once_t));

pthread_mutex_t* posix(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }
pthread_cond_t* posix(cnd_t* condition) { return reinterpret_cast<pthread_cond_t*>(condition); }

int told(int problem) {
  if (problem == 0) return thrd_success;
  if (problem == ETIMEDOUT) return thrd_timedout;
  if (problem == EBUSY) return thrd_busy;
  return problem == ENOMEM || problem == EAGAIN ? thrd_nomem : thrd_error;
}

struct Start {
  thrd_start_t run;
  void* argument;
};

void* begin(void* start) {
  const std::unique_ptr<Start> owned(static_cast<Start*>(start));
  return reinterpret_cast<void*>(static_cast<std::intptr_t>(owned->run(owned->argument)));
}

}  // namespace

extern "C" {

int thrd_create(thrd_t* thread, thrd_start_t run, void* argument) {
  auto start = std::make_unique<Start>(Start{run, argument});
  const int problem = ::pthread_create(thread, nullptr, begin, start.get());
  if (problem == 0) static_cast<void>(start.release());
  return told(problem);
}

int thrd_join(thrd_t thread, int* result) {
  void* returned = nullptr;
  const int problem = ::pthread_join(thread, &returned);
  if (result != nullptr) {
    *result = static_cast<int>(reinterpret_cast<std::intptr_t>(returned));
  }
  return told(problem);
}

// A lock's beginning and end are left to the C library: what tells librdkafka's other threads of
// them is not seen.
int mtx_lock(mtx_t* mutex) { return told(::pthread_mutex_lock(posix(mutex))); }
int mtx_unlock(mtx_t* mutex) { return told(::pthread_mutex_unlock(posix(mutex))); }

int cnd_signal(cnd_t* condition) { return told(::pthread_cond_signal(posix(condition))); }
int cnd_broadcast(cnd_t* condition) { return told(::pthread_cond_broadcast(posix(condition))); }
int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  return told(::pthread_cond_wait(posix(condition), posix(mutex)));
}
int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
  return told(::pthread_cond_timedwait(posix(condition), posix(mutex), until));
}

void call_once(once_flag* flag, void (*run)()) {
  ::pthread_once(reinterpret_cast<pthread_once_t*>(flag), run);
}

const char* __tsan_default_suppressions() { return "called_from_lib:librdkafka.so\n"; }

}  // extern "C"
