// How a session has its plans executed, one at a time, so that folding the next batch overlaps the
// commit of this one.
#pragma once

#include "aggregator/batch_plan.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace tally::aggregator {

enum class PlanFate : std::uint8_t {
  kCommitted,
  kFenced,
  kCatalogueMoved,
  kConnectionBroke,  // committed or not: whoever comes next reads what the database holds
};

struct CommitReport {
  PlanFate fate = PlanFate::kCommitted;
  std::unique_ptr<BatchPlan> plan;
};

// Threads: all methods from the one session's thread. Destroying it gives up on a plan under way,
// which may be executed yet: its guard keeps that from doing harm.
class Committer {
 public:
  virtual ~Committer() = default;

  [[nodiscard]] virtual bool busy() const = 0;
  virtual void submit(std::unique_ptr<BatchPlan> plan) = 0;  // not when busy or a report waits
  // The report of the submitted plan, waiting for it at most `time`.
  virtual std::optional<CommitReport> take_report(std::chrono::milliseconds time) = 0;

  // A commit of other plans is about to start: one that is submitted now goes with them, and costs
  // only the rows that they do not touch.
  [[nodiscard]] virtual bool boarding() const = 0;
  // There is nothing to submit: nobody need wait for it.
  virtual void pass() = 0;
};

using CommitterFactory = std::function<std::unique_ptr<Committer>()>;

}  // namespace tally::aggregator
