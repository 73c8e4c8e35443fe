// The seam to the disk: what the spool asks of a folder and its files, and nothing more. POSIX
// behind it in posix_files.h; a disk that crashes, fills and fails on demand in the tests.
//
// Every failure of the disk is a FileFailure: what it says of the disk, the name, the system's
// words. A failed write may have left any part of its bytes; after a failed sync nothing written
// since the last good one may be believed, and a later sync that succeeds does not change that.
// Threads: calls on different files, and reads of one file beside writes to it, may overlap.
#pragma once

#include "core/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::spool {

// What a failed call says of the disk.
enum class Trouble {
  kFull,      // no room, or over a quota: there may be room again
  kReadOnly,  // mounted so, or no permission
  kGone,      // somebody removed the file, or the folder
  kBroken,    // anything else
};
inline constexpr std::size_t kTroubles = 4;

class FileFailure : public std::runtime_error {
 public:
  FileFailure(Trouble trouble, const std::string& what)
      : std::runtime_error(what), trouble_(trouble) {}
  [[nodiscard]] Trouble trouble() const { return trouble_; }

 private:
  Trouble trouble_;
};

// "disk_full", "read_only", "disk_broken": the reason of an event that was not kept.
[[nodiscard]] std::string_view name_of(Trouble trouble);

class File {
 public:
  virtual ~File() = default;
  // All of it, or a failure.
  virtual void write(std::string_view bytes, std::uint64_t offset) = 0;
  // What was written stands after a power cut, and so does the file's size; its name not yet.
  // kGone: it has no name any more.
  virtual void sync() = 0;
  // Takes room for that many bytes without changing the size; nothing where that is not possible.
  virtual void reserve(std::uint64_t bytes) = 0;
  // Cuts what is beyond, reserved room too.
  virtual void truncate(std::uint64_t bytes) = 0;
  // How many bytes were there, up to the span's size: fewer only at the end of the file.
  [[nodiscard]] virtual std::size_t read(std::span<char> bytes, std::uint64_t offset) const = 0;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
};

// Held as long as it lives, and not longer than the process: a child of fork() does not have it.
class FolderLock {
 public:
  virtual ~FolderLock() = default;
};

class Folder {
 public:
  virtual ~Folder() = default;
  [[nodiscard]] virtual std::unique_ptr<File> create(std::string_view name) = 0;  // must be new
  // For reading. kGone: it is not there.
  [[nodiscard]] virtual std::unique_ptr<File> open(std::string_view name) = 0;
  [[nodiscard]] virtual std::unique_ptr<File> open_for_writing(std::string_view name) = 0;
  virtual void remove(std::string_view name) = 0;  // also when it is not there
  // Names given and taken away before now stand after a power cut.
  virtual void sync() = 0;
  [[nodiscard]] virtual std::vector<std::string> names() const = 0;
  // kConflict names the folder and the process that holds it.
  [[nodiscard]] virtual core::Result<std::unique_ptr<FolderLock>> lock() = 0;
  [[nodiscard]] virtual std::string path() const = 0;  // for people
};

}  // namespace tally::producer::spool
