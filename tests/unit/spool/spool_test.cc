// The spool with its thread: outcomes, bounds, and disks that fill up, fail and come back.
#include "producer/spool/spool.h"

#include "producer/spool/posix_files.h"
#include "tests/unit/spool/rig.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tally::producer::spool {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLong{20'000};

// What the callback was told.
class Told {
 public:
  EventSink::OnOutcome callback() {
    return [this](const SinkOutcome& outcome) {
      const std::scoped_lock lock(mutex_);
      keys_.emplace_back(outcome.key);
      if (outcome.kept) {
        kept_.push_back(outcome.tag);
      } else {
        ++reasons_[std::string(outcome.reason)];
      }
    };
  }
  [[nodiscard]] std::vector<std::uint64_t> kept() const {
    const std::scoped_lock lock(mutex_);
    return kept_;
  }
  [[nodiscard]] std::map<std::string, int> reasons() const {
    const std::scoped_lock lock(mutex_);
    return reasons_;
  }
  [[nodiscard]] std::vector<std::string> keys() const {
    const std::scoped_lock lock(mutex_);
    return keys_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> keys_;
  std::vector<std::uint64_t> kept_;
  std::map<std::string, int> reasons_;
};

SpoolOptions options(Told& told) {
  SpoolOptions options;
  options.limits = {100'000, 20'000};
  options.first_retry = milliseconds(1);
  options.on_outcome = told.callback();
  return options;
}

std::unique_ptr<Spool> open(MemoryDisk& disk, const SpoolOptions& options) {
  auto spool = Spool::open(disk.folder(), options);
  EXPECT_TRUE(spool) << spool.error().message;
  return std::move(spool.value());
}

Offered offer(Spool& spool, int number, std::size_t bytes = 100) {
  const Event one = event(number, bytes);
  return spool.offer({one.first, one.second, static_cast<std::uint64_t>(number)});
}

// Until it is taken, as a caller would that may wait.
void offer_until_taken(Spool& spool, int number) {
  const auto until = std::chrono::steady_clock::now() + kLong;
  while (offer(spool, number) != Offered::kAccepted) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << spool.problem().value_or("");
    std::this_thread::yield();
  }
}

TEST(Spool, TellsEachOutcomeInOrderAfterTheFsync) {
  MemoryDisk disk(1);
  Told told;
  auto spool = open(disk, options(told));
  for (int i = 0; i < 300; ++i) ASSERT_EQ(offer(*spool, i), Offered::kAccepted);
  ASSERT_TRUE(spool->flush(std::chrono::milliseconds::max()));
  const auto kept = told.kept();
  ASSERT_EQ(kept.size(), 300U);
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], i);
  EXPECT_EQ(told.keys()[7], "id-7");
  EXPECT_EQ(spool->store().figures().waiting_records, 300U);
  EXPECT_EQ(spool->counts().kept, 300U);
  EXPECT_FALSE(spool->problem());
}

TEST(Spool, TheDestructorKeepsWhatWasAccepted) {
  MemoryDisk disk(1);
  Told told;
  {
    auto spool = open(disk, options(told));
    for (int i = 0; i < 50; ++i) ASSERT_EQ(offer(*spool, i), Offered::kAccepted);
  }
  EXPECT_EQ(told.kept().size(), 50U);
  disk.restart(MemoryDisk::End::kPower);
  auto rig = Rig::open(disk, {100'000, 20'000});
  ASSERT_TRUE(rig);
  EXPECT_EQ(rig.value()->read().events.size(), 50U);
}

TEST(Spool, ManyThreadsAreServedByFewFsyncs) {
  MemoryDisk disk(1);
  Told told;
  auto wanted = options(told);
  wanted.limits = {10'000'000, 1'000'000};
  auto spool = open(disk, wanted);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 2'000; ++i) {
        EXPECT_EQ(offer(*spool, thread * 10'000 + i), Offered::kAccepted);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(spool->flush(kLong));
  EXPECT_EQ(told.kept().size(), 8'000U);
  // Each thread's own events stay in its order.
  std::map<std::uint64_t, std::uint64_t> last;
  for (const std::uint64_t tag : told.kept()) {
    auto& before = last[tag / 10'000];
    EXPECT_GE(tag + 1, before);
    before = tag + 1;
  }
}

TEST(Spool, StaysWithinItsBoundAndNeverBreaksAPromiseForIt) {
  MemoryDisk disk(1);
  Told told;
  auto spool = open(disk, options(told));
  int taken = 0;
  // What is being written counts twice for a moment: full is what is so with nothing in hand.
  while (offer(*spool, taken) == Offered::kAccepted ||
         (spool->flush(kLong) && offer(*spool, taken) == Offered::kAccepted)) {
    ++taken;
    ASSERT_LT(taken, 10'000);
  }
  ASSERT_TRUE(spool->flush(kLong));
  EXPECT_TRUE(told.reasons().empty());
  EXPECT_GT(spool->counts().refused_full, 0U);
  std::uint64_t bytes = 0;
  for (const auto& [name, content] : disk.files()) {
    if (segment_number(name)) bytes += content.size();
  }
  EXPECT_LE(bytes, 100'000U);
  EXPECT_GT(bytes, 80'000U);
  // The broker takes the first two segments: there is room again.
  spool->store().advance(300, 0);
  spool->store().drop_done();
  EXPECT_EQ(offer(*spool, 99'999), Offered::kAccepted);
}

TEST(Spool, MemoryForWhatWaitsForTheDiskIsBounded) {
  MemoryDisk disk(1);
  Told told;
  auto wanted = options(told);
  wanted.max_pending_bytes = 1'000;
  std::mutex gate;
  disk.fail_when([&](std::string_view) -> std::optional<Trouble> {
    const std::scoped_lock wait(gate);
    return std::nullopt;
  });
  auto spool = open(disk, wanted);
  std::unique_lock closed(gate);
  int taken = 0;
  while (offer(*spool, taken) == Offered::kAccepted) ++taken;
  EXPECT_GE(taken, 6);
  EXPECT_LE(taken, 8);
  closed.unlock();
  ASSERT_TRUE(spool->flush(kLong));
  EXPECT_EQ(told.kept().size(), static_cast<std::size_t>(taken));
}

TEST(Spool, TooLargeIsSaidAtOnce) {
  MemoryDisk disk(1);
  Told told;
  auto spool = open(disk, options(told));
  EXPECT_EQ(offer(*spool, 1, 20'000), Offered::kTooLarge);
  const std::string key(core::kMaxRequestIdBytes + 1, 'k');
  EXPECT_EQ(spool->offer({key, "v", 1}), Offered::kTooLarge);
  EXPECT_EQ(spool->counts().refused_too_large, 2U);
}

TEST(Spool, WhatTheBrokerWouldNotTakeIsTooLarge) {
  MemoryDisk disk(1);
  Told told;
  auto wanted = options(told);
  wanted.limits = {10'000'000, 4'000'000};
  auto spool = open(disk, wanted);
  // With all that goes around it.
  const std::string value(core::kMaxSpoolEventBytes - 4, 'v');
  EXPECT_EQ(spool->offer({"id-1", value, 1}), Offered::kAccepted);
  EXPECT_EQ(spool->offer({"id-01", value, 1}), Offered::kTooLarge);
}

// A disk with this trouble for a while, then well again.
void goes_on_after(Trouble trouble, const std::string& reason) {
  MemoryDisk disk(1);
  Told told;
  auto spool = open(disk, options(told));
  ASSERT_EQ(offer(*spool, 1), Offered::kAccepted);
  ASSERT_TRUE(spool->flush(kLong));
  disk.fail_when([trouble](std::string_view) -> std::optional<Trouble> { return trouble; });
  ASSERT_EQ(offer(*spool, 2), Offered::kAccepted);
  ASSERT_TRUE(spool->flush(kLong));
  EXPECT_EQ(told.reasons(), (std::map<std::string, int>{{reason, 1}}));
  EXPECT_EQ(spool->counts().not_kept_by_reason.at(reason), 1U);
  EXPECT_TRUE(spool->problem());
  EXPECT_EQ(offer(*spool, 3), Offered::kFull);
  disk.fail_when({});
  offer_until_taken(*spool, 4);
  ASSERT_TRUE(spool->flush(kLong));
  EXPECT_FALSE(spool->problem());
  EXPECT_EQ(told.kept(), (std::vector<std::uint64_t>{1, 4}));
  spool.reset();
  disk.restart(MemoryDisk::End::kPower);
  auto rig = Rig::open(disk, {100'000, 20'000});
  ASSERT_TRUE(rig);
  const auto read = rig.value()->read();
  EXPECT_EQ(read.events, (std::vector<Event>{event(1, 100), event(4, 100)}));
  EXPECT_EQ(read.missing, 0U);
}

TEST(Spool, GoesOnWhenAFullDiskHasRoomAgain) { goes_on_after(Trouble::kFull, "disk_full"); }
TEST(Spool, GoesOnAfterAReadOnlyDisk) { goes_on_after(Trouble::kReadOnly, "read_only"); }
TEST(Spool, GoesOnAfterABrokenDisk) { goes_on_after(Trouble::kBroken, "disk_broken"); }

TEST(Spool, RoomIsTakenBeforeEventsAre) {
  MemoryDisk disk(1);
  Told told;
  auto spool = open(disk, options(told));
  // Room for the position file and for one segment of 20,000 bytes, of which each event asks some.
  disk.set_capacity(30'000);
  int taken = 0;
  while (taken < 1'000 && told.reasons().empty()) {
    if (offer(*spool, taken) == Offered::kAccepted) ++taken;
    ASSERT_TRUE(spool->flush(kLong));
  }
  // The segment was filled to its end first.
  EXPECT_GT(told.kept().size(), 120U);
  disk.set_capacity(UINT64_MAX);
  offer_until_taken(*spool, 5'000);
}

TEST(Spool, AFailedFsyncIsNeverBelievedLater) {
  // fsyncgate: the sync after a failed one succeeds and says nothing of what that one dropped.
  for (const char* call : {"sync", "sync folder", "write"}) {
    MemoryDisk disk(5);
    Told told;
    auto spool = open(disk, options(told));
    for (int i = 0; i < 5; ++i) ASSERT_EQ(offer(*spool, i), Offered::kAccepted);
    ASSERT_TRUE(spool->flush(kLong));
    auto failures = std::make_shared<std::atomic<int>>(1);
    disk.fail_when([failures, call](std::string_view now) -> std::optional<Trouble> {
      if (now != call || failures->fetch_sub(1) <= 0) return std::nullopt;
      return Trouble::kBroken;
    });
    for (int i = 5; i < 10; ++i) ASSERT_EQ(offer(*spool, i), Offered::kAccepted);
    ASSERT_TRUE(spool->flush(kLong));
    EXPECT_EQ(told.kept().size(), 10U) << call;
    disk.restart(MemoryDisk::End::kPower);
    auto rig = Rig::open(disk, {100'000, 20'000});
    ASSERT_TRUE(rig);
    const auto read = rig.value()->read();
    EXPECT_EQ(read.events.size(), 10U) << call;
    EXPECT_EQ(read.missing, 0U) << call;
    disk.fail_when([](std::string_view) -> std::optional<Trouble> { return Trouble::kBroken; });
  }
}

// A segment that was opened when there was hardly room kept its small bound when there was again.
TEST(Spool, RoomThatComesBackIsUsedAtOnce) {
  MemoryDisk disk(1);
  auto rig = Rig::open(disk, {10'000, 4'000});
  ASSERT_TRUE(rig);
  int kept = 0;
  while (rig.value()->append({event(kept, 700)}).records == 1) ++kept;
  ASSERT_FALSE(rig.value()->appender().probe());
  rig.value()->store().advance(static_cast<std::uint64_t>(kept), 0);
  rig.value()->store().drop_done();
  EXPECT_EQ(rig.value()->append({event(99, 700)}).records, 1U);
}

class SpoolFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tally-spool-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  static core::Result<std::unique_ptr<Spool>> open_at(const std::filesystem::path& path) {
    auto folder = open_folder(path);
    if (!folder) return folder.error();
    return Spool::open(std::move(folder.value()), SpoolOptions{});
  }
  static unsigned mode(const std::filesystem::path& path) {
    struct ::stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777U;
  }
  std::filesystem::path root_;
};

TEST_F(SpoolFolder, ASecondOwnerIsToldWhoHasIt) {
  const auto path = root_ / "spool";
  auto first = open_at(path);
  ASSERT_TRUE(first) << first.error().message;
  const auto second = open_at(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, core::ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find(path.string()), std::string::npos);
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  first.value().reset();
  EXPECT_TRUE(open_at(path));
}

// A forked child that lives on held the lock, and nobody could open the spool of its dead parent.
TEST_F(SpoolFolder, AForkedChildDoesNotHoldIt) {
  const auto path = root_ / "spool";
  auto folder = open_folder(path);
  ASSERT_TRUE(folder);
  auto lock = folder.value()->lock();
  ASSERT_TRUE(lock);
  const auto file = folder.value()->create("a");
  std::array<int, 2> to_child{};
  std::array<int, 2> from_child{};
  ASSERT_EQ(::pipe(to_child.data()) + ::pipe(from_child.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(to_child[1]);
    char answer = 'o';
    try {
      file->write("the child's", 0);
    } catch (const FileFailure&) {
      answer = 'f';
    }
    static_cast<void>(::write(from_child[1], &answer, 1));
    static_cast<void>(::read(to_child[0], &answer, 1));  // until the parent lets it go
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  char answer = 0;
  EXPECT_EQ(::read(from_child[0], &answer, 1), 1);
  // The parent's files are not the child's to write.
  EXPECT_EQ(answer, 'f');
  file->write("the parent's", 0);
  // The parent has it still, and who comes after it gets it while the child lives.
  EXPECT_FALSE(open_folder(path).value()->lock());
  lock.value().reset();
  EXPECT_TRUE(open_folder(path).value()->lock());
  for (const int end : {to_child[0], to_child[1], from_child[0], from_child[1]}) ::close(end);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(SpoolFolder, AFileThatSomebodyRemovedIsNotBelievedToStand) {
  auto folder = std::move(open_folder(root_ / "spool/").value());
  const auto file = folder->create("a");
  file->write("x", 0);
  file->sync();
  folder->remove("a");
  folder->remove("a");
  try {
    file->sync();
    ADD_FAILURE() << "synced a file without a name";
  } catch (const FileFailure& failure) {
    EXPECT_EQ(failure.trouble(), Trouble::kGone);
  }
  EXPECT_THROW(static_cast<void>(folder->open("a")), FileFailure);
}

TEST_F(SpoolFolder, IsReadableByItsOwnerAlone) {
  const auto path = root_ / "spool";
  auto spool = open_at(path);
  ASSERT_TRUE(spool) << spool.error().message;
  ASSERT_EQ(offer(*spool.value(), 1), Offered::kAccepted);
  ASSERT_TRUE(spool.value()->flush(kLong));
  EXPECT_EQ(mode(path), 0700U);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    EXPECT_EQ(mode(entry.path()), 0600U) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, 3);  // lock, position and a segment
}

TEST_F(SpoolFolder, ErrorsSayWhatToDo) {
  const auto no_parent = open_at(root_ / "a" / "b");
  ASSERT_FALSE(no_parent);
  EXPECT_NE(no_parent.error().message.find("make its parent"), std::string::npos);
  EXPECT_FALSE(open_at(""));
  EXPECT_FALSE(open_at("/dev/null"));
}

TEST_F(SpoolFolder, SurvivesManyReopenings) {
  const auto path = root_ / "spool";
  for (int i = 0; i < 20; ++i) {
    auto spool = open_at(path);
    ASSERT_TRUE(spool) << spool.error().message;
    EXPECT_EQ(spool.value()->store().figures().waiting_records, static_cast<std::uint64_t>(i));
    ASSERT_EQ(offer(*spool.value(), i), Offered::kAccepted);
  }
}

}  // namespace
}  // namespace tally::producer::spool
