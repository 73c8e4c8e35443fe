#include "producer/publish/state_file.h"

#include "core/json_cursor.h"
#include "core/json_value.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

namespace tally::producer::publish {
namespace {

constexpr std::string_view kVersion = "1";

[[noreturn]] void fail(const std::string& path) {
  throw std::system_error(errno, std::generic_category(),
                          "the state " + path + " cannot be written");
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : number_(::open(path.c_str(), flags, 0600)) {
    if (number_ < 0) fail(path);
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

void write_all(int descriptor, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t put = ::write(descriptor, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail(path);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

template <typename Number>
bool read_number(const core::JsonValue& object, std::string_view name, Number& out) {
  const core::JsonValue* member = object.find(name);
  if (member == nullptr || member->kind != core::JsonValue::Kind::kNumber) return false;
  const char* const end = member->text.data() + member->text.size();
  const auto read = std::from_chars(member->text.data(), end, out);
  return read.ec == std::errc() && read.ptr == end;
}

bool read_text(const core::JsonValue& object, std::string_view name, std::string& out) {
  const core::JsonValue* member = object.find(name);
  if (member == nullptr || member->kind != core::JsonValue::Kind::kString) return false;
  out = member->text;
  return true;
}

std::string holder_of(const std::string& lock) {
  std::ifstream file(lock);
  std::string process;
  file >> process;
  return process.empty() ? "unknown" : process;
}

// As an earlier holder wrote, or nothing.
bool holds_at_most_a_number(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t read = ::pread(descriptor, text.data(), text.size(), 0);
  return read >= 0 && read < static_cast<ssize_t>(text.size()) &&
         std::all_of(
             text.begin(), text.begin() + read,
             [](char c) { return (c >= '0' && c <= '9') || c == '\n'; });
}

// For the sentence of who comes second only: on a full disk it says "unknown".
void tell_holder(int descriptor) {
  const std::string process = fmt::format("{}\n", ::getpid());
  if (::ftruncate(descriptor, 0) != 0) return;
  if (::pwrite(descriptor, process.data(), process.size(), 0) < 0) return;
}

// States of before these were kept have none.
bool read_left(const core::JsonValue& object, std::vector<LeftFile>& out) {
  const core::JsonValue* member = object.find("left");
  if (member == nullptr) return true;
  return member->kind == core::JsonValue::Kind::kArray &&
         std::all_of(member->children.begin(), member->children.end(),
                     [&](const core::JsonValue& one) {
                       LeftFile& file = out.emplace_back();
                       return read_number(one, "inode", file.identity.first) &&
                              read_number(one, "born_ns", file.identity.second) &&
                              read_number(one, "bytes", file.bytes);
                     });
}

}  // namespace

std::string to_json(const State& state) {
  std::string topic;
  core::append_json_string(state.topic, topic);
  std::string left;
  for (const LeftFile& file : state.left) {
    fmt::format_to(std::back_inserter(left), R"({}{{"inode":{},"born_ns":{},"bytes":{}}})",
                   left.empty() ? "" : ",", file.identity.first, file.identity.second, file.bytes);
  }
  return fmt::format(R"({{"tally_publish_state":{},"topic":{},"inode":{},"head_bytes":{},)"
                     R"("head_sha256":"{}","offset":{},"line":{},"left":[{}]}})"
                     "\n",
                     kVersion, topic, state.place.inode, state.place.head_bytes,
                     state.place.head_hash, state.place.offset, state.place.line, left);
}

core::Result<State> parse_state(std::string_view json) {
  const auto parsed = core::parse_json(json);
  State state;
  std::uint64_t version = 0;
  const bool good = parsed && read_number(parsed.value(), "tally_publish_state", version) &&
                    version == 1 && read_text(parsed.value(), "topic", state.topic) &&
                    read_number(parsed.value(), "inode", state.place.inode) &&
                    read_number(parsed.value(), "head_bytes", state.place.head_bytes) &&
                    read_text(parsed.value(), "head_sha256", state.place.head_hash) &&
                    read_number(parsed.value(), "offset", state.place.offset) &&
                    read_number(parsed.value(), "line", state.place.line) &&
                    read_left(parsed.value(), state.left);
  if (!good) return core::invalid("no state of this version");
  return state;
}

core::Result<std::optional<State>> load_state(const std::string& path) {
  std::error_code gone;
  if (!std::filesystem::exists(path, gone) && !gone) return std::optional<State>();
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return core::invalid(fmt::format("state {} cannot be read: {}", path, std::strerror(errno)));
  }
  std::ostringstream text;
  text << file.rdbuf();
  const auto state = parse_state(text.str());
  if (file && state) return std::optional(state.value());
  return core::invalid(fmt::format(
      "state {} is none that this tally-producer wrote: name another file, or remove it "
      "to begin at the start (what was published before is counted once)",
      path));
}

void store_state(const std::string& path, const State& state) {
  const std::string beside = path + kNewSuffix;
  {
    const Descriptor file(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    write_all(file.get(), to_json(state), beside);
    if (::fsync(file.get()) != 0) fail(beside);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) fail(path);
  const auto parent = std::filesystem::path(path).parent_path();
  const Descriptor folder(parent.empty() ? "." : parent.string(),
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (::fsync(folder.get()) != 0) fail(path);
}

core::Result<StateLock> StateLock::take(const std::string& path) {
  const std::string beside = path + kLockSuffix;
  StateLock lock(::open(beside.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.descriptor_ < 0) fail(beside);
  if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) {
      return core::invalid(fmt::format("{} cannot be locked ({}): keep the state on a local disk",
                                       beside, std::strerror(errno)));
    }
    if (errno != EWOULDBLOCK) fail(beside);
    return core::Error{core::ErrorKind::kConflict,
                       fmt::format("state {} is in use by process {}: one run at a time", path,
                                   holder_of(beside))};
  }
  if (!holds_at_most_a_number(lock.descriptor_)) {
    return core::invalid(
        fmt::format("{} would be the lock of state {}, but holds something else: name the state "
                    "otherwise, or remove that file",
                    beside, path));
  }
  tell_holder(lock.descriptor_);
  return lock;
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace tally::producer::publish
