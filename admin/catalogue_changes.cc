#include "admin/catalogue_changes.h"

#include "core/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace tally::admin {
namespace {

using core::Catalogue;
using core::JsonValue;
using core::Result;

constexpr std::size_t kShortLines = 20;

// An entry as a flat list of named canonical values: what two versions of it are compared by.
using Fields = std::map<std::string, std::string>;

Result<Fields> fields_of(const std::string& definition, const std::string& entry) {
  const auto parsed = core::parse_json(definition);
  if (!parsed || parsed.value().kind != JsonValue::Kind::kObject) {
    return core::invalid(fmt::format("the definition of {} is no JSON object: {}", entry,
                                     parsed ? "another kind of value" : parsed.error().message));
  }
  Fields fields;
  for (std::size_t i = 0; i < parsed.value().names.size(); ++i) {
    core::append_canonical(parsed.value().children[i], fields[parsed.value().names[i]]);
  }
  return fields;
}

Fields fields_of(const core::Tenant& tenant) {
  Fields fields{{"name", tenant.name}, {"status", tenant.status}, {"time_zone", tenant.time_zone}};
  if (!tenant.plan.empty()) fields["plan"] = tenant.plan;
  if (tenant.stripe_customer) fields["stripe_customer"] = *tenant.stripe_customer;
  return fields;
}

std::vector<FieldChange> differences(const Fields& before, const Fields& after) {
  std::vector<FieldChange> changes;
  for (const auto& [name, value] : before) {
    const auto found = after.find(name);
    if (found == after.end()) {
      changes.push_back({name, value, ""});
    } else if (found->second != value) {
      changes.push_back({name, value, found->second});
    }
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) changes.push_back({name, "", value});
  }
  return changes;
}

// Walks both lists by id. `difference(stored, wanted)` gives the changed fields of one entry.
template <class Entry, class Id, class Difference>
Result<void> compare_lists(const std::vector<Entry>& stored, const std::vector<Entry>& wanted,
                           const Id& id_of, const Difference& difference,
                           std::vector<EntryChange>& out, std::size_t& unchanged) {
  std::map<std::string_view, const Entry*> before;
  for (const Entry& entry : stored) before[id_of(entry)] = &entry;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto found = before.find(id_of(wanted[i]));
    if (found == before.end()) {
      out.push_back({ChangeKind::kAdded, id_of(wanted[i]), i, {}});
      continue;
    }
    Result<std::vector<FieldChange>> fields = difference(*found->second, wanted[i]);
    if (!fields) return fields.error();
    before.erase(found);
    if (fields.value().empty()) {
      ++unchanged;
    } else {
      out.push_back({ChangeKind::kChanged, id_of(wanted[i]), i, std::move(fields).value()});
    }
  }
  for (const auto& [id, entry] : before) {
    out.push_back({ChangeKind::kKept, std::string(id), 0, {}});
  }
  std::sort(out.begin(), out.end(),
            [](const EntryChange& a, const EntryChange& b) { return a.id < b.id; });
  return boost::outcome_v2::success();
}

Result<std::vector<FieldChange>> compare_definitions(const std::string& before,
                                                     const std::string& after,
                                                     const std::string& entry) {
  if (before == after) return std::vector<FieldChange>{};
  const auto old_fields = fields_of(before, entry);
  if (!old_fields) return old_fields.error();
  const auto new_fields = fields_of(after, entry);
  if (!new_fields) return new_fields.error();
  return differences(old_fields.value(), new_fields.value());
}

void describe_list(std::string& out, std::string_view noun, const std::vector<EntryChange>& list,
                   ChangeKind kind, Detail detail) {
  std::size_t shown = 0;
  std::size_t hidden = 0;
  for (const EntryChange& change : list) {
    if (change.kind != kind) continue;
    if (detail == Detail::kShort && shown == kShortLines) {
      ++hidden;
      continue;
    }
    ++shown;
    const char sign = kind == ChangeKind::kAdded ? '+' : kind == ChangeKind::kChanged ? '~' : '-';
    out += fmt::format("  {} {} {}{}\n", sign, noun, change.id,
                       kind == ChangeKind::kKept ? "  (not in the file: kept)" : "");
    for (const FieldChange& field : change.fields) {
      out += fmt::format("      {}: {} -> {}\n", field.name,
                         field.before.empty() ? "(none)" : field.before,
                         field.after.empty() ? "(none)" : field.after);
    }
  }
  if (hidden > 0) out += fmt::format("    … and {} more (--full shows all)\n", hidden);
}

}  // namespace

bool EntryChange::changes_definition() const {
  return std::any_of(fields.begin(), fields.end(), [](const FieldChange& field) {
    if (field.name == "unit_cost" || field.name == "allow_negative") return false;
    return field.name != "stripe" || !field.before.empty();
  });
}

bool EntryChange::changes_reading() const {
  return std::any_of(fields.begin(), fields.end(), [](const FieldChange& field) {
    return field.name != "unit_cost" && field.name != "stripe";
  });
}

bool CatalogueChanges::any() const {
  for (const auto* list : {&meters, &plans, &tenants}) {
    for (const EntryChange& change : *list) {
      if (change.kind != ChangeKind::kKept) return true;
    }
  }
  return false;
}

Result<CatalogueChanges> compare_catalogues(const Catalogue& stored, const Catalogue& wanted) {
  CatalogueChanges changes;
  const auto meters = compare_lists(
      stored.meters, wanted.meters,
      [](const core::Meter& meter) -> const std::string& { return meter.slug; },
      [](const core::Meter& before, const core::Meter& after) {
        return compare_definitions(core::meter_definition(before), core::meter_definition(after),
                                   "meter " + before.slug);
      },
      changes.meters, changes.unchanged);
  if (!meters) return meters.error();
  const auto plans = compare_lists(
      stored.plans, wanted.plans,
      [](const core::Plan& plan) -> const std::string& { return plan.slug; },
      [](const core::Plan& before, const core::Plan& after) {
        return compare_definitions(before.definition, after.definition, "plan " + before.slug);
      },
      changes.plans, changes.unchanged);
  if (!plans) return plans.error();
  const auto tenants = compare_lists(
      stored.tenants, wanted.tenants,
      [](const core::Tenant& tenant) -> const std::string& { return tenant.id; },
      [](const core::Tenant& before, const core::Tenant& after) {
        return Result<std::vector<FieldChange>>(differences(fields_of(before), fields_of(after)));
      },
      changes.tenants, changes.unchanged);
  if (!tenants) return tenants.error();
  return changes;
}

std::string describe(const CatalogueChanges& changes, Detail detail) {
  std::string out;
  std::size_t added = 0;
  std::size_t changed = 0;
  std::size_t kept = 0;
  const std::pair<std::string_view, const std::vector<EntryChange>*> lists[] = {
      {"meter", &changes.meters}, {"plan", &changes.plans}, {"tenant", &changes.tenants}};
  for (const auto& [noun, list] : lists) {
    for (const ChangeKind kind : {ChangeKind::kAdded, ChangeKind::kChanged, ChangeKind::kKept}) {
      describe_list(out, noun, *list, kind, detail);
    }
    for (const EntryChange& change : *list) {
      added += change.kind == ChangeKind::kAdded ? 1 : 0;
      changed += change.kind == ChangeKind::kChanged ? 1 : 0;
      kept += change.kind == ChangeKind::kKept ? 1 : 0;
    }
  }
  out += fmt::format("{} added, {} changed, {} not in the file and kept, {} unchanged\n", added,
                     changed, kept, changes.unchanged);
  return out;
}

}  // namespace tally::admin
