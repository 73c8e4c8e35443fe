// API keys of the HTTP daemon: who may send events, and for which tenant.
//
// A key is `tk_ID_SECRET`: 16 and 64 hex digits, 256 random bits. The file holds no key, but lines
//
//   ID HASH TENANT          # HASH = hex of HMAC-SHA-256, keyed by kKeyDomain and ID, over the key
//
// so that whoever reads it can send nothing. TENANT is * for a key that may send every tenant's
// events; never nothing, and the last line ends too, so that a file cut short opens nothing. Empty
// lines and lines that begin with # are passed over.
#pragma once

#include "core/result.h"
#include "runtime/crypto/crypto.h"
#include "runtime/http/bytes_receiving.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace tally::producer::serve {

inline constexpr std::string_view kKeyDomain = "tally-producer key v1 ";
inline constexpr std::string_view kEveryTenant = "*";

// Whom a request is from. Lives as long as somebody holds it, also when the file lost its line.
struct Sender {
  std::string id;      // of the key; "" where anybody may send
  std::string tenant;  // not empty: it may send this one's events only
  runtime::crypto::Digest hash{};
  std::atomic<std::uint64_t> in_flight{0};  // events
  std::atomic<std::uint64_t> requests{0};   // in flight, they too
  // Of a key: bodies that are arriving, of its tenant's keys together; nullptr where anybody may
  // send.
  std::shared_ptr<runtime::http::BytesReceiving> receiving = nullptr;
};
using SenderPtr = std::shared_ptr<Sender>;

struct NewKey {
  std::string key;   // to be shown once
  std::string line;  // for the file
};
// For one tenant, or kEveryTenant. Errors: none given, or one that no event could have.
[[nodiscard]] core::Result<NewKey> new_key(std::string_view tenant);

// Any thread.
class Keys {
 public:
  // Whoever gives `token` may send everything; "": there is no such token. Until read_file() there
  // are no keys.
  explicit Keys(std::string token);

  // All keys are those of the file from now on; on an error, which names file and line, they stay
  // as they were. What a key has in flight stays counted, and what a tenant's keys are receiving.
  [[nodiscard]] core::Result<void> read_file(const std::string& path);
  // Whether no key and no token is asked for.
  [[nodiscard]] bool open_to_all() const;
  [[nodiscard]] std::size_t size() const;

  // `given` is what the request says after `Bearer `, or in X-API-Key. nullptr: it may not send.
  // Takes equally long whichever key it is, and whether there is one.
  [[nodiscard]] SenderPtr find(std::string_view given) const;

 private:
  using ById = std::map<std::string, SenderPtr, std::less<>>;
  const runtime::crypto::Digest token_hash_;
  const bool has_token_;
  const SenderPtr anybody_ = std::make_shared<Sender>();
  mutable std::mutex mutex_;
  std::shared_ptr<const ById> by_id_;  // guarded by mutex_; nullptr: no file was read
};

}  // namespace tally::producer::serve
