// An open file, read and written at offsets. Every failure of the disk is a DiskFailure with the
// name of the file and the system's words; a read past the end is one too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>

namespace tally::aggregator::dedup {

class DiskFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class DiskFile {
 public:
  [[nodiscard]] static DiskFile open(const std::filesystem::path& path);
  [[nodiscard]] static DiskFile create(const std::filesystem::path& path);  // must not exist
  ~DiskFile();
  DiskFile(DiskFile&& other) noexcept;
  DiskFile& operator=(DiskFile&&) = delete;

  void read(std::span<std::byte> bytes, std::uint64_t offset) const;
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const;
  void sync() const;
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  DiskFile(std::filesystem::path path, int flags);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Names that were given or taken away in the folder stand after a crash.
void sync_folder(const std::filesystem::path& folder);

}  // namespace tally::aggregator::dedup
