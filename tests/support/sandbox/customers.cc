#include "tests/support/sandbox/customers.h"

#include <fmt/format.h>

namespace tally::sandbox {

using nlohmann::json;

json new_customer(const std::string& id, std::int64_t now,
                  const std::map<std::string, std::string>& metadata) {
  return {
      {"id", id},         {"object", "customer"}, {"created", now},       {"description", nullptr},
      {"email", nullptr}, {"livemode", false},    {"metadata", metadata}, {"name", nullptr}};
}

json deleted_customer(std::string_view id) {
  return {{"id", id}, {"object", "customer"}, {"deleted", true}};
}

bool Customers::exists(std::string_view id) const {
  const auto found = known_.find(id);
  if (found != known_.end()) return !found->second.contains("deleted");
  return behaviour_.unknown_customers == UnknownCustomers::kAccept;
}

json Customers::shown(std::string_view id) const {
  const auto found = known_.find(id);
  if (found != known_.end()) return found->second;
  return exists(id) ? new_customer(std::string(id), 0, {}) : json(nullptr);
}

void Customers::put(json customer) {
  const std::string id = customer.at("id");
  known_[id] = std::move(customer);
}

std::string Customers::next_id() const {
  std::string id;
  for (std::size_t number = known_.size() + 1; id.empty() || knows(id); ++number) {
    id = fmt::format("cus_test_{:08}", number);
  }
  return id;
}

}  // namespace tally::sandbox
