#include "operator/base/foreign_text.h"

#include <gtest/gtest.h>

#include "operator/base/json.h"

namespace spillway {
namespace {

TEST(ForeignTextTest, WhatIsValidAndShortStaysAsItIs) {
  EXPECT_EQ(Bounded("größer als 2 €\n\tund mehr", 64), "größer als 2 €\n\tund mehr");
  EXPECT_EQ(Bounded("", 0), "");
}

TEST(ForeignTextTest, IsCutBetweenTwoCharactersWithAnEllipsis) {
  EXPECT_EQ(Bounded("ääää", 8), "ääää");
  EXPECT_EQ(Bounded("äääää", 8), "ää…") << "7 bytes: a third would not leave room for the ellipsis";
  EXPECT_EQ(Bounded("\U0001F600\U0001F600", 7), "\U0001F600…");
  EXPECT_EQ(Bounded("abc", 2), "");
}

TEST(ForeignTextTest, EveryCutOfEveryTextIsValidAndBounded) {
  std::string text = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xFF\xC3\xE2\x82\n\x00z";
  for (int round = 0; round < 4; ++round) text += text;
  for (size_t most = 0; most < 64; ++most) {
    const std::string cut = Bounded(text, most), line = OneLine(text, most);
    EXPECT_LE(cut.size(), most);
    EXPECT_LE(line.size(), most);
    EXPECT_NO_THROW((void)nlohmann::json(cut).dump()) << most;
    EXPECT_NO_THROW((void)nlohmann::json(line).dump()) << most;
  }
}

TEST(ForeignTextTest, WhatIsNotUtf8IsReplaced) {
  for (const char* bad : {"\xFF", "\x80", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xE2\x82"}) {
    const std::string text = Bounded(std::string("a") + bad + "b", 100);
    EXPECT_NO_THROW((void)nlohmann::json(text).dump()) << text;
    EXPECT_TRUE(text.starts_with("a\xEF\xBF\xBD") && text.ends_with("b")) << text;
  }
}

TEST(ForeignTextTest, OneLineHasNoControlCharactersAndNoRowsOfBlanks) {
  EXPECT_EQ(OneLine("\n one\r\n\ttwo \x1B[31mred\x7F \xC2\x85 three\xE2\x80\xA8"
                    "four  \n",
                    100),
            "one two [31mred three four");
}

TEST(ForeignTextTest, OneLineHasNothingThatTurnsItAroundOrIsNotSeen) {
  for (const char* hidden :
       {"\u202E", "\u200B", "\u2066", "\uFEFF", "\u200F", "\u00AD", "\u061C", "\u2060",
        "\U000E0041", "\u180E", "\uFFF9", "\uFFFB", "\U0001D173", "\U0001BCA0"})
    EXPECT_EQ(OneLine(std::string("a") + hidden + "b", 99), "a b") << hidden;
  EXPECT_EQ(OneLine("\u0645\u06CC\u200C\u062E \u00E9 \u20AC", 99),
            "\u0645\u06CC\u200C\u062E \u00E9 \u20AC");
}

TEST(ForeignTextTest, ATextThatNeedsNoChangeIsShared) {
  const Text text("a line");
  EXPECT_EQ(&BoundedText(text, 100).str(), &text.str());
  EXPECT_EQ(&LineText(text, 100).str(), &text.str());
  EXPECT_EQ(LineText(Text("two\nlines"), 100).str(), "two lines");
}

TEST(JsonTest, BytesThatAreNotUtf8NeitherThrowNorHideTheRest) {
  EXPECT_EQ(Dump({{"a", "b\xFF"}}), "{\"a\":\"b\xEF\xBF\xBD\"}");
  EXPECT_EQ(ParseJson("{\"a\":\"b\xFF\"}")["a"], "b\xEF\xBF\xBD");
  EXPECT_TRUE(ParseJson("{\"a\":").is_discarded());
}

}  // namespace
}  // namespace spillway
