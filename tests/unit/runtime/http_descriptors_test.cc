// A process without descriptors: the listener waits, and accepts when there are some again.
#include "runtime/http/server.h"
#include "tests/unit/runtime/raw_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tally::runtime::http {
namespace {

// What is logged goes into a pipe, for as long as this lives.
class LogPipe {
 public:
  LogPipe() : stderr_(::dup(STDERR_FILENO)) {
    EXPECT_EQ(::pipe(ends_.data()), 0);
    EXPECT_EQ(::dup2(ends_[1], STDERR_FILENO), STDERR_FILENO);
  }
  ~LogPipe() {
    ::dup2(stderr_, STDERR_FILENO);
    for (const int fd : {stderr_, ends_[0], ends_[1]}) ::close(fd);
  }
  LogPipe(const LogPipe&) = delete;
  LogPipe& operator=(const LogPipe&) = delete;
  void wait_for(std::string_view words) {
    std::array<char, 512> bytes{};
    for (std::string all; all.find(words) == std::string::npos;) {
      const ssize_t got = ::read(ends_[0], bytes.data(), bytes.size());
      ASSERT_GT(got, 0);
      all.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  int stderr_;
  std::array<int, 2> ends_{};
};

// Takes every descriptor that the process may still have, until it ends.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = 256;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd = 0; (fd = ::dup(STDIN_FILENO)) >= 0;) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  void give_one() {
    ASSERT_FALSE(taken_.empty());
    ::close(taken_.back());
    taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

// What this process has used of the processors.
std::chrono::microseconds processor_time() {
  rusage used{};
  EXPECT_EQ(::getrusage(RUSAGE_SELF, &used), 0);
  return std::chrono::seconds(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         std::chrono::microseconds(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

TEST(HttpDescriptorsTest, ConnectionsWaitUntilThereAreSomeAgain) {
  const Server server({}, [](const Request&) { return Response(); });
  LogPipe log;
  std::optional<RawSocket> outside;
  {
    NoDescriptors none;
    none.give_one();
    outside.emplace(server.port());
    outside->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    log.wait_for("connections wait outside");
    // A listener that does not wait takes one whole.
    const auto before = processor_time();
    EXPECT_EQ(::poll(nullptr, 0, 300), 0);
    EXPECT_LT(processor_time() - before, std::chrono::milliseconds(60));
    EXPECT_EQ(server.stats().connections_accepted, 0U);
  }
  EXPECT_THAT(outside->read_until(), testing::StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(server.stats().connections_accepted, 1U);
}

}  // namespace
}  // namespace tally::runtime::http
