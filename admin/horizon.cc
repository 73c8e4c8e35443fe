#include "admin/horizon.h"

#include "admin/catalogue_store.h"

#include <fmt/format.h>

#include <ostream>
#include <string>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;

struct Horizon {
  std::int64_t seconds = 0;
  std::int64_t future_bound_seconds = 0;
  std::string late_before;  // events before then may be forgotten; "": the memory is whole
};

Result<Horizon> read_horizon(Transaction& transaction, const char* lock) {
  const Rows row =
      transaction.exec(std::string("SELECT horizon_seconds, future_bound_seconds, "
                                   "coalesce((dropped_before + 1)::text, '') FROM tally.deployment "
                                   "WHERE horizon_seconds IS NOT NULL ") +
                       lock);
  if (row.size() == 0) {
    return Error{ErrorKind::kNotFound,
                 "no aggregator has used this database yet: the first one sets the horizon with "
                 "its --horizon-seconds and --future-bound-seconds"};
  }
  return Horizon{row.int64(0, 0), row.int64(0, 1), std::string(row.text(0, 2))};
}

std::int64_t remembered_days(Transaction& transaction, const Horizon& horizon) {
  return transaction
      .exec("SELECT tally.remembered_days($1::bigint, $2::bigint)::bigint",
            {std::to_string(horizon.seconds), std::to_string(horizon.future_bound_seconds)})
      .int64(0, 0);
}

bool raises(const Horizon& before, const Horizon& after) {
  return after.seconds > before.seconds || after.future_bound_seconds > before.future_bound_seconds;
}

void describe(const Horizon& before, const Horizon& after, Transaction& transaction,
              std::ostream& out) {
  const std::int64_t days = remembered_days(transaction, after);
  out << fmt::format(
      "horizon: {} s -> {} s, future bound: {} s -> {} s\n"
      "Identities are remembered for {} days of the slowest partition's clock",
      before.seconds, after.seconds, before.future_bound_seconds, after.future_bound_seconds, days);
  const std::int64_t days_before = remembered_days(transaction, before);
  if (days < days_before) {
    out << fmt::format(", not {}: what is older is forgotten for good.\n", days_before);
  } else if (raises(before, after) && !after.late_before.empty()) {
    out << fmt::format(
        ", not {}. What is older now was forgotten: an event whose time is before {} is late "
        "(older_than_memory) and not counted, until the horizon has passed that day.\n",
        days_before, after.late_before);
  } else {
    out << ".\n";
  }
  out << fmt::format(
      "Every aggregator counts again once it is started with --horizon-seconds {} "
      "--future-bound-seconds {}.\n",
      after.seconds, after.future_bound_seconds);
}

void store(const Horizon& after, Transaction& transaction) {
  transaction.exec(
      "UPDATE tally.deployment SET horizon_seconds = $1::bigint, "
      "future_bound_seconds = $2::bigint",
      {std::to_string(after.seconds), std::to_string(after.future_bound_seconds)});
  transaction.exec("UPDATE tally.catalogue_version SET version = version + 1, changed_at = now()");
}

}  // namespace

Result<void> set_horizon(Connection& connection, const HorizonRequest& request, std::ostream& out) {
  const bool apply = request.mode == HorizonMode::kApply;
  try {
    Transaction transaction = connection.begin();
    // In the order of a growth and the commits: the deployment, then the catalogue.
    transaction.exec("SET LOCAL lock_timeout = '30s'");
    const auto before = read_horizon(transaction, apply ? "FOR UPDATE" : "");
    if (!before) return before.error();
    if (apply) lock_catalogue(transaction);
    Horizon after = before.value();
    after.seconds = request.horizon_seconds;
    after.future_bound_seconds =
        request.future_bound_seconds.value_or(before.value().future_bound_seconds);
    if (after.seconds == before.value().seconds &&
        after.future_bound_seconds == before.value().future_bound_seconds) {
      out << fmt::format("Nothing to change: the horizon is {} s, the future bound {} s.\n",
                         after.seconds, after.future_bound_seconds);
      return boost::outcome_v2::success();
    }
    describe(before.value(), after, transaction, out);
    if (!apply) {
      out << "Dry run: nothing was changed; --apply does it.\n";
      return boost::outcome_v2::success();
    }
    store(after, transaction);
    transaction.commit();
  } catch (const StatementFailed& error) {
    if (error.sqlstate() != "55P03") throw;
    return Error{ErrorKind::kUnavailable,
                 "the deployment stayed locked for 30 s by another transaction; nothing was "
                 "changed: run it again"};
  }
  out << "Changed.\n";
  return boost::outcome_v2::success();
}

}  // namespace tally::admin
