#include "tests/support/generator/expectation.h"

#include <numeric>

namespace tally::generator {

void Expectation::add_to_counter(const std::string& tenant, std::string_view meter,
                                 Wide thousandths) {
  PerMeter& meters = counters_[tenant];
  const auto found = meters.find(meter);
  if (found != meters.end()) {
    found->second += thousandths;
  } else {
    meters.emplace(meter, thousandths);
  }
}

void Expectation::add_reading(const std::string& tenant, std::string_view meter,
                              const std::string& dimension, std::int64_t time_micros,
                              Wide thousandths) {
  Reading& last = gauges_[{tenant, std::string(meter)}][dimension];
  if (time_micros >= last.time_micros) last = {time_micros, thousandths};
}

void Expectation::set_customer(const std::string& tenant, const std::string& customer) {
  customers_[tenant] = customer;
}

std::int64_t Expectation::records() const {
  return std::accumulate(classes_.begin(), classes_.end(), std::int64_t{0});
}

std::map<std::string, Expectation::PerMeter> Expectation::per_tenant() const {
  std::map<std::string, PerMeter> all = counters_;
  for (const auto& [series, readings] : gauges_) {
    Wide sum = 0;
    for (const auto& [dimension, reading] : readings) sum += reading.thousandths;
    all[series.first][series.second] = sum;
  }
  return all;
}

nlohmann::ordered_json Expectation::to_json() const {
  nlohmann::ordered_json out;
  out["records"] = records();
  out["files"] = nlohmann::ordered_json::object();
  for (const auto& [name, count] : files_) out["files"][name] = count;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    out["classes"][std::string(kClassNames[i])] = classes_[i];
  }
  PerMeter total;
  PerMeter exportable;
  auto customers = nlohmann::ordered_json::object();
  const auto tenants = per_tenant();
  for (const auto& [tenant, meters] : tenants) {
    const auto customer = customers_.find(tenant);
    for (const auto& [meter, amount] : meters) {
      total[meter] += amount;
      exportable[meter] += customer == customers_.end() ? 0 : amount;
      if (customer != customers_.end()) {
        customers[customer->second][meter] = thousandths_text(amount);
      }
    }
  }
  out["meters"] = nlohmann::ordered_json::object();
  for (const auto& [meter, amount] : total) {
    out["meters"][meter] = {{"total", thousandths_text(amount)},
                            {"exportable", thousandths_text(exportable[meter])}};
  }
  out["customers"] = std::move(customers);
  out["tenants"] = tenants.size();
  return out;
}

}  // namespace tally::generator
