#include "producer/spool/posix_files.h"

#include "core/check.h"
#include "runtime/log/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <utility>

namespace tally::producer::spool {
namespace {

constexpr const char* kLockName = "lock";

Trouble trouble_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Trouble::kFull;
    case EROFS:
    case EACCES:
    case EPERM:
      return Trouble::kReadOnly;
    case ENOENT:
      return Trouble::kGone;
    default:
      return Trouble::kBroken;
  }
}

std::string words(std::string_view what, const std::filesystem::path& path, int error) {
  return fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(error));
}

[[noreturn]] void fail(std::string_view what, const std::filesystem::path& path, int error) {
  throw FileFailure(trouble_of(error), words(what, path, error));
}

// Closed in a child of fork() too, from which on it is -1 there: a lock of flock() stands until the
// last descriptor of its opening is closed, so a child would hold the folder beyond its parent's
// end, and the room of segments that were removed.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {
    if (value_ < 0) return;
    const std::scoped_lock lock(mutex);
    next_ = first;
    if (next_ != nullptr) next_->before_ = this;
    first = this;
  }
  ~Descriptor() {
    if (value_ < 0) return;
    {
      const std::scoped_lock lock(mutex);
      (before_ == nullptr ? first : before_->next_) = next_;
      if (next_ != nullptr) next_->before_ = before_;
    }
    ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }

  static void before_fork() { mutex.lock(); }
  static void in_parent() { mutex.unlock(); }
  static void in_child() {
    for (Descriptor* each = first; each != nullptr; each = each->next_) {
      ::close(std::exchange(each->value_, -1));
    }
    // Some of them lie on stacks of threads that the child does not have.
    first = nullptr;
    mutex.unlock();
  }

 private:
  static std::mutex mutex;
  static Descriptor* first;  // guarded by mutex, and what they link

  int value_;
  Descriptor* before_ = nullptr;
  Descriptor* next_ = nullptr;
};

constinit std::mutex Descriptor::mutex;
constinit Descriptor* Descriptor::first = nullptr;

void close_in_children() {
  static const int failed =
      ::pthread_atfork(&Descriptor::before_fork, &Descriptor::in_parent, &Descriptor::in_child);
  TALLY_CHECK(failed == 0, "pthread_atfork: {}", failed);
}

class PosixFile final : public File {
 public:
  PosixFile(std::filesystem::path path, int flags)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), flags | O_CLOEXEC, 0600)) {
    if (descriptor_.get() < 0) fail("open", path_, errno);
  }

  void write(std::string_view bytes, std::uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t put =
          ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail("write", path_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(put));
      offset += static_cast<std::uint64_t>(put);
    }
  }

  void sync() override {
    // Data, and of the metadata what is needed to read it: the size.
    if (::fdatasync(descriptor_.get()) != 0) fail("sync", path_, errno);
    if (status().st_nlink == 0) fail("sync", path_, ENOENT);
  }

  void reserve(std::uint64_t bytes) override {
    if (::fallocate(descriptor_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) {
      return;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) fail("reserve", path_, errno);
  }

  void truncate(std::uint64_t bytes) override {
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(bytes)) != 0) fail("cut", path_, errno);
  }

  [[nodiscard]] std::size_t read(std::span<char> bytes, std::uint64_t offset) const override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = ::pread(descriptor_.get(), bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("read", path_, errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  [[nodiscard]] std::uint64_t size() const override {
    return static_cast<std::uint64_t>(status().st_size);
  }

 private:
  [[nodiscard]] struct ::stat status() const {
    struct ::stat status{};
    if (::fstat(descriptor_.get(), &status) != 0) fail("stat", path_, errno);
    return status;
  }

  std::filesystem::path path_;
  Descriptor descriptor_;
};

class PosixLock final : public FolderLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) {}
  [[nodiscard]] int get() const { return descriptor_.get(); }

 private:
  Descriptor descriptor_;
};

std::string holder_of(int descriptor) {
  std::array<char, 20> text{};
  const ssize_t got = ::pread(descriptor, text.data(), text.size(), 0);
  std::string digits;
  for (ssize_t i = 0; i < got; ++i) {
    const char c = text[static_cast<std::size_t>(i)];
    if (c < '0' || c > '9') break;
    digits += c;
  }
  return digits.empty() ? "unknown" : digits;
}

class PosixFolder final : public Folder {
 public:
  explicit PosixFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::unique_ptr<File> create(std::string_view name) override {
    return std::make_unique<PosixFile>(path_ / name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
  }
  std::unique_ptr<File> open(std::string_view name) override {
    return std::make_unique<PosixFile>(path_ / name, O_RDONLY | O_NOFOLLOW);
  }
  std::unique_ptr<File> open_for_writing(std::string_view name) override {
    return std::make_unique<PosixFile>(path_ / name, O_RDWR | O_NOFOLLOW);
  }
  void remove(std::string_view name) override {
    const auto path = path_ / name;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("remove", path, errno);
  }
  void sync() override {
    const Descriptor folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) fail("open", path_, errno);
    if (::fsync(folder.get()) != 0) fail("sync", path_, errno);
  }
  [[nodiscard]] std::vector<std::string> names() const override {
    std::vector<std::string> names;
    std::error_code error;
    auto entry = std::filesystem::directory_iterator(path_, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      names.push_back(entry->path().filename().string());
    }
    if (error) fail("list", path_, error.value());
    return names;
  }
  core::Result<std::unique_ptr<FolderLock>> lock() override;
  [[nodiscard]] std::string path() const override { return path_.string(); }

 private:
  std::filesystem::path path_;
};

core::Result<std::unique_ptr<FolderLock>> PosixFolder::lock() {
  const auto path = path_ / kLockName;
  auto lock = std::make_unique<PosixLock>(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock->get() < 0) {
    return core::Error{core::ErrorKind::kUnavailable,
                       words("spool: cannot open the lock", path, errno) +
                           "; give the spool a folder that this user may write to"};
  }
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    return core::Error{
        core::ErrorKind::kConflict,
        fmt::format("spool folder {} is in use by process {}: one process owns a spool; give each "
                    "its own folder, or end that one",
                    path_.string(), holder_of(lock->get()))};
  }
  // For the sentence above only; a disk that is full must not keep the spool from being emptied.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock->get(), 0) == 0) {
    static_cast<void>(::pwrite(lock->get(), pid.data(), pid.size(), 0));
  }
  return std::unique_ptr<FolderLock>(std::move(lock));
}

}  // namespace

std::string_view name_of(Trouble trouble) {
  switch (trouble) {
    case Trouble::kFull:
      return "disk_full";
    case Trouble::kReadOnly:
      return "read_only";
    case Trouble::kGone:
    case Trouble::kBroken:
      break;
  }
  return "disk_broken";
}

core::Result<std::unique_ptr<Folder>> open_folder(const std::filesystem::path& path) {
  if (path.empty()) return core::invalid("spool: no folder given; name one on a local disk");
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) {
    return core::Error{core::ErrorKind::kUnavailable,
                       words("spool: cannot make the folder", path, errno) +
                           "; make its parent, or name another folder"};
  }
  struct ::stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return core::invalid(fmt::format("spool: {} is not a folder; name another one", path.string()));
  }
  close_in_children();
  auto folder = std::make_unique<PosixFolder>(path);
  try {
    // Each time: who made it may have been killed before.
    PosixFolder(path / "..").sync();
  } catch (const FileFailure& failure) {
    if (made) {
      return core::Error{core::ErrorKind::kUnavailable,
                         fmt::format("spool folder {}: its parent cannot be fsynced: {}; mend the "
                                     "disk or name another folder",
                                     path.string(), failure.what())};
    }
    // Somebody else's, whom this user may enter and not read, or the file system below a mount.
    runtime::log::warn("spool_parent_not_fsynced",
                       {{"folder", path.string()}, {"problem", failure.what()}});
  }
  return std::unique_ptr<Folder>(std::move(folder));
}

}  // namespace tally::producer::spool
