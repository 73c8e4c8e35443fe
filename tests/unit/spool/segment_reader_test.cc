// One segment on a disk whose reads fail now and then.
#include "producer/spool/segment_reader.h"

#include "producer/spool/format.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace tally::producer::spool {
namespace {

constexpr SpoolId kSpool{0x5eed, 0xf00d};
constexpr std::uint64_t kNumber = 7;

// Its n-th read fails, and no other.
class FailingOnce final : public File {
 public:
  FailingOnce(std::string bytes, int failing) : bytes_(std::move(bytes)), left_(failing) {}
  void write(std::string_view /*bytes*/, std::uint64_t /*offset*/) override {}
  void sync() override {}
  void reserve(std::uint64_t /*bytes*/) override {}
  void truncate(std::uint64_t /*bytes*/) override {}
  [[nodiscard]] std::size_t read(std::span<char> to, std::uint64_t offset) const override {
    if (left_-- == 0) throw FileFailure(Trouble::kBroken, "the disk answers EIO");
    return offset >= bytes_.size() ? 0 : bytes_.copy(to.data(), to.size(), offset);
  }
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
  mutable int left_;
};

// What a failed read had left in the buffer was once taken for what the disk holds: zeros, and the
// records there for lost.
TEST(SegmentReader, NothingIsMissingAfterAReadThatFailed) {
  constexpr std::uint64_t kRecords = 4'000;
  std::string segment = encode(SegmentHeader{kSpool, kNumber, 0, 0});
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    const std::size_t begin = segment.size();
    append_frame(segment, std::to_string(i), std::string(300 + i % 97, 'v'), i, body_key(kSpool));
    stamp(segment.data() + begin, i, 0, frame_key(kSpool, kNumber));
  }
  int failures = 0;
  for (int failing = 0; failures == failing; ++failing) {
    SegmentReader reader(std::make_unique<FailingOnce>(segment, failing), kSpool, kNumber);
    std::uint64_t next = 0;
    while (next < kRecords) {
      try {
        const auto record =
            reader.next(next, std::numeric_limits<std::uint64_t>::max(), segment.size());
        ASSERT_TRUE(record) << "nothing behind record " << next << ", read " << failing
                            << " failed";
        ASSERT_EQ(record->sequence, next) << "read " << failing << " failed";
        ++next;
      } catch (const FileFailure&) {
        ++failures;
      }
    }
  }
  EXPECT_GE(failures, 3);  // reads there were
}

}  // namespace
}  // namespace tally::producer::spool
