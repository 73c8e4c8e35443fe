// Who is told of events, how that is signed, and when it is tried again. Pure: it says what is to
// be sent and is told what came of it. Endpoints and deliveries are Documents. Times are unix
// seconds, given by the caller. One thread at a time.
#pragma once

#include "tests/support/sandbox/behaviour.h"
#include "tests/support/sandbox/documents.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::sandbox {

// "t=…,v1=…[,v1=…],v0=…": one v1 for each secret; the v0 is none that counts.
[[nodiscard]] std::string signature_header(std::string_view body,
                                           const std::vector<std::string>& secrets,
                                           std::int64_t timestamp);

// http on the loopback, with a path or without: nothing else is ever sent to.
[[nodiscard]] bool is_local_url(std::string_view url);

// Ends the id of a report's second event; that of a snapshot event is as any other.
constexpr std::string_view kTwin = "_twin";

// One POST that is to be made. `number` says which when its answer is told.
struct Outgoing {
  std::string number;
  std::string base_url;
  std::string target;
  std::string body;
  std::string signature;
};

class Webhooks {
 public:
  using Json = nlohmann::json;

  Webhooks(const Behaviour& behaviour, Documents& documents)
      : behaviour_(behaviour), documents_(documents) {}

  // The endpoint as it is kept, with its secret. `thin`: it gets events without data.
  [[nodiscard]] Json add_endpoint(const std::string& url, const std::vector<std::string>& types,
                                  const Json& api_version, std::string secret, bool thin,
                                  std::int64_t now);
  // The new secret; the old one signs too for `overlap_s`.
  [[nodiscard]] std::string roll(const std::string& endpoint, std::string secret,
                                 std::int64_t overlap_s, std::int64_t now);
  void remove(const std::string& endpoint);

  // One delivery for each endpoint that wants it; how many that are.
  std::int64_t announce(const Json& event, bool thin, std::int64_t now);
  // A delivery from a state file, before Documents has it.
  void restore(const Json& document);

  // One object or an array of {"kind", "match", "count" or "rate", "value"}; refused whole.
  [[nodiscard]] Refused add_faults(const Json& wanted);
  void clear_faults() { faults_.clear(); }
  [[nodiscard]] Json shown_faults() const;

  // The next that is due; it is on its way until told() has its status (0: no answer).
  [[nodiscard]] std::optional<Outgoing> take(std::int64_t now);
  void told(const std::string& number, int status, std::int64_t now);
  // When the next is due.
  [[nodiscard]] std::optional<std::int64_t> next_due() const;
  [[nodiscard]] Json counters(std::int64_t now) const;

 private:
  struct Fault {
    std::string kind;
    std::string match;
    std::int64_t count = 1;
    double rate = 0;         // 0: by count
    std::int64_t value = 0;  // seconds
  };
  using Struck = std::map<std::string, std::int64_t>;  // kind -> value
  // The kinds that strike this event by count; and at this endpoint, each drawn for itself.
  [[nodiscard]] Struck strike_counted(std::string_view type);
  void strike_drawn(const Json& event, const std::string& endpoint, Struck& struck) const;
  void deliver(const Json& event, const Json& endpoint, const Struck& struck, std::int64_t now);
  [[nodiscard]] Json twin_of(Json event);
  void add_delivery(const Json& event, const Json& endpoint, const std::string& kind,
                    std::int64_t due, bool lost = false);
  [[nodiscard]] std::string body_of(const Json& delivery, const Json& endpoint) const;
  // As it is sent now, signed.
  [[nodiscard]] Outgoing made_of(const Json& delivery, const Json& endpoint,
                                 std::int64_t now) const;
  void keep(Json delivery);

  const Behaviour& behaviour_;
  Documents& documents_;
  std::vector<Fault> faults_;
  std::set<std::pair<std::int64_t, std::string>> waiting_;  // due, id
  std::set<std::string> on_the_way_;
  std::map<std::string, std::int64_t> counts_;  // since the start
};

}  // namespace tally::sandbox
