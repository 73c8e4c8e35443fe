#include "admin/tenants.h"

#include "admin/catalogue_store.h"
#include "admin/table.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <ostream>
#include <vector>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::postgres::Connection;
using runtime::postgres::Rows;
using runtime::postgres::StatementFailed;
using runtime::postgres::Transaction;

Result<void> check_tenant(const core::Tenant& tenant) {
  if (tenant.id.empty() || tenant.id.size() > core::kMaxTenantIdBytes) {
    return core::invalid(fmt::format("a tenant's id has 1 to {} bytes, this one has {}",
                                     core::kMaxTenantIdBytes, tenant.id.size()));
  }
  for (const char* status : {"active", "trialing", "past_due", "canceled"}) {
    if (tenant.status == status) return boost::outcome_v2::success();
  }
  return core::invalid(fmt::format(
      "\"{}\" is no status: use active, trialing, past_due or canceled", tenant.status));
}

}  // namespace

void list_tenants(Connection& connection, std::ostream& out) {
  const Rows rows = connection.exec(
      "SELECT tenant, name, time_zone, coalesce(plan, '-'), status,"
      " coalesce(stripe_customer, '-') FROM tally.tenant ORDER BY tenant");
  std::vector<std::vector<std::string>> cells;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    cells.emplace_back();
    for (std::size_t column = 0; column < 6; ++column) {
      cells.back().emplace_back(rows.text(i, column));
    }
  }
  print_table(out, {{"tenant"}, {"name"}, {"time zone"}, {"plan"}, {"status"}, {"stripe customer"}},
              cells);
  out << fmt::format("{} tenants\n", rows.size());
}

Result<void> add_tenant(Connection& connection, const core::Tenant& tenant, std::ostream& out) {
  if (auto good = check_tenant(tenant); !good) return good;
  core::Catalogue wanted;
  wanted.tenants.push_back(tenant);
  CatalogueChanges changes;
  changes.tenants.push_back({ChangeKind::kAdded, tenant.id, 0, {}});
  try {
    Transaction transaction = connection.begin();
    if (auto zones = check_time_zones(transaction, changes, wanted); !zones) return zones;
    lock_catalogue(transaction);
    if (transaction.exec("SELECT FROM tally.tenant WHERE tenant = $1", {tenant.id}).size() > 0) {
      return Error{ErrorKind::kConflict,
                   fmt::format("tenant {} exists already: change it in the catalogue and run "
                               "tally-admin apply",
                               tenant.id)};
    }
    store_changes(transaction, changes, wanted);
    transaction.commit();
  } catch (const StatementFailed& error) {
    if (error.sqlstate() == "23503") {
      return Error{ErrorKind::kNotFound,
                   fmt::format("plan {} is not in the catalogue: apply it first", tenant.plan)};
    }
    if (error.sqlstate() == "23505") {
      return Error{ErrorKind::kConflict, fmt::format("Stripe customer {} belongs to another tenant",
                                                     tenant.stripe_customer.value_or(""))};
    }
    throw;
  }
  out << fmt::format("Stored: tenant {}.\n", tenant.id);
  return boost::outcome_v2::success();
}

}  // namespace tally::admin
