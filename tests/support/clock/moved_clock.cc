#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

const std::int64_t* map_offset() {
  const char* path = std::getenv("TALLY_MOVED_CLOCK");
  const int file = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) std::abort();  // a drill whose clock does not move must not pass
  void* const page = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  if (page == MAP_FAILED) std::abort();
  return static_cast<const std::int64_t*>(page);
}

// Read anew each time: the file is written while this process runs.
std::time_t offset_seconds() {
  static const volatile std::int64_t* const offset = map_offset();
  return static_cast<std::time_t>(*offset);
}

}  // namespace

// The kernel is asked directly: libc's own functions are the ones replaced here.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    time->tv_sec += offset_seconds();
  return result;
}

extern "C" int gettimeofday(timeval* time, void* zone) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_gettimeofday, time, zone));
  if (result == 0) time->tv_sec += offset_seconds();
  return result;
}
