// The customers of the account, as far as meter events ask for them. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tally::sandbox {

class Customers {
 public:
  // `behaviour` outlives this object: whether ids exist that nobody created is its to say.
  explicit Customers(const Behaviour& behaviour) : behaviour_(behaviour) {}

  // Not deleted, and created or taken for granted.
  [[nodiscard]] bool exists(std::string_view id) const;
  // As Stripe shows it: a deleted one is its id and `deleted`; null when it is not known.
  [[nodiscard]] nlohmann::json shown(std::string_view id) const;
  // Takes what shown() gave, or a new one.
  void put(nlohmann::json customer);
  [[nodiscard]] bool knows(std::string_view id) const { return known_.contains(id); }
  // Of no customer that is or was.
  [[nodiscard]] std::string next_id() const;

 private:
  const Behaviour& behaviour_;
  std::map<std::string, nlohmann::json, std::less<>> known_;  // created or deleted
};

// Without a name and such, which are null.
[[nodiscard]] nlohmann::json new_customer(const std::string& id, std::int64_t now,
                                          const std::map<std::string, std::string>& metadata);
[[nodiscard]] nlohmann::json deleted_customer(std::string_view id);

}  // namespace tally::sandbox
