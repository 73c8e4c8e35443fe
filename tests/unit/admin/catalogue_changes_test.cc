#include "admin/catalogue_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tally::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

core::Catalogue catalogue(const std::string& json) {
  auto parsed = core::parse_catalogue(json);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  return parsed ? std::move(parsed).value() : core::Catalogue{};
}

std::string meter(const std::string& more) {
  return R"({"meters":[{"slug":"tokens","event_type":"llm.completion",)" + more + "}]}";
}

EntryChange only_change(const std::string& before, const std::string& after) {
  const auto changes = compare_catalogues(catalogue(meter(before)), catalogue(meter(after)));
  EXPECT_TRUE(changes);
  EXPECT_EQ(changes.value().meters.size(), 1U);
  return changes.value().meters.empty() ? EntryChange{} : changes.value().meters.front();
}

constexpr const char* kSum = R"("aggregation":"sum","value":"/tokens")";

TEST(CatalogueChanges, FindsNothingInAnEqualCatalogue) {
  const auto changes = compare_catalogues(catalogue(meter(kSum)), catalogue(meter(kSum)));
  EXPECT_FALSE(changes.value().any());
  EXPECT_EQ(changes.value().unchanged, 1U);
}

// The ids were compared through views of copies that no longer lived: equal long names differed.
TEST(CatalogueChanges, FindsEntriesWithLongAndShortIdsAgain) {
  std::string tenants;
  for (int i = 0; i < 2000; ++i) {
    const std::string id =
        std::string(static_cast<std::size_t>(1 + (i % 90)), 't') + std::to_string(i);
    tenants += (i > 0 ? "," : "") + std::string(R"({"id":")") + id + R"(","name":"n"})";
  }
  const core::Catalogue same = catalogue(R"({"tenants":[)" + tenants + "]}");
  const auto changes = compare_catalogues(same, same);
  EXPECT_TRUE(changes.value().tenants.empty());
  EXPECT_EQ(changes.value().unchanged, 2000U);
}

TEST(CatalogueChanges, KeepsWhatTheFileLeavesOut) {
  const auto changes = compare_catalogues(catalogue(meter(kSum)), core::Catalogue{});
  ASSERT_EQ(changes.value().meters.size(), 1U);
  EXPECT_EQ(changes.value().meters[0].kind, ChangeKind::kKept);
  EXPECT_FALSE(changes.value().any());
  EXPECT_THAT(describe(changes.value(), Detail::kShort),
              HasSubstr("- meter tokens  (not in the file: kept)"));
}

TEST(CatalogueChanges, NamesTheFieldsThatDefineAMeter) {
  const EntryChange change =
      only_change(kSum, R"("aggregation":"sum","value":"/usage/tokens","window":"day")");
  ASSERT_EQ(change.fields.size(), 2U);
  EXPECT_EQ(change.fields[0].name, "value");
  EXPECT_EQ(change.fields[0].before, R"("/tokens")");
  EXPECT_EQ(change.fields[0].after, R"("/usage/tokens")");
  EXPECT_EQ(change.fields[1].name, "window");
  EXPECT_TRUE(change.changes_definition());
  EXPECT_TRUE(change.changes_reading());
}

TEST(CatalogueChanges, APriceIsNoDefinition) {
  const EntryChange change = only_change(kSum, std::string(kSum) + R"(,"unit_cost":"0.01")");
  EXPECT_FALSE(change.changes_definition());
  EXPECT_FALSE(change.changes_reading());
}

TEST(CatalogueChanges, AFirstStripeMappingIsAllowedAnotherIsNot) {
  const std::string none = kSum;
  const std::string one = none + R"(,"stripe":{"event_name":"tokens","multiplier":"1"})";
  const std::string two = none + R"(,"stripe":{"event_name":"tokens","multiplier":"2"})";
  EXPECT_FALSE(only_change(none, one).changes_definition());
  EXPECT_TRUE(only_change(one, two).changes_definition());
  EXPECT_TRUE(only_change(one, none).changes_definition());
  EXPECT_FALSE(only_change(one, two).changes_reading());
}

TEST(CatalogueChanges, ShortDescriptionsAreBounded) {
  std::string tenants;
  for (int i = 0; i < 100; ++i) {
    tenants +=
        (i > 0 ? "," : "") + std::string(R"({"id":"t)") + std::to_string(i) + R"(","name":"n"})";
  }
  const auto changes =
      compare_catalogues(core::Catalogue{}, catalogue(R"({"tenants":[)" + tenants + "]}"));
  const std::string brief = describe(changes.value(), Detail::kShort);
  EXPECT_THAT(brief, HasSubstr("… and 80 more (--full shows all)"));
  EXPECT_THAT(brief, HasSubstr("100 added, 0 changed, 0 not in the file and kept, 0 unchanged"));
  EXPECT_THAT(describe(changes.value(), Detail::kFull), Not(HasSubstr("more")));
}

}  // namespace
}  // namespace tally::admin
