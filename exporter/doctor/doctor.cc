#include "exporter/doctor/doctor.h"

#include "exporter/doctor/database_checks.h"
#include "exporter/doctor/stripe_checks.h"
#include "runtime/stripe/client.h"

#include <stdexcept>
#include <utility>
#include <vector>

namespace tally::exporter::doctor {
namespace {

namespace stripe = runtime::stripe;

void add(Findings& to, const Findings& more) { to.insert(to.end(), more.begin(), more.end()); }

Findings examine_stripe(const Settings& settings, const std::vector<core::Meter>& meters,
                        const Now& now) {
  const auto endpoint =
      stripe::endpoint_of(settings.stripe_url, settings.stripe_key, settings.stripe_timeout);
  if (!endpoint) return {{Level::kFail, "stripe url", endpoint.error().message, ""}};
  Findings findings = {check_url(endpoint.value()),
                       check_key(settings.stripe_key, endpoint.value().url)};
  if (findings.back().level == Level::kFail) return findings;
  try {
    stripe::Client client(endpoint.value());
    add(findings, check_stripe(client, settings.stripe_key, meters, now));
  } catch (const std::invalid_argument& wrong) {
    findings.front() = {Level::kFail, "stripe url", wrong.what(), ""};
  }
  return findings;
}

}  // namespace

Findings examine(const Settings& settings, const Now& now) {
  DatabaseReport database = check_database(settings.conninfo, now);
  Findings findings = std::move(database.findings);
  add(findings, examine_stripe(settings, database.meters, now));
  hide(settings.stripe_key, findings);
  return findings;
}

}  // namespace tally::exporter::doctor
