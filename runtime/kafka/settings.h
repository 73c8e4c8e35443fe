// What people may tell librdkafka through tally: SASL, TLS, OAuth, compression, linger and the
// rest, by librdkafka's own names. What tally's promises stand on is refused, with the reason; the
// table stands in settings.cc. Any thread.
#pragma once

#include "core/result.h"
#include "runtime/config/family.h"
#include "runtime/kafka/producer.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::runtime::kafka {

enum class Role : std::uint8_t { kProducer, kConsumer };
// kOutside: a flag, a variable, a file, UsageClientOptions::kafka. kTally: what the code sets.
enum class Source : std::uint8_t { kOutside, kTally };

// Whether a value must be shown to nobody.
[[nodiscard]] bool is_secret(std::string_view name);
// "name=value", or "name (its value is a secret)".
[[nodiscard]] std::string shown(const std::string& name, const std::string& value);
// librdkafka knows some settings by several names: the one that tally uses. Underscores that were
// taken for dots are put back.
[[nodiscard]] std::string canonical(std::string_view name);

// A setting that breaks a promise of tally, or (from outside) one that tally sets itself.
[[nodiscard]] std::optional<config::Objection> reserved_objection(Role role, Source source,
                                                                  const ClientSettings& settings);
// All that can be wrong with settings from outside: what is reserved, what librdkafka does not know
// or refuses (its own words), and settings that do not go together. Asks no broker.
[[nodiscard]] std::optional<config::Objection> objection(Role role, const ClientSettings& settings);
// `settings` over `defaults`, whichever names they go by.
[[nodiscard]] ClientSettings merged(ClientSettings defaults, const ClientSettings& settings);

[[nodiscard]] std::optional<config::Objection> producer_objection(const ClientSettings& settings);
[[nodiscard]] std::optional<config::Objection> consumer_objection(const ClientSettings& settings);
[[nodiscard]] std::vector<std::pair<std::string, std::string>> producer_reserved();
[[nodiscard]] std::vector<std::pair<std::string, std::string>> consumer_reserved();

inline constexpr std::string_view kFamilySentence =
    "A setting of librdkafka by its own name: security.protocol, sasl.username, ssl.ca.location, "
    "linger.ms, … (docs/operating/kafka.md).";
inline constexpr config::Family kProducerFamily{"kafka", kFamilySentence, &is_secret,
                                                &producer_objection, &producer_reserved};
inline constexpr config::Family kConsumerFamily{"kafka", kFamilySentence, &is_secret,
                                                &consumer_objection, &consumer_reserved};

}  // namespace tally::runtime::kafka
