// What was told about event N of a drill: byte N of a file that the kernel keeps whatever becomes
// of this process; README.md has the letters. Threads: any, as each event is one thread's at a
// time.
#pragma once

#include "core/check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

namespace tally::drill {

class Told {
 public:
  Told(const std::string& path, std::size_t events) : size_(events) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    TALLY_CHECK(file >= 0 && ::ftruncate(file, static_cast<off_t>(events)) == 0, "{}: {}", path,
                std::strerror(errno));
    void* memory = ::mmap(nullptr, events, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    TALLY_CHECK(memory != MAP_FAILED, "{}: {}", path, std::strerror(errno));
    bytes_ = static_cast<char*>(memory);
    ::close(file);
  }
  ~Told() { ::munmap(bytes_, size_); }
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;

  [[nodiscard]] char at(std::size_t event) const { return byte(event).load(); }
  void set(std::size_t event, char what) { byte(event).store(what); }
  [[nodiscard]] std::size_t first_unrecorded() const {
    std::size_t event = size_;
    while (event > 0 && at(event - 1) == 0) --event;
    return event;
  }

 private:
  [[nodiscard]] std::atomic_ref<char> byte(std::size_t event) const {
    return std::atomic_ref<char>(bytes_[event]);
  }
  char* bytes_ = nullptr;
  std::size_t size_;
};

}  // namespace tally::drill
