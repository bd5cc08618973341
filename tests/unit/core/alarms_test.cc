#include "operator/core/alarms.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

constexpr Time At(int64_t seconds) { return Time{} + std::chrono::seconds(seconds); }

TEST(AlarmsTest, RingOnceAndInOrder) {
  Alarms alarms;
  alarms.Add(At(2), "b");
  alarms.Add(At(1), "a");
  alarms.Add(At(2), "c");
  EXPECT_EQ(alarms.next(), At(1));
  std::string rung;
  const auto ring = [&](Time, const std::string& key) { rung += key; };
  alarms.Due(At(1), ring);
  EXPECT_EQ(rung, "a");
  alarms.Due(At(5), ring);
  EXPECT_EQ(rung, "abc");
  EXPECT_EQ(alarms.next(), kNever);
}

TEST(AlarmsTest, OneThatIsAddedWhileOthersRingIsNotLost) {
  Alarms alarms;
  alarms.Add(At(1), "a");
  alarms.Due(At(1), [&](Time, const std::string&) { alarms.Add(At(3), "again"); });
  EXPECT_EQ(alarms.next(), At(3));
}

TEST(AlarmsTest, ThoseThatAreMeantNoMoreCanBeForgotten) {
  Alarms alarms;
  alarms.Add(At(1), "b");
  alarms.Add(At(1), "a");
  alarms.Add(At(1), "a");  // once more
  alarms.Add(At(2), "gone");
  EXPECT_EQ(alarms.size(), 4u);
  alarms.Keep([](Time, const std::string& key) { return key != "gone"; });
  EXPECT_EQ(alarms.size(), 2u);
  std::string rung;
  alarms.Due(At(3), [&](Time, const std::string& key) { rung += key; });
  EXPECT_EQ(rung, "ab");
  EXPECT_EQ(alarms.size(), 0u);
}

}  // namespace
}  // namespace spillway::core
