#include "tests/support/sandbox/key_store.h"

namespace tally::sandbox {

Refused KeyStore::answer(std::string_view key, std::string_view fingerprint, std::int64_t now,
                         Time at) const {
  const auto found = kept_.find(key);
  if (found == kept_.end() || now >= found->second.until) return std::nullopt;
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
  Reply replayed{kept.status, nlohmann::json::parse(kept.body), Keep::kYes, kept.headers};
  replayed.headers["Idempotent-Replayed"] = "true";
  return replayed;
}

void KeyStore::keep(const std::string& key, std::string fingerprint, Reply reply, std::int64_t now,
                    std::int64_t until, Time in_flight_until) {
  while (!by_end_.empty() && now >= by_end_.begin()->first) {
    kept_.erase(by_end_.begin()->second);
    by_end_.erase(by_end_.begin());
  }
  const auto [at, is_new] = kept_.try_emplace(key);
  at->second = {std::move(fingerprint),
                reply.status,
                reply.body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                std::move(reply.headers),
                until,
                in_flight_until};
  if (is_new) by_end_.emplace(until, at);
}

}  // namespace tally::sandbox
