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

constexpr std::string_view kDigits = "0123456789";

// Whether text begins with so many digits, which make a number within the bounds; takes them off.
bool take_number(std::string_view& text, std::size_t digits, int least, int most) {
  if (text.substr(0, digits).find_first_not_of(kDigits) < digits || text.size() < digits) {
    return false;
  }
  int number = 0;
  for (const char digit : text.substr(0, digits)) number = number * 10 + (digit - '0');
  text.remove_prefix(digits);
  return number >= least && number <= most;
}

// Whether a mark begins with a date: -20261122, .2026-11-22. Other numbers than a date's are
// another log's: its instance, its port, its customer.
bool begins_with_a_date(std::string_view mark) {
  mark.remove_prefix(1);
  if (!take_number(mark, 4, 1970, 2999)) return false;
  const bool apart =
      !mark.empty() && std::string_view("-_.").find(mark[0]) != std::string_view::npos;
  const std::string_view between = mark.substr(0, apart ? 1 : 0);
  const auto take_between = [&] {
    const bool is_there = mark.starts_with(between);
    if (is_there) mark.remove_prefix(between.size());
    return is_there;
  };
  return take_between() && take_number(mark, 2, 1, 12) && take_between() &&
         take_number(mark, 2, 1, 31);
}

// A moment, from its date on: -20261122, .2026-11-22T10:00:00Z, -20261122.1.
bool is_moment(std::string_view text) {
  return text.size() > 1 && std::string_view(".-_").find(text[0]) != std::string_view::npos &&
         text.find_first_not_of("0123456789.-_:+TZ") == std::string_view::npos &&
         begins_with_a_date(text);
}

bool is_number(std::string_view text) {
  return text.size() > 1 && text[0] == '.' &&
         text.find_first_not_of(kDigits, 1) == std::string_view::npos;
}

// The name but for its figures: app.#.log of app.12.log.
std::string kind_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool is_digit = kDigits.find(c) != std::string_view::npos;
    if (!is_digit || !out.ends_with('#')) out += is_digit ? '#' : c;
  }
  return out;
}

bool contains(const std::vector<FileIdentity>& files, const FileIdentity& file) {
  return std::find(files.begin(), files.end(), file) != files.end();
}

std::int64_t nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

bool is_log_name(std::string_view log, std::string_view name) {
  const std::string_view plain = without_compression(name);
  if (plain.starts_with(log)) {
    const std::string_view mark = plain.substr(log.size());
    return mark.empty() || mark == ".old" || is_number(mark) || is_moment(mark);
  }
  const std::size_t dot = log.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = log.substr(0, dot);
  const std::string_view ending = log.substr(dot);
  if (plain.size() <= log.size() || !plain.starts_with(stem) || !plain.ends_with(ending)) {
    return false;
  }
  return is_moment(plain.substr(stem.size(), plain.size() - log.size()));
}

FileIdentity Succession::File::identity() const { return {inode, has_birth ? born_ns : 0}; }

Succession::Succession(const std::string& path) {
  const std::filesystem::path whole = std::filesystem::absolute(path);
  folder_ = whole.parent_path();
  name_ = whole.filename().string();
  try {
    for (const File& file : files()) {
      (is_log(file) ? known_ : others_).push_back(file.identity());
      has_birth_times_ = has_birth_times_ && (file.has_birth || !is_log(file));
    }
  } catch (const std::system_error& error) {
    unlisted_ = error;
  }
}

void Succession::must_be_listed() const {
  if (unlisted_) throw std::system_error(*unlisted_);
}

Succession::~Succession() {
  for (const Held& held : next_) {
    if (held.descriptor >= 0) ::close(held.descriptor);
  }
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
            .bytes = found.stx_size,
            .written_ns = nanoseconds(found.stx_mtime)};
  file.has_birth = (found.stx_mask & STATX_BTIME) != 0;
  file.born_ns = file.has_birth ? nanoseconds(found.stx_btime) : file.written_ns;
  return file;
}

std::vector<Succession::File> Succession::files() const {
  std::vector<File> out;
  try {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (auto file = about(AT_FDCWD, entry.path().string())) out.push_back(std::move(*file));
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw std::system_error(
        error.code(), fmt::format("{}, in which rotated files are looked for, cannot be listed",
                                  folder_.string()));
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
  return file.name == name_ || !contains(known_, file.identity());
}

std::optional<int> Succession::open(const File& file) const {
  const std::string path = (folder_ / file.name).string();
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0 && errno == ENOENT) return std::nullopt;
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), path + " cannot be opened");
  }
  const auto opened = about(descriptor, "");
  if (opened && opened->identity() == file.identity()) return descriptor;
  ::close(descriptor);
  return std::nullopt;
}

std::optional<int> Succession::try_to_open(const File& file) {
  try {
    return open(file);
  } catch (const std::system_error& error) {
    problem_ = error;
    return -1;
  }
}

void Succession::find_new(std::uint64_t inode_at_hand, std::vector<Held>& found) {
  // Names change while they are listed: until a whole pass finds nothing that is new.
  bool changed = true;
  for (int pass = 0; changed && pass < kMaxPasses; ++pass) {
    changed = false;
    for (File& file : files()) {
      if (!is_new(file, inode_at_hand, found)) continue;
      changed = true;
      const auto descriptor = try_to_open(file);
      if (descriptor) found.push_back({*descriptor, std::move(file)});
    }
  }
}

void Succession::open_what_waits() {
  const auto all = files();
  for (Held& held : next_) {
    if (held.descriptor >= 0) continue;
    const auto now = std::find_if(all.begin(), all.end(), [&](const File& file) {
      return file.identity() == held.file.identity();
    });
    held.missed = now == all.end() ? held.missed + 1 : 0;
    if (now == all.end()) continue;
    held.file = *now;
    held.descriptor = try_to_open(held.file).value_or(-1);
  }
  // Names change while they are listed: what one look did not see may be there.
  std::erase_if(next_, [&](const Held& held) {
    if (held.missed < 2) return false;
    troubles_.push_back(fmt::format("the file that was {} could not be opened, and is gone",
                                    (folder_ / held.file.name).string()));
    lost_bytes_ += held.file.bytes;
    return true;
  });
}

// Names may be another log's that the file which had this one's before has now. Where others of
// that kind were born after it, and before what has the name, they are not read, but most likely
// had it.
void Succession::tell_passed_over(std::uint64_t before) {
  const auto all = files();
  const auto last =
      std::find_if(all.begin(), all.end(), [&](const File& file) { return file.inode == before; });
  const auto named =
      std::find_if(all.begin(), all.end(), [&](const File& file) { return file.name == name_; });
  if (last == all.end() || named == all.end() || is_log(*last)) return;
  for (const File& file : all) {
    if (is_log(file) || kind_of(file.name) != kind_of(last->name) || file.inode == before ||
        file.bytes == 0 || file.born_ns < last->born_ns || file.born_ns > named->born_ns ||
        contains(known_, file.identity()) || contains(others_, file.identity())) {
      continue;
    }
    others_.push_back(file.identity());
    lost_bytes_ += file.bytes;
    troubles_.push_back(fmt::format(
        "{}, which seems to have been {} between two looks, is called as another log may be, and "
        "is not read: if it was, publish it with the same settings, but without a state",
        (folder_ / file.name).string(), name_));
  }
}

void Succession::look(std::uint64_t inode_at_hand) {
  const auto named = about(AT_FDCWD, (folder_ / name_).string());
  const std::uint64_t newest = next_.empty() ? inode_at_hand : next_.back().file.inode;
  const bool is_newest = !named || named->inode == newest;
  const bool waits =
      std::any_of(next_.begin(), next_.end(), [](const Held& held) { return held.descriptor < 0; });
  if (is_newest && !waits && !problem_) return;
  problem_.reset();
  unlisted_bytes_ = 0;
  std::vector<Held> found;
  try {
    must_be_listed();
    if (waits) open_what_waits();
    find_new(inode_at_hand, found);
    if (!is_newest) tell_passed_over(newest);
  } catch (const std::system_error& error) {
    problem_ = error;
    if (!is_newest) unlisted_bytes_ = named->bytes;
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

std::optional<std::string> Succession::take_trouble() {
  if (troubles_.empty()) return std::nullopt;
  std::string oldest = std::move(troubles_.front());
  troubles_.pop_front();
  return oldest;
}

std::uint64_t Succession::unopened_bytes() const {
  std::uint64_t sum = unlisted_bytes_;
  bool waits = false;
  for (const Held& held : next_) {
    waits = waits || held.descriptor < 0;
    if (!waits) continue;
    const auto now = held.descriptor < 0 ? std::nullopt : about(held.descriptor, "");
    sum += now.value_or(held.file).bytes;
  }
  return sum;
}

FileIdentity Succession::identity_of(int descriptor) {
  const auto file = about(descriptor, "");
  return file ? file->identity() : FileIdentity();
}

std::optional<int> Succession::find(const FileIdentity& identity) const {
  const auto all = files();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const File& file) { return file.identity() == identity; });
  return found == all.end() ? std::nullopt : open(*found);
}

std::optional<std::string> Succession::name_of(std::uint64_t inode) const {
  try {
    for (const File& file : files()) {
      if (file.inode == inode) return (folder_ / file.name).string();
    }
  } catch (const std::system_error&) {
    return std::nullopt;
  }
  return std::nullopt;
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
    return file.inode == inode && is_log(file) && without_compression(file.name) == file.name;
  });
  if (first == all.end()) return std::optional<int>();
  known_ = {first->identity()};
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
  const auto descriptor = open(*first);
  if (descriptor) look(inode);
  return descriptor;
}

}  // namespace tally::producer::publish
