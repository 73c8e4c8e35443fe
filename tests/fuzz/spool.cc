// producer/spool/segment_reader.h: whatever was done to a segment, what is read of it was written,
// in order, under its own sequence; each changed byte costs one record at most, a cut all behind
// it. Foreign bytes hold no record at all.
//
// The input: how many damages, three bytes each (where, where, what is flipped; nothing: cut off
// here), then the values of the records, a line each.
#include "core/check.h"
#include "producer/spool/format.h"
#include "producer/spool/segment_reader.h"
#include "tests/fuzz/target.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace tally::fuzz {
namespace {

using namespace producer::spool;

constexpr SpoolId kSpool{0x5eed, 0xf00d};
constexpr std::uint64_t kNumber = 7;
constexpr std::uint64_t kFirst = 1'000;
constexpr std::size_t kMostDamages = 8;

class Bytes final : public File {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}
  void write(std::string_view, std::uint64_t) override {}
  void sync() override {}
  void reserve(std::uint64_t) override {}
  void truncate(std::uint64_t) override {}
  [[nodiscard]] std::size_t read(std::span<char> to, std::uint64_t offset) const override {
    return offset >= bytes_.size() ? 0 : bytes_.copy(to.data(), to.size(), offset);
  }
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

struct Written {
  std::string key;
  std::string value;
};

std::string segment_of(const std::vector<Written>& records) {
  std::string segment = encode(SegmentHeader{kSpool, kNumber, kFirst, 0});
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::size_t begin = segment.size();
    append_frame(segment, records[i].key, records[i].value, i, body_key(kSpool));
    stamp(segment.data() + begin, kFirst + i, static_cast<std::uint16_t>(i % 3),
          frame_key(kSpool, kNumber));
  }
  return segment;
}

// How many whole records were read; each CHECKed.
std::size_t read_all(const std::string& segment, const std::vector<Written>& records) {
  SegmentReader reader(std::make_unique<Bytes>(segment), kSpool, kNumber);
  std::size_t count = 0;
  std::uint64_t next = kFirst;
  while (const auto record =
             reader.next(next, std::numeric_limits<std::uint64_t>::max(), segment.size())) {
    TALLY_CHECK(record->sequence >= next && record->sequence - kFirst < records.size());
    const Written& written = records[record->sequence - kFirst];
    TALLY_CHECK(record->key == written.key && record->value == written.value,
                "sequence {} came back as another record", record->sequence);
    TALLY_CHECK(record->end_offset <= segment.size());
    next = record->sequence + 1;
    ++count;
  }
  return count;
}

}  // namespace

void one_input(std::string_view input) {
  const std::string foreign(input);
  TALLY_CHECK(read_all(encode(SegmentHeader{kSpool, kNumber, kFirst, 0}) + foreign, {}) == 0);
  SegmentHeader header;
  PositionSlot slot;
  std::uint32_t version = 0;
  static_cast<void>(decode(input, header, version));
  static_cast<void>(decode(input, slot, version));
  static_cast<void>(segment_number(input));
  if (input.empty()) return;

  const std::size_t wanted = static_cast<unsigned char>(input[0]) % (kMostDamages + 1);
  const std::size_t damages = std::min(wanted, (input.size() - 1) / 3);
  std::vector<Written> records;
  std::string_view rest = input.substr(1 + 3 * damages);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    records.push_back({"k" + std::to_string(records.size()), std::string(rest.substr(0, end))});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::string segment = segment_of(records);
  TALLY_CHECK(read_all(segment, records) == records.size());

  std::size_t flipped = 0;
  bool is_cut = false;
  for (std::size_t i = 0; i < damages && !segment.empty(); ++i) {
    const auto byte = [&](std::size_t at) {
      return static_cast<std::size_t>(static_cast<unsigned char>(input[1 + 3 * i + at]));
    };
    const std::size_t where = (byte(0) * 256 + byte(1)) % segment.size();
    if (byte(2) == 0) {
      segment.resize(where);
      is_cut = true;
      continue;
    }
    segment[where] = static_cast<char>(segment[where] ^ static_cast<char>(byte(2)));
    ++flipped;
  }
  const std::size_t read = read_all(segment, records);
  TALLY_CHECK(is_cut || read + flipped >= records.size(), "{} changed bytes cost {} of {} records",
              flipped, records.size() - read, records.size());
}

}  // namespace tally::fuzz
