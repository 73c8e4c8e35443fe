#include "exporter/doctor/doctor.h"

#include "exporter/doctor/database_checks.h"
#include "exporter/doctor/stripe_checks.h"
#include "runtime/stripe/client.h"

#include <utility>
#include <vector>

namespace tally::exporter::doctor {
namespace {

namespace stripe = runtime::stripe;

void add(Findings& to, const Findings& more) { to.insert(to.end(), more.begin(), more.end()); }

Findings examine_stripe(const Settings& settings, const std::vector<core::Meter>& meters,
                        const Now& now) {
  const std::string& key = settings.stripe.key;
  const auto endpoint = stripe::endpoint_of(settings.stripe);
  if (!endpoint) return {{Level::kFail, "stripe url", endpoint.error().message, ""}};
  Findings findings = {check_url(endpoint.value()), check_key(key, endpoint.value().url)};
  if (findings.back().level == Level::kFail) return findings;
  stripe::Client client(endpoint.value());
  add(findings, check_stripe(client, key, meters, now));
  return findings;
}

}  // namespace

Findings examine(const Settings& settings, const Now& now) {
  DatabaseReport database = check_database(settings.conninfo, now);
  Findings findings = std::move(database.findings);
  add(findings, examine_stripe(settings, database.meters, now));
  return findings;
}

}  // namespace tally::exporter::doctor
