#include "aggregator/meter_set.h"

#include <gtest/gtest.h>

namespace tally::aggregator {
namespace {

core::Meter meter(std::string slug, std::string type, core::JsonPath value) {
  core::Meter meter;
  meter.slug = std::move(slug);
  meter.event_type = std::move(type);
  meter.value = std::move(value);
  return meter;
}

MeterSet set_of(std::vector<core::Meter> meters) {
  return {std::move(meters), core::CatalogueVersion(9), core::CatalogueVersion(4)};
}

TEST(MeterSet, MetersAreSortedBySlugAndFoundByType) {
  const MeterSet set =
      set_of({meter("zebra", "a", {"x"}), meter("ant", "b", {"x"}), meter("mole", "a", {"y"})});
  ASSERT_EQ(set.meters().size(), 3U);
  EXPECT_EQ(set.meters()[0].slug, "ant");
  EXPECT_EQ(set.meters()[2].slug, "zebra");
  EXPECT_EQ(set.find("c"), nullptr);
  const TypePlan* plan = set.find("a");
  ASSERT_NE(plan, nullptr);
  ASSERT_EQ(plan->meters.size(), 2U);
  EXPECT_EQ(set.meters()[plan->meters[0].index].slug, "mole");
  EXPECT_EQ(set.meters()[plan->meters[1].index].slug, "zebra");
  EXPECT_EQ(set.version(), core::CatalogueVersion(9));
  EXPECT_EQ(set.definition_version(), core::CatalogueVersion(4));
}

TEST(MeterSet, MetersThatReadOneMemberShareItsSlot) {
  core::Meter grouped = meter("a", "t", {"usage", "tokens"});
  grouped.group_by = {{"model", {"model"}}};
  core::Meter filtered = meter("b", "t", {"usage", "tokens"});
  filtered.where = {{{"model"}, core::FilterKind::kIn, {std::string("x")}},
                    {{"usage", "kind"}, core::FilterKind::kIn, {true}}};
  const MeterSet set = set_of({grouped, filtered});
  const TypePlan& plan = *set.find("t");
  EXPECT_EQ(plan.slots, 3);
  EXPECT_EQ(plan.meters[0].value, plan.meters[1].value);
  EXPECT_EQ(plan.meters[0].dimensions.at(0), plan.meters[1].where.at(0).slot);
  ASSERT_EQ(plan.roots.size(), 2U);
  EXPECT_EQ(plan.roots[0].key, "usage");
  EXPECT_EQ(plan.roots[0].slot, kNoSlot);
  ASSERT_EQ(plan.roots[0].children.size(), 2U);
  EXPECT_EQ(plan.roots[0].children[0].key, "tokens");
  EXPECT_EQ(plan.roots[0].children[1].key, "kind");
}

TEST(MeterSet, AMemberMayBeAValueAndAnObjectToLookInto) {
  const MeterSet set = set_of({meter("a", "t", {"x"}), meter("b", "t", {"x", "y"})});
  const TypePlan& plan = *set.find("t");
  ASSERT_EQ(plan.roots.size(), 1U);
  EXPECT_NE(plan.roots[0].slot, kNoSlot);
  EXPECT_EQ(plan.roots[0].children.size(), 1U);
  EXPECT_EQ(plan.slots, 2);
}

TEST(MeterSet, ACountReadsNoValue) {
  core::Meter count = meter("a", "t", {});
  count.aggregation = core::Aggregation::kCount;
  const MeterSet set = set_of({count});
  EXPECT_EQ(set.find("t")->meters[0].value, kNoSlot);
  EXPECT_EQ(set.find("t")->slots, 0);
}

}  // namespace
}  // namespace tally::aggregator
