#include "operator/core/servers/server_index.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

constexpr int64_t kGi = int64_t{1} << 30;

class ServerIndexTest : public testing::Test {
 protected:
  uint32_t Add(Vacancy vacancy) {
    const uint32_t slot = index.Claim();
    index.Put(slot, vacancy);
    all.Set(slot);
    return slot;
  }
  std::vector<uint32_t> Found(int64_t cpu, int64_t memory) {
    std::vector<uint32_t> out;
    index.Search(all, cpu, memory, [&](uint32_t slot, const void*) {
      out.push_back(slot);
      return false;
    });
    return out;
  }
  ServerIndex index;
  Bits all;
};

TEST_F(ServerIndexTest, LocalComesBeforeCloudAndCheapBeforeDear) {
  const uint32_t dear = Add({true, 9, false, 1000, kGi});
  const uint32_t cheap = Add({true, 1, false, 1000, kGi});
  const uint32_t local = Add({false, 0, true, 64'000, 64 * kGi});
  EXPECT_EQ(Found(1000, kGi), (std::vector<uint32_t>{local, cheap, dear}));
}

TEST_F(ServerIndexTest, AServerInUseComesBeforeAnIdleOneAndTheTightestFirst) {
  const uint32_t idle = Add({false, 0, true, 1000, kGi});
  const uint32_t roomy = Add({false, 0, false, 16'000, kGi});
  const uint32_t tight = Add({false, 0, false, 2000, kGi});
  EXPECT_EQ(Found(1000, kGi), (std::vector<uint32_t>{tight, roomy, idle}));
}

TEST_F(ServerIndexTest, SkipsWhatCannotHaveTheRoom) {
  Add({false, 0, false, 800, 64 * kGi});
  Add({false, 0, false, 64'000, kGi / 2});
  const uint32_t fits = Add({false, 0, false, 1000, kGi});
  EXPECT_EQ(Found(1000, kGi), (std::vector<uint32_t>{fits}));
}

TEST_F(ServerIndexTest, AChangedServerIsFoundWhereItBelongsNow) {
  const uint32_t slot = Add({false, 0, false, 900, kGi});
  EXPECT_TRUE(Found(4000, kGi).empty());
  index.Put(slot, {false, 0, true, 8000, 8 * kGi});
  EXPECT_EQ(Found(4000, kGi).size(), 1u);
  index.Remove(slot);
  EXPECT_TRUE(Found(1, 1).empty());
}

TEST_F(ServerIndexTest, ASlotIsUsedAgain) {
  const uint32_t slot = Add({false, 0, false, 900, kGi});
  index.Free(slot);
  EXPECT_EQ(index.Claim(), slot);
}

TEST(SizeClassTest, GrowsWithTheAmount) {
  uint16_t last = 0;
  for (int64_t amount = 1; amount < 100'000; ++amount) {
    const uint16_t now = ServerIndex::SizeClass(amount);
    ASSERT_GE(now, last) << amount;
    last = now;
  }
  EXPECT_LT(ServerIndex::SizeClass(0), ServerIndex::SizeClass(1));
  EXPECT_LT(ServerIndex::SizeClass(4000), ServerIndex::SizeClass(5000));
}

TEST(SlotLogTest, SaysWhenItHasForgotten) {
  SlotLog log;
  for (uint32_t i = 0; i < 70'000; ++i) log.Add(i);
  EXPECT_FALSE(log.Knows(0));
  EXPECT_TRUE(log.Knows(log.end() - 10));
  EXPECT_EQ(log.at(log.end() - 1), 69'999u);
}

}  // namespace
}  // namespace spillway::core
