// The slow obvious judge: what Stripe took against what was used.
#pragma once

#include "tests/simulation/exporter/books.h"
#include "tests/simulation/exporter/sim_stripe.h"
#include "tests/simulation/exporter/usage.h"

#include <map>
#include <string>
#include <utility>

namespace tally::simulation::exporting {

class ExportAuditor {
 public:
  ExportAuditor(Scheduler& scheduler, Coverage& coverage, Usage& usage, const Books& books,
                const SimStripe& stripe)
      : scheduler_(scheduler), coverage_(coverage), usage_(usage), books_(books), stripe_(stripe) {}

  // Each event that Stripe takes: of a row that is under way, as it was written, and no total goes
  // beyond what was ever due.
  void taken(const exporter::MeterEvent& event);
  // Nothing is open or due any more. Says in `pending` what is missing.
  [[nodiscard]] bool settled();
  [[nodiscard]] const std::string& pending() const { return pending_; }
  // The sentence of the promise that broke, or nothing.
  [[nodiscard]] std::string at_rest();

 private:
  using Key = std::pair<std::size_t, std::size_t>;  // series, period
  struct AtStripe {
    core::Decimal sum;
    std::int64_t newest_seconds = 0;
    core::Decimal last;
  };
  [[nodiscard]] core::Decimal due(const Key& key) const;
  [[nodiscard]] std::string judge(const Key& key) const;

  Scheduler& scheduler_;
  Coverage& coverage_;
  Usage& usage_;
  const Books& books_;
  const SimStripe& stripe_;
  std::map<Key, AtStripe> at_stripe_;
  std::string pending_;
};

}  // namespace tally::simulation::exporting
