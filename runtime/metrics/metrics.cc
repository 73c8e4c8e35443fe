#include "runtime/metrics/metrics.h"

#include "core/check.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace tally::runtime::metrics {

void Counter::add(double amount) {
  TALLY_CHECK(amount >= 0, "a counter only grows, not by {}", amount);
  static_cast<prometheus::Counter*>(impl_)->Increment(amount);
}

void Gauge::set(double value) { static_cast<prometheus::Gauge*>(impl_)->Set(value); }

void Gauge::add(double amount) { static_cast<prometheus::Gauge*>(impl_)->Increment(amount); }

void Histogram::observe(double value) {
  static_cast<prometheus::Histogram*>(impl_)->Observe(value);
}

struct Registry::Impl {
  prometheus::Registry registry;  // merges families of one name, and is thread-safe
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Counter Registry::counter(const std::string& name, const std::string& help, const Labels& labels) {
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry);
  return Counter(&family.Add(labels));
}

Gauge Registry::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  auto& family = prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry);
  return Gauge(&family.Add(labels));
}

Histogram Registry::histogram(const std::string& name, const std::string& help,
                              const std::vector<double>& buckets, const Labels& labels) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  return Histogram(&family.Add(labels, buckets));
}

std::string Registry::exposition() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace tally::runtime::metrics
