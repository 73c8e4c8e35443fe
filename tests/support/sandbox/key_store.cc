#include "tests/support/sandbox/key_store.h"

namespace tally::sandbox {

Refused KeyStore::answer(std::string_view key, std::string_view fingerprint, std::int64_t now,
                         Time at) const {
  const auto found = kept_.find(key);
  if (found == kept_.end() || now - found->second.created >= kIdempotencySeconds) {
    return std::nullopt;
  }
  const Kept& kept = found->second;
  if (kept.fingerprint != fingerprint) {
    return error_reply(400, "idempotency_error",
                       "Keys for idempotent requests can only be used with the same parameters "
                       "they were first used with.");
  }
  if (at < kept.in_flight_until) {
    return error_reply(409, "idempotency_error",
                       "There is currently another in-progress request using this idempotency key.",
                       "idempotency_key_in_use");
  }
  Reply replayed = kept.reply;
  replayed.headers["Idempotent-Replayed"] = "true";
  return replayed;
}

void KeyStore::keep(const std::string& key, std::string fingerprint, Reply reply, std::int64_t now,
                    Time in_flight_until) {
  while (!by_age_.empty() && now - by_age_.front().first >= kIdempotencySeconds) {
    const auto old = kept_.find(by_age_.front().second);
    if (old != kept_.end() && old->second.created == by_age_.front().first) kept_.erase(old);
    by_age_.pop_front();
  }
  kept_[key] = {std::move(fingerprint), std::move(reply), now, in_flight_until};
  by_age_.emplace_back(now, key);
}

}  // namespace tally::sandbox
