#include "runtime/kafka/handles.h"

#include <fmt/core.h>

#include <array>
#include <string_view>

namespace tally::runtime::kafka {
namespace {

bool may_be_secret(std::string_view name) {
  for (const std::string_view part : {"password", "secret", "sasl", "ssl", "key", "oauth"}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  return false;
}

void silent_log(const rd_kafka_t*, int, const char*, const char*) {}

}  // namespace

core::Result<Conf> make_conf(const ClientSettings& settings) {
  Conf conf(rd_kafka_conf_new());
  rd_kafka_conf_set_log_cb(conf.get(), silent_log);
  std::array<char, 512> why{};
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size()) ==
        RD_KAFKA_CONF_OK) {
      continue;
    }
    return core::invalid(
        may_be_secret(name)
            ? fmt::format("Kafka setting {}: the client refuses its value (not shown)", name)
            : fmt::format("Kafka setting {}={}: {}", name, value, why.data()));
  }
  return conf;
}

core::Result<Handle> make_handle(rd_kafka_type_t type, Conf conf) {
  std::array<char, 512> why{};
  rd_kafka_t* raw = rd_kafka_new(type, conf.get(), why.data(), why.size());
  if (raw == nullptr) {
    return core::invalid(fmt::format("the Kafka client cannot start: {}", why.data()));
  }
  // rd_kafka_new has taken the configuration over.
  static_cast<void>(conf.release());
  return Handle(raw);
}

}  // namespace tally::runtime::kafka
