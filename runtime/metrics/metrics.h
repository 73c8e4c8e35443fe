// Prometheus metrics; prometheus-cpp is included by metrics.cc alone. Components wrap these in one
// probe each. Counters, gauges and histograms are thread-safe and live as long as their Registry.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tally::runtime::metrics {

class Counter {
 public:
  void add(double amount = 1);  // CHECKs amount >= 0
  explicit Counter(void* impl) : impl_(impl) {}

 private:
  void* impl_;
};

class Gauge {
 public:
  void set(double value);
  void add(double amount);  // may be negative
  explicit Gauge(void* impl) : impl_(impl) {}

 private:
  void* impl_;
};

class Histogram {
 public:
  void observe(double value);
  explicit Histogram(void* impl) : impl_(impl) {}

 private:
  void* impl_;
};

using Labels = std::map<std::string, std::string>;

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  // The same name and labels give the same metric. Names: tally_<component>_<what>_<unit>[_total].
  // Throws std::invalid_argument for a bad name, or one already used for another kind of metric.
  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram histogram(const std::string& name, const std::string& help,
                      const std::vector<double>& buckets, const Labels& labels = {});
  [[nodiscard]] std::string exposition() const;  // text format 0.0.4
 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tally::runtime::metrics
