#include "core/decimal.h"
#include "core/limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace tally::core {
namespace {

std::string parsed(std::string_view text) {
  const auto value = Decimal::parse(text);
  return value ? value.value().to_string() : value.error().message;
}

Decimal decimal(std::string_view text) {
  const auto value = Decimal::parse(text);
  EXPECT_TRUE(value) << text;
  return value ? value.value() : Decimal();
}

std::string shown(const std::optional<Decimal>& value) {
  return value ? value->to_string() : "none";
}

TEST(Decimal, ReadsEveryFormOfAJsonNumber) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"0", "0"},
      {"-0", "0"},
      {"7", "7"},
      {"-12.50", "-12.5"},
      {"999999999999999999", "999999999999999999"},    // the fast path's longest
      {"9999999999999999999", "9999999999999999999"},  // one more
      {"1e3", "1000"},
      {"1E+3", "1000"},
      {"12.5e-1", "1.25"},
      {"0.000000000001", "0.000000000001"},
      {"1e-12", "0.000000000001"},
      {"100e-14", "0.000000000001"},
      {"1.0000000000000000000000000000", "1"},  // zeros are no decimals
      {"0.1e25", "1000000000000000000000000"},
      {"1e25", "10000000000000000000000000"},
      {"99999999999999999999999999.999999999999", "99999999999999999999999999.999999999999"},
      {"-99999999999999999999999999.999999999999", "-99999999999999999999999999.999999999999"},
      {"0e999999999999999999999999999", "0"},
      {"0.000e-999999999999999999999999999", "0"},
      {"1e00000000000000000000000000000000000000002", "100"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(parsed(text), expected) << text;
}

TEST(Decimal, NamesWhyATextIsRefused) {
  for (const char* text : {"",         "-",
                           "+1",       "01",
                           "-01",      "1.",
                           ".5",       "1e",
                           "1e+",      "1e-",
                           "e5",       "NaN",
                           "Infinity", "-inf",
                           "0x10",     "1,000",
                           "1 ",       " 1",
                           "1_000",    "--1",
                           "1.2.3",    "1e5.0",
                           "1e5e5",    "\xd9\xa1",
                           "1\n",      "999999999999999999x",
                           "00"}) {
    EXPECT_EQ(parsed(text), "not a JSON number") << text;
  }
  EXPECT_EQ(parsed(std::string_view("1\0", 2)), "not a JSON number");
  for (const char* text : {"0.0000000000001", "1e-13", "1.0000000000001", "1e-999999999999",
                           "123e-99999999999999999999999999"}) {
    EXPECT_EQ(parsed(text), "more than 12 decimals") << text;
  }
  for (const char* text : {"1e26", "100000000000000000000000000", "-1e26", "1e999999999999",
                           "1e99999999999999999999999999999999", "0.001e999999999"}) {
    EXPECT_EQ(parsed(text), "more than 38 digits") << text;
  }
}

TEST(Decimal, LongTextsAreReadInLinearTime) {
  const std::string zeros(1'000'000, '0');
  EXPECT_EQ(parsed("0." + zeros + "1"), "more than 12 decimals");
  EXPECT_EQ(parsed("0." + zeros + "1e1000001"), "1");
  EXPECT_EQ(parsed("1" + zeros + "e-1000000"), "1");
  EXPECT_EQ(parsed("1" + zeros), "more than 38 digits");
  EXPECT_EQ(parsed("1e" + zeros + "1"), "10");
  EXPECT_EQ(parsed("1." + zeros + "e0"), "1");
}

// The oracle: a number as a string of decimal digits, scaled by 10^24 so that products fit too.
// It knows nothing but the schoolbook.
class Naive {
 public:
  static constexpr std::size_t kDigits = 120;
  Naive() : digits_(kDigits, 0) {}
  static Naive of(const std::string& plain, std::size_t scale) {
    Naive out;
    out.negative_ = plain.front() == '-';
    std::string body = plain.substr(out.negative_ ? 1 : 0);
    const std::size_t point = body.find('.');
    std::string fraction = point == std::string::npos ? "" : body.substr(point + 1);
    body = body.substr(0, point);
    EXPECT_LE(fraction.size(), scale);
    fraction.append(scale - fraction.size(), '0');
    const std::string all = body + fraction;
    for (std::size_t i = 0; i < all.size(); ++i) out.digits_[i] = all[all.size() - 1 - i] - '0';
    out.mend_zero();
    return out;
  }
  friend Naive operator+(const Naive& a, const Naive& b) {
    Naive out;
    if (a.negative_ == b.negative_) {
      int carry = 0;
      for (std::size_t i = 0; i < kDigits; ++i) {
        const int sum = a.digits_[i] + b.digits_[i] + carry;
        out.digits_[i] = sum % 10;
        carry = sum / 10;
      }
      out.negative_ = a.negative_;
    } else {
      const bool a_larger = !a.smaller_size(b);
      const Naive& large = a_larger ? a : b;
      const Naive& small = a_larger ? b : a;
      int borrow = 0;
      for (std::size_t i = 0; i < kDigits; ++i) {
        int rest = large.digits_[i] - small.digits_[i] - borrow;
        borrow = rest < 0 ? 1 : 0;
        out.digits_[i] = rest + 10 * borrow;
      }
      out.negative_ = large.negative_;
    }
    out.mend_zero();
    return out;
  }
  friend Naive operator*(const Naive& a, const Naive& b) {
    Naive out;
    for (std::size_t i = 0; i < kDigits; ++i) {
      int carry = 0;
      for (std::size_t j = 0; i + j < kDigits; ++j) {
        const int sum = out.digits_[i + j] + a.digits_[i] * b.digits_[j] + carry;
        out.digits_[i + j] = sum % 10;
        carry = sum / 10;
      }
    }
    out.negative_ = a.negative_ != b.negative_;
    out.mend_zero();
    return out;
  }
  Naive negated() const {
    Naive out = *this;
    out.negative_ = !negative_;
    out.mend_zero();
    return out;
  }
  // Plain text of a number scaled by 10^scale; "none" where Decimal cannot hold it.
  std::string text(std::size_t scale) const {
    std::string out;
    std::size_t first_fraction = 0;
    while (first_fraction < scale && digits_[first_fraction] == 0) ++first_fraction;
    if (scale - first_fraction > 12) return "none";
    std::size_t top = kDigits;
    while (top > scale + 1 && digits_[top - 1] == 0) --top;
    if (top - scale > 26) return "none";
    if (negative_) out += '-';
    for (std::size_t i = top; i > scale; --i) out += static_cast<char>('0' + digits_[i - 1]);
    if (first_fraction < scale) out += '.';
    for (std::size_t i = scale; i > first_fraction; --i) {
      out += static_cast<char>('0' + digits_[i - 1]);
    }
    return out;
  }

 private:
  bool smaller_size(const Naive& other) const {
    return std::lexicographical_compare(digits_.rbegin(), digits_.rend(), other.digits_.rbegin(),
                                        other.digits_.rend());
  }
  void mend_zero() {
    if (std::all_of(digits_.begin(), digits_.end(), [](int d) { return d == 0; })) {
      negative_ = false;
    }
  }

  std::vector<int> digits_;  // the lowest first
  bool negative_ = false;
};

class Numbers {
 public:
  int up_to(int max) { return std::uniform_int_distribution<int>(0, max)(random_); }
  std::string digits(int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += static_cast<char>('0' + up_to(9));
    return out;
  }
  // Plain text as Decimal writes it, with at most so many digits on each side of the point.
  std::string plain(int whole_max, int fraction_max) {
    std::string whole = digits(up_to(whole_max));
    whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
    if (whole.empty()) whole = "0";
    std::string fraction = digits(up_to(fraction_max));
    while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
    std::string out = fraction.empty() ? whole : whole + "." + fraction;
    return out != "0" && up_to(1) == 1 ? "-" + out : out;
  }

 private:
  std::mt19937 random_{20261121};
};

TEST(Decimal, TextSurvivesReadingAndWriting) {
  Numbers numbers;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = numbers.plain(26, 12);
    ASSERT_EQ(parsed(text), text);
  }
}

TEST(Decimal, AnExponentOnlyMovesThePoint) {
  Numbers numbers;
  for (int i = 0; i < 5'000; ++i) {
    const std::string text = numbers.plain(13, 6);
    const int shift = numbers.up_to(6);
    const std::string power = "1" + std::string(static_cast<std::size_t>(shift), '0');
    const std::string expected = (Naive::of(text, 12) * Naive::of(power, 12)).text(24);
    ASSERT_EQ(parsed(text + "e" + std::to_string(shift)), expected) << text << " " << shift;
  }
}

TEST(Decimal, AddsSubtractsAndMultipliesAsTheSchoolbookDoes) {
  Numbers numbers;
  int products = 0;
  for (int i = 0; i < 5'000; ++i) {
    const std::string a = numbers.plain(26, 12);
    const std::string b = numbers.plain(26, 12);
    const Naive x = Naive::of(a, 12);
    const Naive y = Naive::of(b, 12);
    ASSERT_EQ(shown(decimal(a).checked_add(decimal(b))), (x + y).text(12)) << a << " + " << b;
    ASSERT_EQ(shown(decimal(a).checked_subtract(decimal(b))), (x + y.negated()).text(12))
        << a << " - " << b;
    const std::string c = numbers.plain(14, 7);
    const std::string d = numbers.plain(14, 7);
    const std::string product = (Naive::of(c, 12) * Naive::of(d, 12)).text(24);
    ASSERT_EQ(shown(decimal(c).checked_multiply(decimal(d))), product) << c << " * " << d;
    products += product == "none" ? 0 : 1;
  }
  EXPECT_GT(products, 1'000);  // both outcomes were met
  EXPECT_LT(products, 4'990);
}

TEST(Decimal, OverflowIsNoneNeverAWrap) {
  const Decimal max = Decimal::from_units(kMaxDecimalUnits);
  const Decimal unit = Decimal::from_units(1);
  EXPECT_EQ(shown(max.checked_add(unit)), "none");
  EXPECT_EQ(shown(Decimal::from_units(-kMaxDecimalUnits).checked_subtract(unit)), "none");
  EXPECT_EQ(shown(max.checked_add(max)), "none");
  EXPECT_EQ(max.checked_subtract(max), Decimal());
  EXPECT_EQ(max.checked_multiply(Decimal::from_int(1)), max);
  EXPECT_EQ(max.checked_multiply(Decimal::from_int(-1)), Decimal::from_units(-kMaxDecimalUnits));
  EXPECT_EQ(shown(max.checked_multiply(max)), "none");
  EXPECT_EQ(shown(unit.checked_multiply(decimal("0.1"))), "none");
  EXPECT_EQ(unit.checked_multiply(Decimal()), Decimal());
  EXPECT_EQ(shown(max.rounded(0, Rounding::kUp)), "none");
  EXPECT_EQ(shown(max.rounded(0, Rounding::kDown)), "99999999999999999999999999");
}

TEST(Decimal, RoundsEachWay) {
  struct Row {
    const char* value;
    int decimals;
    const char *down, *up, *half_up, *half_even;
  };
  const std::vector<Row> rows = {
      {"2.5", 0, "2", "3", "3", "2"},
      {"3.5", 0, "3", "4", "4", "4"},
      {"-2.5", 0, "-2", "-3", "-3", "-2"},
      {"-3.5", 0, "-3", "-4", "-4", "-4"},
      {"2.499999999999", 0, "2", "3", "2", "2"},
      {"2.500000000001", 0, "2", "3", "3", "3"},
      {"0.000000000001", 0, "0", "1", "0", "0"},
      {"-0.000000000001", 0, "0", "-1", "0", "0"},
      {"1.005", 2, "1", "1.01", "1.01", "1"},
      {"1.015", 2, "1.01", "1.02", "1.02", "1.02"},
      {"7", 0, "7", "7", "7", "7"},
      {"1.000000000001", 12, "1.000000000001", "1.000000000001", "1.000000000001",
       "1.000000000001"},
  };
  for (const Row& row : rows) {
    const Decimal value = decimal(row.value);
    EXPECT_EQ(shown(value.rounded(row.decimals, Rounding::kDown)), row.down) << row.value;
    EXPECT_EQ(shown(value.rounded(row.decimals, Rounding::kUp)), row.up) << row.value;
    EXPECT_EQ(shown(value.rounded(row.decimals, Rounding::kHalfUp)), row.half_up) << row.value;
    EXPECT_EQ(shown(value.rounded(row.decimals, Rounding::kHalfEven)), row.half_even) << row.value;
  }
  EXPECT_DEATH(static_cast<void>(decimal("1").rounded(13, Rounding::kUp)), "decimals 13");
}

TEST(Decimal, OrdersByValue) {
  EXPECT_LT(decimal("-1"), decimal("-0.5"));
  EXPECT_LT(decimal("9"), decimal("10"));
  EXPECT_EQ(decimal("1.50"), decimal("15e-1"));
  EXPECT_TRUE(decimal("-0.1").is_negative());
  EXPECT_TRUE(decimal("0.0").is_zero());
}

}  // namespace
}  // namespace tally::core
