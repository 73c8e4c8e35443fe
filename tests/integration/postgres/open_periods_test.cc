// A billing period that is taken back and put back while another session opens it.
#include "aggregator/load_tenants.h"
#include "tests/integration/postgres/scratch_database.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>

namespace tally::integration {
namespace {

using aggregator::open_periods;
using runtime::postgres::Connection;
using runtime::postgres::Transaction;

constexpr const char* kInsertPeriod =
    "INSERT INTO tally.billing_period VALUES ('a', '2026-03-01 00:00Z', '2026-04-01 00:00Z')";

class OpenPeriods : public testing::Test {
 protected:
  // As a commit does: under the catalogue's version, without a period while there is none.
  static void count(Connection& connection, const std::string& hour, const std::string& events) {
    Transaction transaction = connection.begin();
    transaction.exec("SELECT version FROM tally.catalogue_version FOR SHARE");
    transaction.exec(
        "INSERT INTO tally.usage_window VALUES ('a', 'calls', $1::timestamptz,"
        " $1::timestamptz + interval '1 hour', '{}', $2::numeric, $2::bigint)",
        {hour, events});
    transaction.commit();
  }
  // What becomes of the period while it is opened: gone, something is counted, back again.
  static void take_back_and_put_back(Connection& connection) {
    connection.exec("DELETE FROM tally.billing_period");
    open_periods(connection);  // as the session does that counts without the period
    count(connection, "2026-03-02 00:00Z", "3");
    connection.exec(kInsertPeriod);
  }
  // Until the task is done or its connection waits for a lock; says which.
  bool waits_for_a_lock(const std::future<void>& task, const std::string& backend) {
    while (task.wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout) {
      if (watcher_
              .exec("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = $1::integer)",
                    {backend})
              .boolean(0, 0)) {
        return true;
      }
    }
    return false;
  }
  static std::string backend_of(Connection& connection) {
    return std::string(connection.exec("SELECT pg_backend_pid()::text").text(0, 0));
  }

  ScratchDatabase database_;
  Connection watcher_ = database_.migrated();
};

TEST_F(OpenPeriods, NoPeriodChangesWhileOneIsOpened) {
  count(watcher_, "2026-03-01 00:00Z", "5");
  watcher_.exec(kInsertPeriod);
  Connection holder = database_.connect();
  Connection opener = database_.connect();
  Connection changer = database_.connect();
  const std::string opener_backend = backend_of(opener);
  const std::string changer_backend = backend_of(changer);
  std::future<void> opening;
  std::future<void> changing;
  {
    // The opener has summed the windows and stands at its first row until this one is gone.
    Transaction held = holder.begin();
    held.exec(
        "INSERT INTO tally.usage_total VALUES ('a', 'calls', 'period', '2026-03-01 00:00Z',"
        " '2026-04-01 00:00Z', '2026-03-01', 0, 0)");
    opening = std::async(std::launch::async, [&] { open_periods(opener); });
    ASSERT_TRUE(waits_for_a_lock(opening, opener_backend));
    changing = std::async(std::launch::async, [&] { take_back_and_put_back(changer); });
    EXPECT_TRUE(waits_for_a_lock(changing, changer_backend)) << "the period changed meanwhile";
  }
  opening.get();
  changing.get();
  open_periods(watcher_);
  EXPECT_EQ(watcher_.exec("SELECT sum(quantity)::text FROM finance.usage_by_period").text(0, 0),
            "8");
}

}  // namespace
}  // namespace tally::integration
