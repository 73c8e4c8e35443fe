#include "producer/spool/appender.h"

#include "core/check.h"
#include "core/limits.h"
#include "runtime/log/log.h"

#include <chrono>
#include <exception>
#include <new>
#include <span>
#include <utility>

namespace tally::producer::spool {
namespace {

std::uint64_t now_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

}  // namespace

Appender::Appender(Store& store)
    : store_(store), no_memory_(Trouble::kBroken, "no memory to write with") {}

Appender::~Appender() { seal(); }

void Appender::open_segment() {
  birth_ = store_.next_segment();
  if (birth_.limit_bytes <= kSegmentHeaderBytes) {
    throw FileFailure(Trouble::kFull, "the spool is at its bound");
  }
  const std::string name = segment_name(birth_.number);
  auto file = store_.folder().create(name);
  try {
    file->write(
        encode(SegmentHeader{store_.spool(), birth_.number, birth_.first_sequence, now_ms()}), 0);
    file->reserve(birth_.limit_bytes);
  } catch (const FileFailure&) {
    file.reset();
    try {
      store_.folder().remove(name);
    } catch (const FileFailure&) {
      // It holds no record: the next recovery removes it.
    }
    throw;
  }
  store_.begin(birth_);
  file_ = std::move(file);
  frame_key_ = frame_key(store_.spool(), birth_.number);
  bytes_ = kSegmentHeaderBytes;
  end_sequence_ = birth_.first_sequence;
  name_ = Name::kNew;
}

void Appender::sync_segment() {
  file_->sync();
  if (name_ == Name::kStands) return;
  store_.folder().sync();
  name_ = Name::kStands;
}

std::size_t Appender::write_some(Group& group, std::size_t begin, std::size_t begin_byte) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  const auto sizes = std::span(group.frame_bytes).subspan(begin);
  while (count < sizes.size() && count < core::kMaxSpoolRecordsPerWrite &&
         bytes_ + bytes + sizes[count] <= birth_.limit_bytes) {
    stamp(group.bytes.data() + begin_byte + bytes, end_sequence_ + count,
          static_cast<std::uint16_t>(count), frame_key_);
    bytes += sizes[count++];
  }
  if (count == 0) return 0;
  file_->write(std::string_view(group.bytes).substr(begin_byte, bytes), bytes_);
  sync_segment();
  bytes_ += bytes;
  end_sequence_ += count;
  store_.extend(bytes, count);
  return count;
}

Kept Appender::append(Group& group) {
  Kept kept;
  std::size_t byte = 0;
  bool tried_anew = false;
  while (kept.records < group.frame_bytes.size()) {
    try {
      // One that was opened before may have got less room than there is now.
      const bool is_newest = file_ == nullptr;
      if (is_newest) open_segment();
      const std::size_t count = write_some(group, kept.records, byte);
      if (count == 0) {
        if (is_newest) throw FileFailure(Trouble::kFull, "the spool is at its bound");
        seal();
        continue;
      }
      for (std::size_t i = 0; i < count; ++i) byte += group.frame_bytes[kept.records + i];
      kept.records += count;
    } catch (const FileFailure& failure) {
      abandon();
      complain(failure);
      const bool is_of_this_file =
          failure.trouble() == Trouble::kBroken || failure.trouble() == Trouble::kGone;
      if (is_of_this_file && !tried_anew) {
        tried_anew = true;
        continue;
      }
      kept.failure = failure;
      return kept;
    } catch (const std::bad_alloc&) {
      abandon();
      kept.failure = no_memory_;
      return kept;
    }
  }
  return kept;
}

void Appender::complain(const FileFailure& failure) const noexcept {
  try {
    runtime::log::error("spool_write_failed",
                        {{"folder", store_.folder().path()}, {"problem", failure.what()}});
  } catch (const std::bad_alloc&) {
    // The outcome and problem() tell it too.
  }
}

std::optional<FileFailure> Appender::probe() {
  try {
    if (file_ == nullptr) open_segment();
    sync_segment();
    return std::nullopt;
  } catch (const FileFailure& failure) {
    abandon();
    return failure;
  } catch (const std::bad_alloc&) {
    abandon();
    return no_memory_;
  }
}

void Appender::abandon() {
  if (file_ == nullptr) return;
  // As well as it goes: what stays behind is superseded by the segment after it.
  const bool empty = end_sequence_ == birth_.first_sequence;
  try {
    file_->truncate(bytes_);
    if (empty) store_.folder().remove(segment_name(birth_.number));
  } catch (const std::exception&) {
  }
  file_.reset();
  empty ? store_.drop_newest() : store_.seal();
}

void Appender::seal() {
  if (file_ == nullptr) return;
  abandon();
}

}  // namespace tally::producer::spool
