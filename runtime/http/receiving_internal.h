// What the bodies of one connection's requests take of the bytes that may be arriving. For the
// sources of this folder only.
#pragma once

#include "runtime/http/bytes_receiving.h"
#include "runtime/http/server.h"

#include <cstdint>
#include <memory>
#include <utility>

namespace tally::runtime::http {

// One thread; outlived by `all` and `options`.
class BodyCharge {
 public:
  enum class Taken { kYes, kFull, kAccountFull };

  BodyCharge(BytesReceiving& all, const ServerOptions& options) : all_(all), options_(options) {}
  ~BodyCharge() { give_back(); }
  BodyCharge(const BodyCharge&) = delete;
  BodyCharge& operator=(const BodyCharge&) = delete;

  // Before the first take() of a request: whose bytes they are, too; nullptr: nobody's.
  void open(std::shared_ptr<BytesReceiving> account) { account_ = std::move(account); }
  // The account first, so that one that is full takes nothing from the others, not for a moment.
  [[nodiscard]] Taken take(std::uint64_t bytes) {
    if (bytes == 0) return Taken::kYes;
    if (account_ && !account_->take(bytes, options_.max_bytes_receiving_of_account())) {
      return Taken::kAccountFull;
    }
    if (!all_.take(bytes, options_.max_bytes_receiving)) {
      if (account_) account_->give_back(bytes);
      return Taken::kFull;
    }
    taken_ += bytes;
    return Taken::kYes;
  }
  void give_back() {
    if (account_) account_->give_back(taken_);
    account_.reset();
    if (taken_ > 0) all_.give_back(taken_);
    taken_ = 0;
  }

 private:
  BytesReceiving& all_;
  const ServerOptions& options_;
  std::shared_ptr<BytesReceiving> account_;
  std::uint64_t taken_ = 0;  // of both
};

}  // namespace tally::runtime::http
