#include "runtime/kafka/handles.h"

#include "core/check.h"
#include "runtime/kafka/settings.h"

#include <fmt/core.h>

#include <array>
#include <string>
#include <utility>

namespace tally::runtime::kafka {
namespace {

void silent_log(const rd_kafka_t*, int, const char*, const char*) {}

// While a broker is away librdkafka's thread for it sleeps between two tries, and sleeping it
// neither tells of what has timed out nor finds the broker back. It would sleep for up to 10 s.
constexpr const char* kLongestWait = "reconnect.backoff.max.ms";
constexpr const char* kLongestWaitMs = "1000";

}  // namespace

core::Result<Conf> make_conf(const ClientSettings& settings) {
  Conf conf(rd_kafka_conf_new());
  rd_kafka_conf_set_log_cb(conf.get(), silent_log);
  std::array<char, 512> why{};
  if (!settings.contains(kLongestWait) && !settings.contains("reconnect.backoff.ms")) {
    const auto set =
        rd_kafka_conf_set(conf.get(), kLongestWait, kLongestWaitMs, why.data(), why.size());
    TALLY_CHECK(set == RD_KAFKA_CONF_OK, "{}", why.data());
  }
  for (const auto& [name, value] : settings) {
    const auto set =
        rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size());
    if (set == RD_KAFKA_CONF_OK) continue;
    // librdkafka's words may hold the value; an unknown name may be a secret's with a typing error.
    const std::string named = set == RD_KAFKA_CONF_UNKNOWN ? name : shown(name, value);
    return core::invalid(fmt::format("Kafka setting {}: {}", named,
                                     is_secret(name) ? "the client refuses it" : why.data()));
  }
  return conf;
}

core::Result<Handle> make_handle(rd_kafka_type_t type, Conf conf) {
  std::array<char, 512> why{};
  // OAuth's tokens are renewed by a thread of librdkafka's: some of tally's clients poll rarely.
  rd_kafka_conf_enable_sasl_queue(conf.get(), 1);
  rd_kafka_t* raw = rd_kafka_new(type, conf.get(), why.data(), why.size());
  if (raw == nullptr) {
    return core::invalid(fmt::format("the Kafka client cannot start: {}", why.data()));
  }
  // rd_kafka_new has taken the configuration over.
  static_cast<void>(conf.release());
  Handle handle(raw);
  // An error says that no mechanism with tokens is set.
  if (rd_kafka_error_t* none = rd_kafka_sasl_background_callbacks_enable(raw)) {
    rd_kafka_error_destroy(none);
  }
  return handle;
}

}  // namespace tally::runtime::kafka
