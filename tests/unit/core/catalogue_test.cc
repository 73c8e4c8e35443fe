#include "core/catalogue.h"
#include "core/limits.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace tally::core {
namespace {

using testing::HasSubstr;

std::string problem(const std::string& json) {
  const auto catalogue = parse_catalogue(json);
  return catalogue ? "none" : catalogue.error().message;
}

// A catalogue of one count meter with `more` members.
std::string meter(const std::string& more) {
  return R"({"meters":[{"slug":"calls","event_type":"api.request","aggregation":"count")" + more +
         "}]}";
}

std::string sum_meter(const std::string& more) {
  return R"({"meters":[{"slug":"m","event_type":"e","aggregation":"sum","value":"/v")" + more +
         "}]}";
}

std::string plan(const std::string& more) {
  return R"({"meters":[{"slug":"calls","event_type":"e","aggregation":"count"}],)"
         R"("plans":[{"slug":"free","name":"Free")" +
         more + "}]}";
}

std::string tenant(const std::string& more) {
  return R"({"plans":[{"slug":"free","name":"Free"}],"tenants":[{"id":"t1")" + more + "}]}";
}

void expect_problems(const std::vector<std::pair<std::string, std::string>>& cases) {
  for (const auto& [json, expected] : cases)
    EXPECT_THAT(problem(json), HasSubstr(expected)) << json;
}

TEST(Catalogue, MayBeEmpty) {
  EXPECT_EQ(problem("{}"), "none");
  EXPECT_EQ(problem(R"({"$schema":"catalogue.schema.json","meters":[],"plans":[],"tenants":[]})"),
            "none");
}

TEST(Catalogue, ReadsAWholeMeter) {
  const auto catalogue = parse_catalogue(sum_meter(
      R"(,"group_by":{"z":"/a~1b/c~0d","a":"/"},)"
      R"("where":[{"field":"/s","in":["ok",1,2.50,true,null]},)"
      R"({"field":"/r","not_in":[false]}],"window":"minute","allow_negative":true,)"
      R"("unit_cost":"0.000002","stripe":{"event_name":"ev","multiplier":"0.001","decimals":3,)"
      R"("rounding":"half_even"})"));
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const Meter& m = catalogue.value().meters.at(0);
  EXPECT_EQ(m.value, JsonPath{"v"});
  ASSERT_EQ(m.group_by.size(), 2U);
  EXPECT_EQ(m.group_by[0].name, "a");
  EXPECT_EQ(m.group_by[0].path, JsonPath{""});
  EXPECT_EQ(m.group_by[1].path, (JsonPath{"a/b", "c~d"}));
  ASSERT_EQ(m.where.size(), 2U);
  EXPECT_EQ(m.where[0].kind, FilterKind::kIn);
  ASSERT_EQ(m.where[0].values.size(), 5U);
  EXPECT_EQ(m.where[0].values[2], Scalar(Decimal::from_units(2'500'000'000'000)));
  EXPECT_EQ(m.where[0].values[3], Scalar(true));
  EXPECT_EQ(m.where[0].values[4], Scalar(nullptr));
  EXPECT_EQ(m.where[1].kind, FilterKind::kNotIn);
  EXPECT_EQ(m.window, WindowSize::kMinute);
  EXPECT_TRUE(m.allow_negative);
  EXPECT_EQ(m.unit_cost->to_string(), "0.000002");
  EXPECT_EQ(m.stripe->multiplier.to_string(), "0.001");
  EXPECT_EQ(m.stripe->decimals, 3);
  EXPECT_EQ(m.stripe->rounding, Rounding::kHalfEven);
}

TEST(Catalogue, AMeterHasDefaults) {
  const auto catalogue = parse_catalogue(meter(R"(,"stripe":{"event_name":"ev"})"));
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const Meter& m = catalogue.value().meters.at(0);
  EXPECT_EQ(m.window, WindowSize::kHour);
  EXPECT_FALSE(m.allow_negative);
  EXPECT_FALSE(m.unit_cost);
  EXPECT_TRUE(m.value.empty());
  EXPECT_EQ(m.stripe->multiplier, Decimal::from_int(1));
  EXPECT_EQ(m.stripe->decimals, 0);
  EXPECT_EQ(m.stripe->rounding, Rounding::kHalfUp);
}

TEST(Catalogue, ADefinitionRoundTripsForEveryShape) {
  for (const char* aggregation : {"sum", "count", "max", "min", "latest", "unique_count"}) {
    for (const char* window : {"minute", "hour", "day"}) {
      for (const char* rounding : {"down", "up", "half_up", "half_even"}) {
        const bool is_count = std::string_view(aggregation) == "count";
        const bool is_min = std::string_view(aggregation) == "min";
        const std::string json = fmt::format(
            R"({{"window":"{}","slug":"m","aggregation":"{}","event_type":"quote\"d"{}{},)"
            R"("where":[{{"not_in":[1e2,"1",null,true,-0.5],)"
            R"("field":"/a~1b"}}],"group_by":{{"b":"/x","a":"/y"}}}})",
            window, aggregation, is_count ? "" : R"(,"value":"/v/w")",
            is_min ? std::string()
                   : fmt::format(R"(,"stripe":{{"event_name":"e","rounding":"{}"}})", rounding));
        const auto first = parse_meter(json);
        ASSERT_TRUE(first) << first.error().message << json;
        const std::string definition = meter_definition(first.value());
        const auto second = parse_meter(definition);
        ASSERT_TRUE(second) << second.error().message << definition;
        EXPECT_EQ(meter_definition(second.value()), definition);
        EXPECT_EQ(second.value().aggregation, first.value().aggregation);
        EXPECT_EQ(second.value().where[0].values, first.value().where[0].values);
        EXPECT_EQ(second.value().where[0].path, first.value().where[0].path);
      }
    }
  }
}

TEST(Catalogue, ADefinitionIsPinned) {
  const auto m = parse_meter(
      R"({"slug":"m","event_type":"e","aggregation":"sum","value":"/v","unit_cost":"1.50",)"
      R"("where":[{"field":"/s","in":[1.0,"ok"]}],"group_by":{"b":"/b","a":"/a"},)"
      R"("stripe":{"event_name":"ev"}})");
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(meter_definition(m.value()),
            R"({"aggregation":"sum","allow_negative":false,"event_type":"e",)"
            R"("group_by":{"a":"/a","b":"/b"},"slug":"m","stripe":{"decimals":0,"event_name":"ev",)"
            R"("multiplier":"1","rounding":"half_up"},"unit_cost":"1.5","value":"/v",)"
            R"("where":[{"field":"/s","in":[1,"ok"]}],"window":"hour"})");
}

TEST(Catalogue, MeterErrorsNameTheEntryAndTheField) {
  expect_problems({
      {R"({"meters":[{}]})", R"(meters[0]: field "slug": missing)"},
      {R"({"meters":[{"slug":"Calls"}]})", R"(meters[0]: field "slug": "Calls" is not a slug)"},
      {R"({"meters":[{"slug":"1a"}]})", R"(field "slug")"},
      {R"({"meters":[{"slug":"m"}]})", R"(meter "m": field "event_type": missing)"},
      {R"({"meters":[{"slug":"m","event_type":"e"}]})", R"(field "aggregation": missing)"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"avg"}]})",
       R"(field "aggregation": "avg" is none of sum, count, max, min, latest, unique_count)"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"sum"}]})",
       R"(meter "m": field "value": missing: sum needs a JSON pointer)"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"unique_count"}]})",
       R"(field "value": missing)"},
      {meter(R"(,"value":"/v")"), R"(meter "calls": field "value": a count meter takes none)"},
      {meter(R"(,"windw":"hour")"), R"(meter "calls": field "windw": unknown)"},
      {meter(R"(,"window":"week")"), R"(field "window": "week" is none of minute, hour, day)"},
      {meter(R"(,"allow_negative":1)"), R"(field "allow_negative")"},
      {meter(R"(,"unit_cost":0.1)"), R"(field "unit_cost": not a decimal in quotes)"},
      {meter(R"(,"unit_cost":"-1")"), R"(field "unit_cost": is negative)"},
      {meter(R"(,"unit_cost":"1e-13")"), R"(field "unit_cost": "1e-13" is more than 12 decimals)"},
      {meter(R"(,"group_by":[])"), R"(field "group_by")"},
      {meter(R"(,"group_by":{"A":"/a"})"), R"(field "group_by": "A" is not a slug)"},
      {meter(R"(,"group_by":{"a":"a"})"), R"(field "group_by": "a": "a" is not a JSON pointer)"},
      {meter(R"(,"group_by":{"a":"/a~2"})"), "~ in a JSON pointer"},
      {meter(R"(,"group_by":{"a":"/1/2/3/4/5/6/7/8/9"})"), "of 9 steps, the limit is 8"},
      {meter(R"(,"group_by":{"a":"/a","a":"/b"})"), "names a member twice"},
      {sum_meter(R"(,"stripe":{})"), R"(meter "m": stripe: field "event_name": missing)"},
      {meter(R"(,"stripe":{"event_name":"e","multiplier":"0"})"), R"(stripe: field "multiplier")"},
      {meter(R"(,"stripe":{"event_name":"e","decimals":13})"), R"(stripe: field "decimals")"},
      {meter(R"(,"stripe":{"event_name":"e","decimals":1.0})"), R"(stripe: field "decimals")"},
      {meter(R"(,"stripe":{"event_name":"e","rounding":"floor"})"), R"(stripe: field "rounding")"},
      {meter(R"(,"stripe":{"event_name":"e","event":"e"})"), R"(stripe: field "event": unknown)"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"min","value":"/v",)"
       R"("stripe":{"event_name":"e"}}]})",
       R"(meter "m": field "stripe": a min meter is not exported)"},
  });
  EXPECT_THAT(problem(meter(R"(,"stripe":{"event_name":")" + std::string(101, 'e') + "\"}")),
              HasSubstr("has 101 bytes, give 1 to 100"));
}

TEST(Catalogue, FilterErrorsNameTheFilter) {
  expect_problems({
      {meter(R"(,"where":{})"), R"(field "where": not an array)"},
      {meter(R"(,"where":[1])"), R"(meter "calls": where[0]: not a JSON object)"},
      {meter(R"(,"where":[{"in":[1]}])"), R"(where[0]: field "field": missing)"},
      {meter(R"(,"where":[{"field":"/a"}])"), "exactly one of in and not_in"},
      {meter(R"(,"where":[{"field":"/a","in":[1],"not_in":[1]}])"), "exactly one of in and not_in"},
      {meter(R"(,"where":[{"field":"/a","in":[]}])"), R"(field "in": lists 0 values)"},
      {meter(R"(,"where":[{"field":"/a","in":[[1]]}])"), R"(where[0]: field "in")"},
      {meter(R"(,"where":[{"field":"/a","in":[1e999]}])"), "1e999 has more than 38 digits"},
      {meter(R"(,"where":[{"field":"/a","in":[0.1234567890123]}])"), "more than 12 decimals"},
      {meter(R"(,"where":[{"field":"/a","in":["x"]},{"field":"/b","eq":1,"in":[1]}])"),
       R"(where[1]: field "eq": unknown)"},
  });
}

TEST(Catalogue, PlanErrorsNameTheEntryAndTheField) {
  expect_problems({
      {R"({"plans":[{"slug":"free"}]})", R"(plan "free": field "name": missing)"},
      {plan(R"(,"period":"year")"), R"(plan "free": field "period": "year" is none of)"},
      {plan(R"(,"price":49)"), R"(field "price": not a decimal in quotes)"},
      {plan(R"(,"price":"49")"), R"(field "currency": missing)"},
      {plan(R"(,"colour":"red")"), R"(plan "free": field "colour": unknown)"},
      {plan(R"(,"stripe_prices":[1])"), R"(field "stripe_prices")"},
      {plan(R"(,"limits":[{"limit":"1"}])"), R"(limits[0]: field "meter": missing)"},
      {plan(R"(,"limits":[{"meter":"calls"}])"), R"(limits[0]: field "limit": missing)"},
      {plan(R"(,"limits":[{"meter":"calls","limit":10}])"), R"(field "limit": not a decimal)"},
      {plan(R"(,"limits":[{"meter":"calls","limit":"-2"}])"), R"(field "limit": is negative)"},
      {plan(R"(,"limits":[{"meter":"calls","limit":"1","soft_limit":"2"}])"),
       R"(field "soft_limit": is above the limit)"},
      {plan(R"(,"limits":[{"meter":"calls","limit":"1","on_limit":"warn"}])"),
       R"(field "on_limit": "warn" is none of block, degrade)"},
      {plan(R"(,"limits":[{"meter":"calls","limit":"1"},{"meter":"calls","limit":"2"}])"),
       R"(names meter "calls" twice)"},
      {plan(R"(,"limits":[{"meter":"tokens","limit":"1"}])"),
       R"(plan "free": field "limits": names the meter "tokens", which is not in the catalogue)"},
      {plan(R"(,"rates":[{"unit":"requests","limit":"1"}])"), R"(rates[0]: field "per": missing)"},
      {plan(R"(,"rates":[{"unit":"requests","per":"hour","limit":"1"}])"), R"(field "per")"},
      {plan(R"(,"rates":[{"unit":"requests","per":"day"}])"), R"(field "limit": missing)"},
      {plan(R"(,"rates":[{"unit":"tokens","per":"day","limit":"1"}])"),
       R"(plan "free": field "rates": names the meter "tokens")"},
  });
}

TEST(Catalogue, UnlimitedIsNullOrMinusOne) {
  for (const char* limit : {"null", "\"-1\"", "\"-1.0\""}) {
    const auto catalogue =
        parse_catalogue(plan(fmt::format(R"(,"limits":[{{"meter":"calls","limit":{}}}])", limit)));
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    EXPECT_FALSE(catalogue.value().plans[0].limits[0].limit) << limit;
  }
  const auto zero = parse_catalogue(plan(R"(,"limits":[{"meter":"calls","limit":"0"}])"));
  ASSERT_TRUE(zero);
  EXPECT_EQ(zero.value().plans[0].limits[0].limit, Decimal());
}

TEST(Catalogue, APlansDefinitionDoesNotDependOnTheOrderOfItsMembers) {
  const auto one = parse_catalogue(R"({"plans":[{"slug":"p","name":"P","period":"day"}]})");
  const auto two = parse_catalogue(R"({"plans":[ {"period":"day", "name":"P","slug":"p"} ]})");
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one.value().plans[0].definition, R"({"name":"P","period":"day","slug":"p"})");
  EXPECT_EQ(one.value().plans[0].definition, two.value().plans[0].definition);
}

TEST(Catalogue, TenantErrorsNameTheEntryAndTheField) {
  expect_problems({
      {R"({"tenants":[{}]})", R"(tenants[0]: field "id": missing)"},
      {tenant(R"(,"plan":"gold")"), R"(tenant "t1": field "plan": "gold" is not a plan)"},
      {tenant(R"(,"status":"asleep")"), R"(tenant "t1": field "status")"},
      {tenant(R"(,"name":"a\nb")"), R"(field "name": holds a control character)"},
      {tenant(R"(,"zone":"UTC")"), R"(tenant "t1": field "zone": unknown)"},
      {tenant(R"(},{"id":"t1")"), R"(tenant "t1": field "id": used by two tenants)"},
      {tenant(R"(,"stripe_customer":"cus_1"},{"id":"t2","stripe_customer":"cus_1")"),
       R"(tenant "t2": field "stripe_customer": "cus_1" belongs to another tenant)"},
  });
  const auto catalogue = parse_catalogue(
      tenant(R"(,"name":"Acme","time_zone":"Asia/Kathmandu","plan":"free","status":"trialing",)"
             R"("stripe_customer":"cus_1"},{"id":"t2")"));
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_EQ(catalogue.value().tenants[0].time_zone, "Asia/Kathmandu");
  EXPECT_EQ(catalogue.value().tenants[0].stripe_customer, "cus_1");
  EXPECT_EQ(catalogue.value().tenants[1].name, "t2");
  EXPECT_EQ(catalogue.value().tenants[1].status, "active");
  EXPECT_EQ(catalogue.value().tenants[1].plan, "");
}

TEST(Catalogue, TheWholeIsCheckedToo) {
  expect_problems({
      {"", "the catalogue is not JSON: line 1, column 1"},
      {"[]", "the catalogue: not a JSON object"},
      {R"({"meters":{}})", R"(the catalogue: field "meters": not an array)"},
      {R"({"metres":[]})", R"(the catalogue: field "metres": unknown)"},
      {R"({"meters":[],"meters":[]})", "names a member twice"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"count"},)"
       R"({"slug":"m","event_type":"f","aggregation":"count"}]})",
       R"(meter "m": field "slug": used by two meters)"},
      {R"({"plans":[{"slug":"p","name":"P"},{"slug":"p","name":"Q"}]})",
       R"(plan "p": field "slug": used by two plans)"},
      {R"({"meters":[{"slug":"m","event_type":"e","aggregation":"count",)"
       R"("stripe":{"event_name":"x"}},)"
       R"({"slug":"n","event_type":"f","aggregation":"count","stripe":{"event_name":"x"}}]})",
       R"(meter "n": stripe: field "event_name": "x" belongs to another meter)"},
  });
}

TEST(Catalogue, LimitsAreInclusive) {
  const auto meters = [](std::size_t count) {
    std::string json = R"({"meters":[)";
    for (std::size_t i = 0; i < count; ++i) {
      json += fmt::format(R"({}{{"slug":"m{}","event_type":"e","aggregation":"count"}})",
                          i == 0 ? "" : ",", i);
    }
    return json + "]}";
  };
  EXPECT_EQ(problem(meters(kMaxMeters)), "none");
  EXPECT_THAT(problem(meters(kMaxMeters + 1)), HasSubstr("257 meters, the limit is 256"));
  const auto dimensions = [](std::size_t count) {
    std::string json = R"(,"group_by":{)";
    for (std::size_t i = 0; i < count; ++i) json += fmt::format(R"({}"d{}":"/d")", i ? "," : "", i);
    return meter(json + "}");
  };
  EXPECT_EQ(problem(dimensions(kMaxDimensionsPerMeter)), "none");
  EXPECT_THAT(problem(dimensions(kMaxDimensionsPerMeter + 1)), HasSubstr("the limit is 8"));
  const auto filters = [](std::size_t count) {
    std::string json = R"(,"where":[)";
    for (std::size_t i = 0; i < count; ++i) {
      json += fmt::format(R"({}{{"field":"/f","in":[{}]}})", i ? "," : "", i);
    }
    return meter(json + "]");
  };
  EXPECT_EQ(problem(filters(kMaxFiltersPerMeter)), "none");
  EXPECT_THAT(problem(filters(kMaxFiltersPerMeter + 1)), HasSubstr("the limit is 16"));
}

}  // namespace
}  // namespace tally::core
