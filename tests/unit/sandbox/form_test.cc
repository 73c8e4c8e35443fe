#include "tests/support/sandbox/form.h"

#include <gtest/gtest.h>

namespace tally::sandbox {
namespace {

TEST(FormTest, BracketsLiteralOrEscapedAreTheSame) {
  const Form literal =
      Form::parse("payload[value]=25&payload[stripe_customer_id]=cus+1&identifier=%C3%A9");
  const Form escaped = Form::parse(
      "identifier=%c3%a9&payload%5Bstripe_customer_id%5D=cus%201&payload%5Bvalue%5D=25");
  EXPECT_EQ(literal.fingerprint(), escaped.fingerprint());
  EXPECT_EQ(literal.map_of("payload").at("stripe_customer_id"), "cus 1");
  EXPECT_EQ(literal.map_of("payload").size(), 2U);
  EXPECT_NE(literal.fingerprint(), Form::parse("identifier=x").fingerprint());
}

TEST(FormTest, SeparatorsInsideValuesCannotForgeAnEqualFingerprint) {
  EXPECT_NE(Form::parse("a=1%26b%3D2").fingerprint(), Form::parse("a=1&b=2").fingerprint());
}

TEST(FormTest, UnknownMissingAndTooLong) {
  const std::vector<Parameter> known = {{"name", true, 3}, {"payload[*]"}, {"expand[]"}};
  EXPECT_FALSE(Form::parse("name=abc&payload[x]=1&expand[]=a&expand[0]=b").check(known));
  EXPECT_EQ(Form::parse("name=a&other=1").check(known)->body["error"]["code"], "parameter_unknown");
  EXPECT_EQ(Form::parse("payload[x]=1").check(known)->body["error"]["param"], "name");
  EXPECT_EQ(Form::parse("name=").check(known)->body["error"]["code"], "parameter_invalid_empty");
  EXPECT_EQ(Form::parse("payload[x]=").check({{"payload[*]"}}), std::nullopt)
      << "values inside a map may be empty";
  EXPECT_TRUE(Form::parse("name=a&payload[x][y]=1").check(known)) << "not flat";
  EXPECT_TRUE(Form::parse("name=abcd").check(known));
  EXPECT_FALSE(Form::parse("name=%C3%A9%C3%A9%C3%A9").check(known)) << "characters, not bytes";
  EXPECT_TRUE(Form::parse("name=a&payload=1").check(known));
  EXPECT_TRUE(Form::parse("name=a&payload[]=1").check(known)) << "no key";
}

TEST(FormTest, Integers) {
  std::optional<std::int64_t> out;
  EXPECT_FALSE(Form::parse("t=12").integer("t", out));
  EXPECT_EQ(out, 12);
  for (const char* bad : {"t=", "t=1.5", "t=abc", "t=1e3", "t=99999999999999999999"}) {
    EXPECT_TRUE(Form::parse(bad).integer("t", out)) << bad;
  }
}

TEST(FormTest, IndexedFormsAreReadByIndexAndCheckedByShape) {
  const Form form =
      Form::parse("items[0][price]=a&items[2][metadata][k]=v&items[2][price]=b&x[1]=y");
  EXPECT_FALSE(form.check({{"items[#][price]"}, {"items[#][metadata][*]"}, {"x[]"}}));
  EXPECT_TRUE(form.check({{"items[#][price]"}, {"x[]"}}));
  const auto items = form.forms_of("items");
  ASSERT_EQ(items.size(), 2U);
  EXPECT_EQ(items.at(0).get("price"), "a");
  EXPECT_EQ(items.at(2).map_of("metadata"), (std::map<std::string, std::string>{{"k", "v"}}));
  EXPECT_EQ(form.list_of("x"), std::vector<std::string>{"y"});
  for (const char* wrong :
       {"items[][price]=a", "items[x][price]=a", "items[0]=a", "items[0]price=a",
        "items[99999999][price]=a", "items[0][price][x]=a"}) {
    EXPECT_TRUE(Form::parse(wrong).check({{"items[#][price]"}})) << wrong;
  }
}

TEST(FormTest, AListIsReadWholeAndAnyOtherKeyThatIsThereTwiceIsRefused) {
  const Form list = Form::parse("keys[]=b&keys[]=a&keys[]=c&other[]=x");
  EXPECT_EQ(list.list_of("keys"), (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_FALSE(list.check({{"keys[]"}, {"other[]"}}));
  EXPECT_NE(list.fingerprint(), Form::parse("keys[]=b&other[]=x").fingerprint());
  EXPECT_TRUE(Form::parse("keys[]=b&keys[]=%ff").check_text());
  for (const char* twice : {"a=1&a=2", "a=1&a=1", "m[k]=1&m[k]=2", "l[0]=1&l[0]=2"}) {
    const auto refused = Form::parse(twice).check({{"a"}, {"m[*]"}, {"l[]"}});
    ASSERT_TRUE(refused) << twice;
    EXPECT_EQ(refused->body["error"]["code"], "parameter_invalid") << twice;
  }
}

TEST(FormTest, ABooleanIsTrueOrFalse) {
  const Form form = Form::parse("a=true&b=false&c=1");
  std::optional<bool> out;
  EXPECT_FALSE(form.boolean("a", out));
  EXPECT_EQ(out, true);
  EXPECT_FALSE(form.boolean("b", out));
  EXPECT_EQ(out, false);
  EXPECT_TRUE(form.boolean("c", out));
}

}  // namespace
}  // namespace tally::sandbox
