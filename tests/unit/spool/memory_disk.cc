#include "tests/unit/spool/memory_disk.h"

#include <algorithm>
#include <utility>

namespace tally::producer::spool {
namespace {

constexpr std::uint64_t kSectorBytes = 64;  // smaller than a real one: more ways to tear

}  // namespace

class MemoryFile final : public File {
 public:
  MemoryFile(MemoryDisk& disk, std::shared_ptr<MemoryDisk::Inode> inode)
      : disk_(disk), inode_(std::move(inode)) {}

  void write(std::string_view bytes, std::uint64_t offset) override {
    const std::scoped_lock lock(disk_.mutex_);
    const auto change = [&](std::size_t count) {
      MemoryDisk::Change made{offset, std::string(bytes.substr(0, count)), std::nullopt};
      MemoryDisk::apply(made, inode_->seen);
      inode_->unsynced.push_back(std::move(made));
    };
    disk_.step("write", [&] { change(disk_.random_() % (bytes.size() + 1)); });
    const std::uint64_t end = offset + bytes.size();
    const std::uint64_t have = std::max<std::uint64_t>(inode_->seen.size(), inode_->reserved);
    if (end > have) {
      try {
        disk_.take_room(end - have);
      } catch (const FileFailure&) {
        change(disk_.random_() % bytes.size());
        throw;
      }
    }
    change(bytes.size());
  }

  void sync() override {
    const std::scoped_lock lock(disk_.mutex_);
    try {
      disk_.step("sync", [&] { disk_.apply_some(*inode_, inode_->durable); });
    } catch (const FileFailure&) {
      // The pages are clean from here on, written or not.
      if (!disk_.is_cut_) {
        disk_.apply_some(*inode_, inode_->durable);
        inode_->unsynced.clear();
      }
      throw;
    }
    for (const auto& change : inode_->unsynced) MemoryDisk::apply(change, inode_->durable);
    inode_->unsynced.clear();
    const bool has_name = std::any_of(disk_.seen_.begin(), disk_.seen_.end(),
                                      [&](const auto& each) { return each.second == inode_; });
    if (!has_name) throw FileFailure(Trouble::kGone, "sync: somebody removed the file");
  }

  void reserve(std::uint64_t bytes) override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.step("reserve");
    const std::uint64_t have = std::max<std::uint64_t>(inode_->seen.size(), inode_->reserved);
    if (bytes <= have) return;
    disk_.take_room(bytes - have);
    inode_->reserved = bytes;
  }

  void truncate(std::uint64_t bytes) override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.step("truncate");
    inode_->reserved = 0;
    MemoryDisk::Change change{0, {}, bytes};
    MemoryDisk::apply(change, inode_->seen);
    inode_->unsynced.push_back(std::move(change));
  }

  [[nodiscard]] std::size_t read(std::span<char> bytes, std::uint64_t offset) const override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.look("read");
    const auto [begin, end] = inode_->unreadable;
    if (offset < end && offset + bytes.size() > begin) {
      throw FileFailure(Trouble::kBroken, "read: a bad sector");
    }
    if (offset >= inode_->seen.size()) return 0;
    return inode_->seen.copy(bytes.data(), bytes.size(), offset);
  }

  [[nodiscard]] std::uint64_t size() const override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.look("size");
    return inode_->seen.size();
  }

 private:
  MemoryDisk& disk_;
  std::shared_ptr<MemoryDisk::Inode> inode_;
};

class MemoryLock final : public FolderLock {
 public:
  explicit MemoryLock(MemoryDisk& disk) : disk_(disk) { disk_.locked_ = true; }
  ~MemoryLock() override { disk_.locked_ = false; }

 private:
  MemoryDisk& disk_;
};

class MemoryFolder final : public Folder {
 public:
  explicit MemoryFolder(MemoryDisk& disk) : disk_(disk) {}

  std::unique_ptr<File> create(std::string_view name) override {
    const std::scoped_lock lock(disk_.mutex_);
    auto inode = std::make_shared<MemoryDisk::Inode>();
    const std::string key(name);
    if (disk_.seen_.contains(key)) throw FileFailure(Trouble::kBroken, "it is there: " + key);
    const auto make = [&] {
      disk_.seen_[key] = inode;
      disk_.unsynced_names_.push_back({key, inode});
    };
    disk_.step("create", make);
    make();
    return std::make_unique<MemoryFile>(disk_, std::move(inode));
  }
  std::unique_ptr<File> open(std::string_view name) override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.look("open");
    const auto found = disk_.seen_.find(std::string(name));
    if (found == disk_.seen_.end()) {
      throw FileFailure(Trouble::kGone, "not there: " + std::string(name));
    }
    return std::make_unique<MemoryFile>(disk_, found->second);
  }
  std::unique_ptr<File> open_for_writing(std::string_view name) override { return open(name); }
  void remove(std::string_view name) override {
    const std::scoped_lock lock(disk_.mutex_);
    const std::string key(name);
    const auto take = [&] {
      disk_.seen_.erase(key);
      disk_.unsynced_names_.push_back({key, nullptr});
    };
    disk_.step("remove", take);
    take();
  }
  void sync() override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.step("sync folder");
    disk_.durable_ = disk_.seen_;
    disk_.unsynced_names_.clear();
  }
  [[nodiscard]] std::vector<std::string> names() const override {
    const std::scoped_lock lock(disk_.mutex_);
    disk_.look("names");
    std::vector<std::string> names;
    for (const auto& [name, inode] : disk_.seen_) names.push_back(name);
    return names;
  }
  core::Result<std::unique_ptr<FolderLock>> lock() override {
    const std::scoped_lock guard(disk_.mutex_);
    if (disk_.locked_) return core::Error{core::ErrorKind::kConflict, "it is locked"};
    return std::unique_ptr<FolderLock>(std::make_unique<MemoryLock>(disk_));
  }
  [[nodiscard]] std::string path() const override { return "memory"; }

 private:
  MemoryDisk& disk_;
};

std::unique_ptr<Folder> MemoryDisk::folder() { return std::make_unique<MemoryFolder>(*this); }

void MemoryDisk::fail_when(std::function<std::optional<Trouble>(std::string_view call)> plan) {
  const std::scoped_lock lock(mutex_);
  plan_ = std::move(plan);
}

void MemoryDisk::set_capacity(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  capacity_ = bytes;
}

void MemoryDisk::step(std::string_view call, const std::function<void()>& partly) {
  if (is_cut_) throw FileFailure(Trouble::kBroken, "the power is cut");
  if (++steps_ == cut_at_) {
    if (partly && random_() % 2 == 0) partly();
    is_cut_ = true;
    throw FileFailure(Trouble::kBroken, "the power is cut");
  }
  look(call);
}

void MemoryDisk::look(std::string_view call) const {
  if (is_cut_) throw FileFailure(Trouble::kBroken, "the power is cut");
  if (!plan_) return;
  if (const auto trouble = plan_(call)) throw FileFailure(*trouble, std::string(call) + " fails");
}

void MemoryDisk::make_unreadable(const std::string& name, std::uint64_t begin, std::uint64_t end) {
  const std::scoped_lock lock(mutex_);
  seen_.at(name)->unreadable = {begin, end};
}

std::uint64_t MemoryDisk::used() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : seen_) {
    bytes += std::max<std::uint64_t>(inode->seen.size(), inode->reserved);
  }
  return bytes;
}

void MemoryDisk::take_room(std::uint64_t bytes) const {
  if (used() + bytes > capacity_) throw FileFailure(Trouble::kFull, "no room");
}

void MemoryDisk::apply(const Change& change, std::string& bytes) {
  if (change.cut_to) {
    bytes.resize(*change.cut_to);
    return;
  }
  if (bytes.size() < change.offset + change.bytes.size()) {
    bytes.resize(change.offset + change.bytes.size());
  }
  bytes.replace(change.offset, change.bytes.size(), change.bytes);
}

void MemoryDisk::apply_some(const Inode& inode, std::string& bytes) {
  // In order up to some point, or here and there.
  const bool in_order = random_() % 2 == 0;
  std::size_t left = inode.unsynced.empty() ? 0 : random_() % (inode.unsynced.size() + 1);
  for (const Change& change : inode.unsynced) {
    if (in_order) {
      if (left-- == 0) {
        if (change.cut_to) return;
        Change torn = change;
        torn.bytes.resize(random_() % (change.bytes.size() + 1));
        apply(torn, bytes);
        return;
      }
      apply(change, bytes);
      continue;
    }
    if (change.cut_to) {
      if (random_() % 2 == 0) apply(change, bytes);
      continue;
    }
    for (std::uint64_t at = 0; at < change.bytes.size(); at += kSectorBytes) {
      if (random_() % 2 != 0) continue;
      apply({change.offset + at, change.bytes.substr(at, kSectorBytes), std::nullopt}, bytes);
    }
  }
}

void MemoryDisk::restart(End end) {
  const std::scoped_lock lock(mutex_);
  if (end == End::kPower) {
    std::size_t left = unsynced_names_.empty() ? 0 : random_() % (unsynced_names_.size() + 1);
    for (const NameChange& change : unsynced_names_) {
      if (left-- == 0) break;
      change.inode ? void(durable_[change.name] = change.inode) : void(durable_.erase(change.name));
    }
    seen_ = durable_;
    for (auto& [name, inode] : seen_) {
      apply_some(*inode, inode->durable);
      inode->seen = inode->durable;
      inode->unsynced.clear();
      inode->reserved = 0;
    }
    unsynced_names_.clear();
  }
  is_cut_ = false;
  cut_at_ = 0;
  locked_ = false;
  plan_ = nullptr;
  capacity_ = UINT64_MAX;
}

std::map<std::string, std::string> MemoryDisk::files() const {
  const std::scoped_lock lock(mutex_);
  std::map<std::string, std::string> files;
  for (const auto& [name, inode] : seen_) files[name] = inode->seen;
  return files;
}

void MemoryDisk::put(const std::string& name, std::string bytes) {
  const std::scoped_lock lock(mutex_);
  auto inode = std::make_shared<Inode>();
  inode->seen = bytes;
  inode->durable = std::move(bytes);
  seen_[name] = inode;
  durable_[name] = inode;
}

void MemoryDisk::erase(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  seen_.erase(name);
  durable_.erase(name);
}

}  // namespace tally::producer::spool
