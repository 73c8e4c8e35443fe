// Stripe's reports of events that it rejected after their 200: one thin event per meter and ten
// seconds, with a sample of the errors. Times are unix seconds. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::sandbox {

constexpr std::int64_t kReportSeconds = 10;
constexpr std::int64_t kReportKeptSeconds = 30 * 86'400;

struct Rejection {
  std::string meter_id;  // "": no meter was found
  std::string code;
  std::string message;
  std::string request;  // how the sample names the event
  std::int64_t at = 0;
};

class Reports {
 public:
  void add(Rejection rejection);
  // Makes the events of the windows that ended by `now`, with at most `samples` errors per code,
  // and returns them whole, oldest first.
  [[nodiscard]] std::vector<nlohmann::json> publish(std::int64_t now, std::int64_t samples);
  // An event that publish() once made; its window is not published again.
  void restore(const nlohmann::json& event);
  // The whole event, with its data, for 30 days; nullptr when there is none.
  [[nodiscard]] const nlohmann::json* find(std::string_view id, std::int64_t now) const;
  // Events as they are delivered, without data, in the order of their making: at most `limit` from
  // position `from` on.
  [[nodiscard]] nlohmann::json delivered(std::size_t from, std::size_t limit) const;

 private:
  struct Published {
    std::int64_t created = 0;
    nlohmann::json event;
  };
  using Window = std::pair<std::int64_t, std::string>;  // start, meter
  std::map<Window, std::vector<Rejection>> open_;
  std::vector<Published> published_;
};

}  // namespace tally::sandbox
