#include "admin/catalogue_store.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>

namespace tally::admin {
namespace {

using core::Catalogue;
using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::postgres::ArrayText;
using runtime::postgres::Param;
using runtime::postgres::Rows;
using runtime::postgres::Transaction;

// Windows are keyed by tenant first: a hop per tenant, instead of reading a table of any size.
constexpr const char* kUsedSql = R"(
WITH RECURSIVE
counter_tenant AS (
  SELECT min(tenant) AS tenant FROM tally.usage_window
  UNION ALL
  SELECT (SELECT min(tenant) FROM tally.usage_window w WHERE w.tenant > c.tenant)
    FROM counter_tenant c WHERE c.tenant IS NOT NULL),
gauge_tenant AS (
  SELECT min(tenant) AS tenant FROM tally.gauge_window
  UNION ALL
  SELECT (SELECT min(tenant) FROM tally.gauge_window w WHERE w.tenant > g.tenant)
    FROM gauge_tenant g WHERE g.tenant IS NOT NULL),
unique_tenant AS (
  SELECT min(tenant) AS tenant FROM tally.unique_set
  UNION ALL
  SELECT (SELECT min(tenant) FROM tally.unique_set u WHERE u.tenant > s.tenant)
    FROM unique_tenant s WHERE s.tenant IS NOT NULL)
SELECT EXISTS (SELECT FROM counter_tenant c WHERE EXISTS (
         SELECT FROM tally.usage_window w WHERE w.tenant = c.tenant AND w.meter = $1))
    OR EXISTS (SELECT FROM gauge_tenant g WHERE EXISTS (
         SELECT FROM tally.gauge_window w WHERE w.tenant = g.tenant AND w.meter = $1))
    OR EXISTS (SELECT FROM unique_tenant s WHERE EXISTS (
         SELECT FROM tally.unique_set u WHERE u.tenant = s.tenant AND u.meter = $1))
    OR EXISTS (SELECT FROM tally.outbox o WHERE o.meter = $1))";

void add_text_or_null(ArrayText& array, const std::string& text) {
  if (text.empty()) {
    array.add_null();
  } else {
    array.add(text);
  }
}

std::string text_of(core::Rounding rounding) {
  switch (rounding) {
    case core::Rounding::kDown:
      return "down";
    case core::Rounding::kUp:
      return "up";
    case core::Rounding::kHalfUp:
      return "half_up";
    case core::Rounding::kHalfEven:
      return "half_even";
  }
  return {};
}

struct StripeColumns {
  Param event_name;
  Param multiplier;
  Param decimals;
  Param rounding;
};

StripeColumns stripe_columns(const core::Meter& meter) {
  if (!meter.stripe) return {};
  return {meter.stripe->event_name, meter.stripe->multiplier.to_string(),
          std::to_string(meter.stripe->decimals), text_of(meter.stripe->rounding)};
}

void store_meters(Transaction& transaction, const CatalogueChanges& changes,
                  const Catalogue& wanted) {
  for (const EntryChange& change : changes.meters) {
    if (change.kind == ChangeKind::kKept) continue;
    const core::Meter& meter = wanted.meters[change.wanted];
    const StripeColumns stripe = stripe_columns(meter);
    Param unit_cost;
    if (meter.unit_cost) unit_cost = meter.unit_cost->to_string();
    // created_version tells under which reading of the events an identity was remembered: price and
    // mapping do not touch it.
    transaction.exec(
        "INSERT INTO tally.meter AS m (slug, event_type, aggregation, definition,"
        " stripe_event_name, stripe_multiplier, stripe_decimals, stripe_rounding, unit_cost,"
        " created_version)"
        " SELECT $1, $2, $3, $4, $5, $6::numeric, $7::integer, $8, $9::numeric, version + 1"
        " FROM tally.catalogue_version"
        " ON CONFLICT (slug) DO UPDATE SET event_type = excluded.event_type,"
        " aggregation = excluded.aggregation, definition = excluded.definition,"
        " stripe_event_name = excluded.stripe_event_name,"
        " stripe_multiplier = excluded.stripe_multiplier,"
        " stripe_decimals = excluded.stripe_decimals, stripe_rounding = excluded.stripe_rounding,"
        " unit_cost = excluded.unit_cost,"
        " created_version = CASE WHEN $10::boolean THEN excluded.created_version"
        " ELSE m.created_version END",
        {meter.slug, meter.event_type, std::string(core::to_string(meter.aggregation)),
         core::meter_definition(meter), stripe.event_name, stripe.multiplier, stripe.decimals,
         stripe.rounding, unit_cost, change.changes_reading() ? "true" : "false"});
  }
}

void store_plans(Transaction& transaction, const CatalogueChanges& changes,
                 const Catalogue& wanted) {
  ArrayText slugs;
  ArrayText names;
  ArrayText definitions;
  for (const EntryChange& change : changes.plans) {
    if (change.kind == ChangeKind::kKept) continue;
    const core::Plan& plan = wanted.plans[change.wanted];
    slugs.add(plan.slug);
    names.add(plan.name);
    definitions.add(plan.definition);
  }
  transaction.exec(
      "INSERT INTO tally.plan (slug, name, definition)"
      " SELECT * FROM unnest($1::text[], $2::text[], $3::text[])"
      " ON CONFLICT (slug) DO UPDATE SET name = excluded.name, definition = excluded.definition",
      {slugs.take(), names.take(), definitions.take()});
}

void store_tenants(Transaction& transaction, const CatalogueChanges& changes,
                   const Catalogue& wanted) {
  ArrayText ids;
  ArrayText names;
  ArrayText zones;
  ArrayText plans;
  ArrayText statuses;
  ArrayText customers;
  for (const EntryChange& change : changes.tenants) {
    if (change.kind == ChangeKind::kKept) continue;
    const core::Tenant& tenant = wanted.tenants[change.wanted];
    ids.add(tenant.id);
    names.add(tenant.name);
    zones.add(tenant.time_zone);
    add_text_or_null(plans, tenant.plan);
    statuses.add(tenant.status);
    add_text_or_null(customers, tenant.stripe_customer.value_or(""));
  }
  transaction.exec(
      "INSERT INTO tally.tenant (tenant, name, time_zone, plan, status, stripe_customer)"
      " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],"
      " $6::text[])"
      " ON CONFLICT (tenant) DO UPDATE SET name = excluded.name, time_zone = excluded.time_zone,"
      " plan = excluded.plan, status = excluded.status,"
      " stripe_customer = excluded.stripe_customer",
      {ids.take(), names.take(), zones.take(), plans.take(), statuses.take(), customers.take()});
}

}  // namespace

void lock_catalogue(Transaction& transaction) {
  transaction.exec("SET LOCAL lock_timeout = '30s'");
  transaction.exec("SELECT version FROM tally.catalogue_version FOR UPDATE");
}

Result<StoredCatalogue> read_catalogue(Transaction& transaction) {
  StoredCatalogue stored;
  stored.version = core::CatalogueVersion(
      transaction.exec("SELECT version FROM tally.catalogue_version").int64(0, 0));
  const Rows meters = transaction.exec("SELECT definition, slug FROM tally.meter ORDER BY slug");
  for (std::size_t i = 0; i < meters.size(); ++i) {
    auto meter = core::parse_meter(meters.text(i, 0));
    if (!meter) {
      return Error{ErrorKind::kConflict,
                   fmt::format("the stored meter {} cannot be read, it was not written by "
                               "tally-admin: {}",
                               meters.text(i, 1), meter.error().message)};
    }
    stored.catalogue.meters.push_back(std::move(meter).value());
  }
  const Rows plans = transaction.exec("SELECT slug, name, definition FROM tally.plan");
  for (std::size_t i = 0; i < plans.size(); ++i) {
    core::Plan plan;
    plan.slug = plans.text(i, 0);
    plan.name = plans.text(i, 1);
    plan.definition = plans.text(i, 2);
    stored.catalogue.plans.push_back(std::move(plan));
  }
  const Rows tenants = transaction.exec(
      "SELECT tenant, name, time_zone, plan, status, stripe_customer FROM tally.tenant");
  stored.catalogue.tenants.reserve(tenants.size());
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    core::Tenant tenant;
    tenant.id = tenants.text(i, 0);
    tenant.name = tenants.text(i, 1);
    tenant.time_zone = tenants.text(i, 2);
    tenant.plan = tenants.text(i, 3);
    tenant.status = tenants.text(i, 4);
    if (!tenants.is_null(i, 5)) tenant.stripe_customer = tenants.text(i, 5);
    stored.catalogue.tenants.push_back(std::move(tenant));
  }
  return stored;
}

Result<void> check_used_meters(Transaction& transaction, const CatalogueChanges& changes) {
  for (const EntryChange& change : changes.meters) {
    if (change.kind != ChangeKind::kChanged || !change.changes_definition()) continue;
    if (!transaction.exec(kUsedSql, {change.id}).boolean(0, 0)) continue;
    std::string names;
    for (const FieldChange& field : change.fields) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", field.name);
    }
    return Error{ErrorKind::kConflict,
                 fmt::format("meter {} is in use and its definition is immutable, but the file "
                             "changes {}: leave {} as it is and add a meter with a new slug",
                             change.id, names, change.id)};
  }
  return boost::outcome_v2::success();
}

Result<void> check_time_zones(Transaction& transaction, const CatalogueChanges& changes,
                              const Catalogue& wanted) {
  std::set<std::string> zones;
  for (const EntryChange& change : changes.tenants) {
    if (change.kind != ChangeKind::kKept) zones.insert(wanted.tenants[change.wanted].time_zone);
  }
  zones.erase("UTC");
  if (zones.empty()) return boost::outcome_v2::success();
  ArrayText array;
  for (const std::string& zone : zones) array.add(zone);
  const Rows unknown = transaction.exec(
      "SELECT zone FROM unnest($1::text[]) AS zone"
      " WHERE zone NOT IN (SELECT name FROM pg_timezone_names) ORDER BY zone LIMIT 1",
      {array.take()});
  if (unknown.size() == 0) return boost::outcome_v2::success();
  for (const EntryChange& change : changes.tenants) {
    if (change.kind == ChangeKind::kKept) continue;
    const core::Tenant& tenant = wanted.tenants[change.wanted];
    if (tenant.time_zone != unknown.text(0, 0)) continue;
    return core::invalid(fmt::format(
        "tenant \"{}\": Postgres knows no time zone \"{}\": use a name such as Europe/Berlin or "
        "UTC",
        tenant.id, tenant.time_zone));
  }
  return boost::outcome_v2::success();
}

void store_changes(Transaction& transaction, const CatalogueChanges& changes,
                   const Catalogue& wanted) {
  store_meters(transaction, changes, wanted);
  store_plans(transaction, changes, wanted);
  store_tenants(transaction, changes, wanted);
  transaction.exec("UPDATE tally.catalogue_version SET version = version + 1, changed_at = now()");
}

}  // namespace tally::admin
