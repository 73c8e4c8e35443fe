#include "producer/publish/rotation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <tuple>

namespace tally::producer::publish {
namespace {

constexpr std::array<std::string_view, 5> kCompressed = {".gz", ".bz2", ".xz", ".zst", ".lz4"};
// Each pass that finds something asks for another; no log is rotated as often meanwhile.
constexpr int kMaxPasses = 100;

std::string_view without_compression(std::string_view name) {
  for (const std::string_view ending : kCompressed) {
    if (name.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  }
  return name;
}

// A number or a moment: .1, -20261122, .2026-11-22T10:00:00Z.
bool is_mark(std::string_view text) {
  if (text.size() < 2 || std::string_view(".-_").find(text[0]) == std::string_view::npos) {
    return false;
  }
  return text.find_first_not_of("0123456789.-_:+TZ") == std::string_view::npos &&
         text.find_first_of("0123456789") != std::string_view::npos;
}

std::int64_t nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

bool is_log_name(std::string_view log, std::string_view name) {
  const std::string_view plain = without_compression(name);
  if (plain.starts_with(log)) {
    const std::string_view mark = plain.substr(log.size());
    return mark.empty() || mark == ".old" || is_mark(mark);
  }
  const std::size_t dot = log.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = log.substr(0, dot);
  const std::string_view ending = log.substr(dot);
  return plain.size() > log.size() && plain.starts_with(stem) && plain.ends_with(ending) &&
         is_mark(plain.substr(stem.size(), plain.size() - log.size()));
}

std::pair<std::uint64_t, std::int64_t> Succession::File::identity() const {
  return {inode, has_birth ? born_ns : 0};
}

Succession::Succession(const std::string& path) {
  const std::filesystem::path whole = std::filesystem::absolute(path);
  folder_ = whole.parent_path();
  name_ = whole.filename().string();
  for (const File& file : files()) {
    if (is_log(file)) known_.push_back(file.identity());
  }
}

Succession::~Succession() {
  for (const Held& held : next_) ::close(held.descriptor);
}

// nullopt: there is no file, or it is no regular one.
std::optional<Succession::File> Succession::about(int folder, const std::string& path) {
  struct statx found = {};
  const int flags = path.empty() ? AT_EMPTY_PATH : 0;
  if (::statx(folder, path.c_str(), flags, STATX_BASIC_STATS | STATX_BTIME, &found) != 0 ||
      !S_ISREG(found.stx_mode)) {
    return std::nullopt;
  }
  File file{.name = std::filesystem::path(path).filename().string(),
            .inode = found.stx_ino,
            .written_ns = nanoseconds(found.stx_mtime)};
  file.has_birth = (found.stx_mask & STATX_BTIME) != 0;
  file.born_ns = file.has_birth ? nanoseconds(found.stx_btime) : file.written_ns;
  return file;
}

std::vector<Succession::File> Succession::files() const {
  std::vector<File> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (auto file = about(AT_FDCWD, entry.path().string())) out.push_back(std::move(*file));
  }
  return out;
}

bool Succession::is_log(const File& file) const { return is_log_name(name_, file.name); }

bool Succession::is_new(const File& file, std::uint64_t inode_at_hand,
                        const std::vector<Held>& found) const {
  const auto is_it = [&](const Held& held) { return held.file.inode == file.inode; };
  if (!is_log(file) || without_compression(file.name) != file.name || file.inode == inode_at_hand ||
      std::any_of(found.begin(), found.end(), is_it) ||
      std::any_of(next_.begin(), next_.end(), is_it)) {
    return false;
  }
  // Who has the name is read, were it a file from before that was given its name back.
  return file.name == name_ ||
         std::find(known_.begin(), known_.end(), file.identity()) == known_.end();
}

int Succession::open(const File& file) const {
  const std::string path = (folder_ / file.name).string();
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0 && errno == ENOENT) return -1;
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), path + " cannot be opened");
  }
  const auto opened = about(descriptor, "");
  if (opened && opened->identity() == file.identity()) return descriptor;
  ::close(descriptor);
  return -1;
}

void Succession::look(std::uint64_t inode_at_hand) {
  const auto named = about(AT_FDCWD, (folder_ / name_).string());
  if (!named || named->inode == (next_.empty() ? inode_at_hand : next_.back().file.inode)) return;
  // Names change while they are listed: until a whole pass finds nothing that is new.
  std::vector<Held> found;
  bool changed = true;
  for (int pass = 0; changed && pass < kMaxPasses; ++pass) {
    changed = false;
    for (File& file : files()) {
      if (!is_new(file, inode_at_hand, found)) continue;
      changed = true;
      const int descriptor = open(file);
      if (descriptor >= 0) found.push_back({descriptor, std::move(file)});
    }
  }
  std::sort(found.begin(), found.end(), [&](const Held& a, const Held& b) {
    return std::tuple(a.file.born_ns, a.file.name == name_) <
           std::tuple(b.file.born_ns, b.file.name == name_);
  });
  for (Held& held : found) {
    known_.push_back(held.file.identity());
    next_.push_back(std::move(held));
  }
}

int Succession::take() {
  const int descriptor = next_.front().descriptor;
  next_.pop_front();
  return descriptor;
}

std::optional<std::string> Succession::newest_compressed() const {
  std::optional<File> newest;
  for (File& file : files()) {
    if (!is_log(file) || without_compression(file.name) == file.name) continue;
    if (!newest || newest->written_ns < file.written_ns) newest = std::move(file);
  }
  return newest ? std::optional(newest->name) : std::nullopt;
}

core::Result<std::optional<int>> Succession::begin_at(std::uint64_t inode) {
  const auto all = files();
  const auto first = std::find_if(all.begin(), all.end(), [&](const File& file) {
    return file.inode == inode && without_compression(file.name) == file.name;
  });
  if (first == all.end()) return std::optional<int>();
  known_.clear();
  for (const File& file : all) {
    if (!is_log(file) || &file == &*first) continue;
    if (without_compression(file.name) == file.name) {
      // Of those born in the same moment all are read: twice is counted once, never is lost.
      if (file.born_ns < first->born_ns) known_.push_back(file.identity());
    } else if (file.written_ns >= first->written_ns) {
      return core::invalid(fmt::format(
          "{} was written after what the state tells of, and is compressed: unpack it there, so "
          "that it is read in its turn",
          file.name));
    }
  }
  const int descriptor = open(*first);
  if (descriptor < 0) return std::optional<int>();
  look(inode);
  return std::optional(descriptor);
}

}  // namespace tally::producer::publish
