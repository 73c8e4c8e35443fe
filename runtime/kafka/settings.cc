#include "runtime/kafka/settings.h"

#include "runtime/kafka/handles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace tally::runtime::kafka {
namespace {

using config::Objection;

// kTallys: tally sets it, nobody else may. kFixed: it has these values or the promise falls,
// whoever sets it.
enum class Hold : std::uint8_t { kTallys, kFixed };

struct Reserved {
  Role role;
  std::string_view name;
  Hold hold;
  std::string_view allowed;  // by |, empty: none; of kFixed
  std::string_view reason;
};

constexpr std::array kReserved = {
    Reserved{Role::kProducer, "acks", Hold::kFixed, "all|-1",
             "an event counts as delivered only when every in-sync replica has it"},
    Reserved{Role::kProducer, "enable.idempotence", Hold::kFixed, "true|1|t",
             "without it the client's own retries write an event twice and out of order"},
    Reserved{Role::kProducer, "partitioner", Hold::kFixed, "murmur2_random|murmur2",
             "the home of an event is murmur2 of its id"},
    Reserved{Role::kProducer, "transactional.id", Hold::kFixed, "",
             "this producer begins no transactions"},
    Reserved{Role::kProducer, "bootstrap.servers", Hold::kTallys, "",
             "it is a setting of tally's own: brokers"},
    Reserved{
        Role::kProducer, "message.timeout.ms", Hold::kTallys, "",
        "it is a setting of tally's own: delivery-timeout-ms, in the library delivery_timeout"},
    Reserved{Role::kProducer, "delivery.report.only.error", Hold::kTallys, "",
             "every event's end is told, and which are asked for is tally's to say"},
    Reserved{Role::kProducer, "enabled_events", Hold::kTallys, "",
             "tally hears of each event by callback: as an event nobody would take it"},
    Reserved{Role::kProducer, "log.queue", Hold::kTallys, "", "nobody would read that queue"},
    Reserved{Role::kConsumer, "bootstrap.servers", Hold::kTallys, "",
             "it is a setting of tally's own: brokers"},
    Reserved{Role::kConsumer, "client.id", Hold::kTallys, "", "each worker has one of its own"},
    Reserved{Role::kConsumer, "group.id", Hold::kTallys, "",
             "it is a setting of tally's own: group"},
    Reserved{Role::kConsumer, "group.instance.id", Hold::kTallys, "",
             "it is a setting of tally's own: instance"},
    Reserved{Role::kConsumer, "enable.auto.commit", Hold::kFixed, "false|0|f",
             "offsets are committed with the totals, in Postgres"},
    Reserved{Role::kConsumer, "enable.auto.offset.store", Hold::kFixed, "false|0|f",
             "offsets are committed with the totals, in Postgres"},
    Reserved{Role::kConsumer, "isolation.level", Hold::kFixed, "read_committed",
             "what a transaction aborted was never said"},
    Reserved{
        Role::kConsumer, "auto.offset.reset", Hold::kFixed, "error",
        "a position that the log does not have is a loss, which is counted and not jumped over"},
    Reserved{Role::kConsumer, "enable.partition.eof", Hold::kFixed, "true|1|t",
             "the end of a partition is progress that is stored"},
    Reserved{Role::kConsumer, "partition.assignment.strategy", Hold::kFixed, "cooperative-sticky",
             "assignments are taken and given back one by one"},
    Reserved{Role::kConsumer, "check.crcs", Hold::kFixed, "true|1|t",
             "a damaged record must not be counted"},
    Reserved{Role::kConsumer, "allow.auto.create.topics", Hold::kFixed, "false|0|f",
             "reading must not make a topic of other settings than schemas/topics"},
    Reserved{Role::kConsumer, "queued.max.messages.kbytes", Hold::kTallys, "",
             "it bounds the memory of a worker, which wakes the client by it"},
    Reserved{Role::kConsumer, "queued.min.messages", Hold::kTallys, "",
             "it bounds the memory of a worker, which wakes the client by it"},
    Reserved{Role::kConsumer, "enabled_events", Hold::kTallys, "",
             "tally hears of what happens by callback"},
    Reserved{Role::kConsumer, "log.queue", Hold::kTallys, "", "nobody would read that queue"},
};

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kAliases = {{
    {"metadata.broker.list", "bootstrap.servers"},
    {"max.in.flight", "max.in.flight.requests.per.connection"},
    {"sasl.mechanism", "sasl.mechanisms"},
    {"max.partition.fetch.bytes", "fetch.message.max.bytes"},
    {"queue.buffering.max.ms", "linger.ms"},
    {"message.send.max.retries", "retries"},
    {"compression.codec", "compression.type"},
    {"request.required.acks", "acks"},
    {"delivery.timeout.ms", "message.timeout.ms"},
    {"auto.commit.enable", "enable.auto.commit"},
    {"log.level", "log_level"},
    {"enabled.events", "enabled_events"},
}};

bool is_allowed(std::string_view allowed, std::string_view value) {
  std::string wanted(value);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  while (!allowed.empty()) {
    const std::size_t end = std::min(allowed.find('|'), allowed.size());
    if (allowed.substr(0, end) == wanted) return true;
    allowed.remove_prefix(std::min(end + 1, allowed.size()));
  }
  return false;
}

std::vector<std::pair<std::string, std::string>> reserved_of(Role role) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const Reserved& row : kReserved) {
    if (row.role != role) continue;
    const std::string_view value = row.allowed.substr(0, row.allowed.find('|'));
    names.emplace_back(
        value.empty() ? std::string(row.name) : fmt::format("{} other than {}", row.name, value),
        row.reason);
  }
  return names;
}

// A client that knows no broker: what does not go together shows when it is made.
std::optional<Objection> refused_together(Role role, const ClientSettings& settings) {
  ClientSettings whole = settings;
  if (role == Role::kProducer) whole["enable.idempotence"] = "true";
  whole.erase("bootstrap.servers");
  whole.erase("test.mock.num.brokers");
  auto conf = make_conf(whole);
  if (!conf) return Objection{"", conf.error().message};
  const auto made = make_handle(role == Role::kProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER,
                                std::move(conf.value()));
  return made ? std::nullopt : std::optional(Objection{"", made.error().message});
}

}  // namespace

bool is_secret(std::string_view name) {
  for (const std::string_view part : {"password", "secret", "ssl.key.pem", "oauthbearer.config"}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  return false;
}

std::string shown(const std::string& name, const std::string& value) {
  return is_secret(name) ? name + " (its value is a secret)" : fmt::format("{}={}", name, value);
}

std::string canonical(std::string_view name) {
  for (const auto& [other, ours] : kAliases) {
    if (name == other) return std::string(ours);
  }
  return std::string(name);
}

ClientSettings merged(ClientSettings defaults, const ClientSettings& settings) {
  for (const auto& [name, value] : settings) defaults[canonical(name)] = value;
  return defaults;
}

std::optional<Objection> reserved_objection(Role role, Source source,
                                            const ClientSettings& settings) {
  for (const auto& [given, value] : settings) {
    const std::string name = canonical(given);
    for (const Reserved& row : kReserved) {
      if (row.role != role || row.name != name || is_allowed(row.allowed, value)) continue;
      if (row.hold == Hold::kTallys && source == Source::kTally) continue;
      const std::string_view use = row.allowed.substr(0, row.allowed.find('|'));
      return Objection{given,
                       fmt::format("Kafka setting {}: {}; {}", shown(given, value), row.reason,
                                   use.empty() ? std::string("leave it out")
                                               : fmt::format("use {} or leave it out", use))};
    }
  }
  return std::nullopt;
}

std::optional<Objection> objection(Role role, const ClientSettings& settings) {
  if (auto reserved = reserved_objection(role, Source::kOutside, settings)) return reserved;
  for (const auto& [name, value] : settings) {
    const auto conf = make_conf({{canonical(name), value}});
    if (!conf) return Objection{name, conf.error().message};
  }
  return refused_together(role, merged({}, settings));
}

std::optional<Objection> producer_objection(const ClientSettings& settings) {
  return objection(Role::kProducer, settings);
}

std::optional<Objection> consumer_objection(const ClientSettings& settings) {
  return objection(Role::kConsumer, settings);
}

std::vector<std::pair<std::string, std::string>> producer_reserved() {
  return reserved_of(Role::kProducer);
}

std::vector<std::pair<std::string, std::string>> consumer_reserved() {
  return reserved_of(Role::kConsumer);
}

}  // namespace tally::runtime::kafka
