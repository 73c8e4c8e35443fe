#include "producer/serve/keys.h"

#include "core/limits.h"
#include "core/usage_event.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::crypto::Digest;

constexpr std::string_view kPrefix = "tk_";
constexpr std::size_t kIdBytes = 8;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kMaxKeys = 100'000;

Digest hash_of(std::string_view id, std::string_view key) {
  return runtime::crypto::hmac_sha256(std::string(kKeyDomain).append(id), key);
}

std::string_view id_of(std::string_view key) {
  const bool whole = key.size() == kPrefix.size() + 2 * kIdBytes + 1 + 2 * kSecretBytes &&
                     key.starts_with(kPrefix) && key[kPrefix.size() + 2 * kIdBytes] == '_';
  return whole ? key.substr(kPrefix.size(), 2 * kIdBytes) : std::string_view();
}

std::string_view take_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

// "": nothing is wrong with it.
std::string tenant_problem(std::string_view tenant) {
  if (tenant == kEveryTenant) return "";
  if (tenant.empty()) return "tenant is missing: name one, or * for a key to every tenant";
  const auto error = core::attribute_error("tenant", tenant, core::kMaxTenantIdBytes);
  return error ? error->message : "";
}

using Receiving = std::shared_ptr<runtime::http::BytesReceiving>;

// A key to every tenant has its own.
Receiving receiving_of(const std::string& tenant, std::map<std::string, Receiving>& by_tenant) {
  if (tenant.empty()) return std::make_shared<runtime::http::BytesReceiving>();
  Receiving& of_all_its_keys = by_tenant[tenant];
  if (!of_all_its_keys) of_all_its_keys = std::make_shared<runtime::http::BytesReceiving>();
  return of_all_its_keys;
}

core::Result<SenderPtr> read_line(std::string_view line) {
  auto sender = std::make_shared<Sender>();
  sender->id = take_word(line);
  const auto hash = runtime::crypto::digest_of_hex(take_word(line));
  if (sender->id.size() != 2 * kIdBytes || !hash) {
    return core::invalid("it must read `ID HASH TENANT`, as `tally-producer key new` prints it");
  }
  sender->hash = *hash;
  if (std::string problem = tenant_problem(line); !problem.empty()) {
    return core::invalid(std::move(problem));
  }
  if (line != kEveryTenant) sender->tenant = line;
  return sender;
}

}  // namespace

core::Result<NewKey> new_key(std::string_view tenant) {
  if (std::string problem = tenant_problem(tenant); !problem.empty()) {
    return core::invalid(std::move(problem));
  }
  const std::string id = runtime::crypto::random_hex(kIdBytes);
  NewKey made;
  made.key = fmt::format("{}{}_{}", kPrefix, id, runtime::crypto::random_hex(kSecretBytes));
  made.line = fmt::format("{} {} {}", id, runtime::crypto::to_hex(hash_of(id, made.key)), tenant);
  return made;
}

Keys::Keys(std::string token) : token_hash_(hash_of("", token)), has_token_(!token.empty()) {}

core::Result<void> Keys::read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return core::invalid(fmt::format("{}: cannot be read: give a readable file", path));
  std::shared_ptr<const ById> before;
  {
    const std::scoped_lock lock(mutex_);
    before = by_id_;
  }
  // A tenant's key that replaces another goes on with what is arriving.
  std::map<std::string, Receiving> by_tenant;
  if (before != nullptr) {
    for (const auto& [id, sender] : *before) by_tenant.emplace(sender->tenant, sender->receiving);
  }
  auto now = std::make_shared<ById>();
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (file.eof()) {
      return core::invalid(fmt::format(
          "{}:{}: the last line does not end: the file is cut short, or needs a newline", path,
          number));
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    auto sender = read_line(line);
    if (!sender) {
      return core::invalid(fmt::format("{}:{}: {}", path, number, sender.error().message));
    }
    SenderPtr& known = sender.value();
    if (before != nullptr) {
      const auto same = before->find(known->id);
      const bool kept = same != before->end() && same->second->hash == known->hash &&
                        same->second->tenant == known->tenant;
      if (kept) known = same->second;
    }
    if (known->receiving == nullptr) known->receiving = receiving_of(known->tenant, by_tenant);
    const std::string id = known->id;
    if (!now->emplace(id, std::move(known)).second) {
      return core::invalid(fmt::format("{}:{}: the key {} stands twice", path, number, id));
    }
    if (now->size() > kMaxKeys) {
      return core::invalid(fmt::format("{}: over {} keys", path, kMaxKeys));
    }
  }
  if (file.bad()) return core::invalid(fmt::format("{}: cannot be read to its end", path));
  const std::scoped_lock lock(mutex_);
  by_id_ = std::move(now);
  return boost::outcome_v2::success();
}

bool Keys::open_to_all() const {
  const std::scoped_lock lock(mutex_);
  return !has_token_ && by_id_ == nullptr;
}

std::size_t Keys::size() const {
  const std::scoped_lock lock(mutex_);
  return by_id_ == nullptr ? 0 : by_id_->size();
}

SenderPtr Keys::find(std::string_view given) const {
  std::shared_ptr<const ById> by_id;
  {
    const std::scoped_lock lock(mutex_);
    by_id = by_id_;
  }
  if (!has_token_ && by_id == nullptr) return anybody_;
  // The id is no secret: only the hash is. An unknown one is compared with what none has.
  const std::string_view id = id_of(given);
  SenderPtr sender;
  if (by_id != nullptr && !id.empty()) {
    if (const auto found = by_id->find(id); found != by_id->end()) sender = found->second;
  }
  static const Digest kNobody{};
  const Digest hash = hash_of(id, given);
  const bool is_key = runtime::crypto::equal(hash, sender ? sender->hash : kNobody) && sender;
  if (is_key) return sender;
  const bool is_token = has_token_ && runtime::crypto::equal(hash_of("", given), token_hash_);
  return is_token ? anybody_ : nullptr;
}

}  // namespace tally::producer::serve
