#include "aggregator/dedup/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

namespace tally::aggregator::dedup {
namespace {

[[noreturn]] void fail(std::string_view what, const std::filesystem::path& path, int error) {
  throw DiskFailure(
      fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(error)));
}

}  // namespace

DiskFile::DiskFile(std::filesystem::path path, int flags)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags | O_CLOEXEC, 0600)) {
  if (descriptor_ < 0) fail("open", path_, errno);
}

DiskFile DiskFile::open(const std::filesystem::path& path) { return {path, O_RDONLY | O_NOFOLLOW}; }

DiskFile DiskFile::create(const std::filesystem::path& path) {
  return {path, O_RDWR | O_CREAT | O_EXCL};
}

DiskFile::~DiskFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

DiskFile::DiskFile(DiskFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void DiskFile::read(std::span<std::byte> bytes, std::uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path_, errno);
    if (got == 0) throw DiskFailure("read " + path_.string() + ": it ends too early");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void DiskFile::write(std::span<const std::byte> bytes, std::uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write", path_, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

void DiskFile::sync() const {
  if (::fsync(descriptor_) != 0) fail("sync", path_, errno);
}

std::uint64_t DiskFile::size() const {
  struct ::stat status{};
  if (::fstat(descriptor_, &status) != 0) fail("stat", path_, errno);
  return static_cast<std::uint64_t>(status.st_size);
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", folder, errno);
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (result != 0) fail("sync", folder, error);
}

}  // namespace tally::aggregator::dedup
