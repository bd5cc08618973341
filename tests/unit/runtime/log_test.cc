#include "operator/runtime/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace spillway::runtime {
namespace {

TEST(LogTest, ALineIsOneJsonObjectWithTheVerbosityOfInfo) {
  const std::string text =
      LogLine(spdlog::level::info, 2, "task\nbound", {{"task", "t"}, {"attempt", 3}});
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto line = nlohmann::json::parse(text);
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("v"), 2);
  EXPECT_EQ(line.at("msg"), "task\nbound");
  EXPECT_EQ(line.at("task"), "t");
  EXPECT_EQ(line.at("attempt"), 3);
}

TEST(LogTest, AnErrorHasNoVerbosity) {
  EXPECT_FALSE(nlohmann::json::parse(LogLine(spdlog::level::err, 0, "x", {})).contains("v"));
}

TEST(LogTest, WhateverAFieldHoldsIsReadBackAsItWas) {
  for (const char* text :
       {"", "plain", "a \"quoted\" \\ path", "line\nbreak\ttab", "Grüße", "\x01"})
    EXPECT_EQ(nlohmann::json::parse(LogLine(spdlog::level::info, 2, "x", {{"f", text}})).at("f"),
              text);
}

TEST(LogTest, BytesThatAreNoTextAreReplaced) {
  const std::string line = LogLine(spdlog::level::warn, 0, "x", {{"error", "a\xff\xfe"}});
  EXPECT_TRUE(nlohmann::json::accept(line));
}

TEST(LogTest, WhatTasksDoIsWrittenByDefaultAndEveryWriteIsNot) {
  EXPECT_TRUE(LogsAt(0));
  EXPECT_TRUE(LogsAt(2));
  EXPECT_FALSE(LogsAt(4));
}

}  // namespace
}  // namespace spillway::runtime
