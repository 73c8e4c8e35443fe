// What a stream must come to, added up as it is generated, with integers of the generator's own:
// nothing here comes from core/ or aggregator/. Amounts are thousandths in 128 bits.
#pragma once

#include "tests/support/generator/calendar.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::generator {

enum class Class { kCounted, kDuplicate, kConflict, kLate, kRejected, kUnmetered, kFiltered };
inline constexpr std::array<std::string_view, 7> kClassNames = {
    "counted", "duplicate", "conflict", "late", "rejected", "unmetered", "filtered"};

class Expectation {
 public:
  void add_record(Class of) { ++classes_[static_cast<std::size_t>(of)]; }
  void add_to_counter(const std::string& tenant, std::string_view meter, Wide thousandths);
  // The latest of each series (tenant, meter, dimension) stands.
  void add_reading(const std::string& tenant, std::string_view meter, const std::string& dimension,
                   std::int64_t time_micros, Wide thousandths);
  void set_file(const std::string& name, std::int64_t records) { files_[name] = records; }
  // Only a tenant with a Stripe customer is exported.
  void set_customer(const std::string& tenant, const std::string& customer);

  [[nodiscard]] std::int64_t records() const;
  [[nodiscard]] std::int64_t count(Class of) const {
    return classes_[static_cast<std::size_t>(of)];
  }
  [[nodiscard]] nlohmann::ordered_json to_json() const;

 private:
  struct Reading {
    std::int64_t time_micros = 0;
    Wide thousandths = 0;
  };
  using PerMeter = std::map<std::string, Wide, std::less<>>;
  [[nodiscard]] std::map<std::string, PerMeter> per_tenant() const;

  std::array<std::int64_t, kClassNames.size()> classes_{};
  std::map<std::string, std::int64_t> files_;
  std::map<std::string, std::string> customers_;
  std::map<std::string, PerMeter> counters_;
  std::map<std::pair<std::string, std::string>, std::map<std::string, Reading>> gauges_;
};

}  // namespace tally::generator
