// One meter: from its JSON and back.
#include "core/catalogue.h"
#include "core/catalogue_fields.h"
#include "core/catalogue_parts.h"
#include "core/json_cursor.h"
#include "core/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace tally::core {
namespace {

using Kind = JsonValue::Kind;

constexpr std::array<std::string_view, 6> kAggregations = {"sum", "count",  "max",
                                                           "min", "latest", "unique_count"};
constexpr std::array<std::string_view, 3> kWindows = {"minute", "hour", "day"};
constexpr std::array<std::string_view, 4> kRoundings = {"down", "up", "half_up", "half_even"};
static_assert(static_cast<std::size_t>(Aggregation::kUniqueCount) + 1 == kAggregations.size());
static_assert(static_cast<std::size_t>(WindowSize::kDay) + 1 == kWindows.size());
static_assert(static_cast<std::size_t>(Rounding::kHalfEven) + 1 == kRoundings.size());

void take_group_by(CatalogueFields& fields, Meter& meter) {
  const JsonValue* const group_by = fields.optional_value("group_by");
  if (group_by == nullptr) return;
  if (group_by->kind != Kind::kObject) {
    return fields.fail("group_by", "not an object of names and JSON pointers");
  }
  if (group_by->names.size() > kMaxDimensionsPerMeter) {
    return fields.fail("group_by", fmt::format("names {} dimensions, the limit is {}",
                                               group_by->names.size(), kMaxDimensionsPerMeter));
  }
  for (std::size_t i = 0; i < group_by->names.size(); ++i) {
    const std::string& name = group_by->names[i];
    if (!is_slug(name)) {
      return fields.fail("group_by", fmt::format("\"{}\" is not a slug: use a-z, 0-9 and _, a "
                                                 "letter first",
                                                 name));
    }
    if (group_by->children[i].kind != Kind::kString) {
      return fields.fail("group_by", fmt::format("\"{}\" is not a JSON pointer in quotes", name));
    }
    auto path = parse_pointer(group_by->children[i].text);
    if (!path) {
      return fields.fail("group_by", fmt::format("\"{}\": {}", name, path.error().message));
    }
    meter.group_by.push_back({name, std::move(path).value()});
  }
  std::sort(meter.group_by.begin(), meter.group_by.end(),
            [](const Dimension& a, const Dimension& b) { return a.name < b.name; });
}

Result<Scalar> parse_scalar(const JsonValue& value) {
  switch (value.kind) {
    case Kind::kString:
      return Scalar(value.text);
    case Kind::kBoolean:
      return Scalar(value.text == "true");
    case Kind::kNull:
      return Scalar(nullptr);
    case Kind::kNumber: {
      const auto number = Decimal::parse(value.text);
      if (number) return Scalar(number.value());
      return invalid(fmt::format("the number {} has {}", value.text, number.error().message));
    }
    case Kind::kArray:
    case Kind::kObject:
      break;
  }
  return invalid("a value to compare with is a string, number, true, false or null");
}

Result<Filter> parse_filter(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  Filter filter;
  auto path = fields.optional_path("field");
  if (!path) fields.fail("field", "missing");
  filter.path = std::move(path).value_or(JsonPath());
  const JsonValue* const in = fields.array("in");
  const JsonValue* const not_in = fields.array("not_in");
  if ((in == nullptr) == (not_in == nullptr)) {
    fields.fail("in", "give exactly one of in and not_in");
  }
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  filter.kind = in != nullptr ? FilterKind::kIn : FilterKind::kNotIn;
  const std::string_view name = in != nullptr ? "in" : "not_in";
  const JsonValue& list = in != nullptr ? *in : *not_in;
  if (list.children.empty() || list.children.size() > kMaxFilterValues) {
    fields.fail(
        name, fmt::format("lists {} values, give 1 to {}", list.children.size(), kMaxFilterValues));
  }
  for (const JsonValue& child : list.children) {
    auto scalar = parse_scalar(child);
    if (!scalar) {
      fields.fail(name, scalar.error().message);
      break;
    }
    filter.values.push_back(std::move(scalar).value());
  }
  if (fields.failed()) return fields.error();
  return filter;
}

void take_where(CatalogueFields& fields, Meter& meter) {
  const JsonValue* const where = fields.array("where");
  if (where == nullptr) return;
  if (where->children.size() > kMaxFiltersPerMeter) {
    return fields.fail("where", fmt::format("lists {} filters, the limit is {}",
                                            where->children.size(), kMaxFiltersPerMeter));
  }
  for (std::size_t i = 0; i < where->children.size(); ++i) {
    auto filter = parse_filter(where->children[i], fmt::format("{}: where[{}]", fields.entry(), i));
    if (!filter) return fields.fail(filter.error());
    meter.where.push_back(std::move(filter).value());
  }
}

void take_stripe(CatalogueFields& fields, Meter& meter) {
  const JsonValue* const stripe = fields.optional_value("stripe");
  if (stripe == nullptr) return;
  CatalogueFields mapped(*stripe, fields.entry() + ": stripe");
  StripeMapping mapping;
  mapping.event_name = mapped.text("event_name", Bytes{kMaxStripeEventNameBytes});
  mapping.multiplier = mapped.optional_decimal("multiplier").value_or(Decimal::from_int(1));
  if (mapping.multiplier <= Decimal()) mapped.fail("multiplier", "must be greater than 0");
  mapping.decimals = mapped.optional_small_int("decimals", Decimal::kScale).value_or(0);
  mapping.rounding = static_cast<Rounding>(
      mapped.choice("rounding", kRoundings, static_cast<std::size_t>(Rounding::kHalfUp)));
  mapped.refuse_unknown();
  if (mapped.failed()) return fields.fail(mapped.error());
  if (meter.aggregation == Aggregation::kMin) {
    return fields.fail("stripe", "a min meter is not exported: remove the mapping");
  }
  meter.stripe = std::move(mapping);
}

void take_value(CatalogueFields& fields, Meter& meter) {
  auto value = fields.optional_path("value");
  if (meter.aggregation == Aggregation::kCount) {
    if (value) fields.fail("value", "a count meter takes none: remove it or choose sum");
    return;
  }
  if (!value) {
    fields.fail("value", fmt::format("missing: {} needs a JSON pointer into data",
                                     to_string(meter.aggregation)));
  }
  meter.value = std::move(value).value_or(JsonPath());
}

void append_member(std::string_view name, std::string_view value, std::string& out) {
  if (out.back() != '{') out += ',';
  append_json_string(name, out);
  out += ':';
  append_json_string(value, out);
}

void append_name(std::string_view name, std::string& out) {
  if (out.back() != '{') out += ',';
  append_json_string(name, out);
  out += ':';
}

void append_scalar(const Scalar& scalar, std::string& out) {
  if (const auto* const text = std::get_if<std::string>(&scalar)) {
    append_json_string(*text, out);
  } else if (const auto* const number = std::get_if<Decimal>(&scalar)) {
    number->append_to(out);
  } else if (const auto* const flag = std::get_if<bool>(&scalar)) {
    out += *flag ? "true" : "false";
  } else {
    out += "null";
  }
}

void append_filter(const Filter& filter, std::string& out) {
  out += '{';
  append_member("field", to_pointer(filter.path), out);
  append_name(filter.kind == FilterKind::kIn ? "in" : "not_in", out);
  out += '[';
  for (std::size_t i = 0; i < filter.values.size(); ++i) {
    if (i != 0) out += ',';
    append_scalar(filter.values[i], out);
  }
  out += "]}";
}

void append_stripe(const StripeMapping& stripe, std::string& out) {
  append_name("stripe", out);
  out += '{';
  append_name("decimals", out);
  out += std::to_string(stripe.decimals);
  append_member("event_name", stripe.event_name, out);
  append_member("multiplier", stripe.multiplier.to_string(), out);
  append_member("rounding", kRoundings[static_cast<std::size_t>(stripe.rounding)], out);
  out += '}';
}

}  // namespace

Result<Meter> parse_meter_value(const JsonValue& value, std::string entry) {
  CatalogueFields fields(value, std::move(entry));
  Meter meter;
  meter.slug = fields.slug("slug");
  if (!fields.failed()) fields.rename(fmt::format("meter \"{}\"", meter.slug));
  meter.event_type = fields.text("event_type", Bytes{kMaxEventTypeBytes});
  const std::size_t aggregation = fields.choice("aggregation", kAggregations, kAggregations.size());
  if (aggregation == kAggregations.size()) {
    fields.fail("aggregation", "missing");
  } else {
    meter.aggregation = static_cast<Aggregation>(aggregation);
  }
  take_value(fields, meter);
  take_group_by(fields, meter);
  take_where(fields, meter);
  meter.window = static_cast<WindowSize>(
      fields.choice("window", kWindows, static_cast<std::size_t>(WindowSize::kHour)));
  meter.allow_negative = fields.optional_flag("allow_negative");
  meter.unit_cost = fields.optional_decimal("unit_cost");
  if (meter.unit_cost && meter.unit_cost->is_negative()) {
    fields.fail("unit_cost", "is negative: give 0 or more");
  }
  take_stripe(fields, meter);
  fields.refuse_unknown();
  if (fields.failed()) return fields.error();
  return meter;
}

std::string meter_definition(const Meter& meter) {
  std::string out = "{";
  append_member("aggregation", to_string(meter.aggregation), out);
  append_name("allow_negative", out);
  out += meter.allow_negative ? "true" : "false";
  append_member("event_type", meter.event_type, out);
  append_name("group_by", out);
  out += '{';
  for (const Dimension& dimension : meter.group_by) {
    append_member(dimension.name, to_pointer(dimension.path), out);
  }
  out += '}';
  append_member("slug", meter.slug, out);
  if (meter.stripe) append_stripe(*meter.stripe, out);
  if (meter.unit_cost) append_member("unit_cost", meter.unit_cost->to_string(), out);
  if (!meter.value.empty()) append_member("value", to_pointer(meter.value), out);
  append_name("where", out);
  out += '[';
  for (std::size_t i = 0; i < meter.where.size(); ++i) {
    if (i != 0) out += ',';
    append_filter(meter.where[i], out);
  }
  out += ']';
  append_member("window", to_string(meter.window), out);
  out += '}';
  return out;
}

Result<Meter> parse_meter(std::string_view definition) {
  const auto value = parse_json(definition);
  if (!value) return invalid("a meter's definition: " + value.error().message);
  return parse_meter_value(value.value(), "a meter's definition");
}

}  // namespace tally::core
