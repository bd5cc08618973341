#include "operator/core/ledger.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

Footprint Cpu(int64_t milli, bool task = true) {
  return {Demand{api::Resources{milli, 0, 0, {}}, {}, task, false}};
}

TEST(LedgerTest, AddsAndGivesBackExactly) {
  Ledger ledger;
  Ledger::Entry a, b;
  Demand big = *Cpu(1500).demand;
  big.requests.extended["gpu"] = 2;
  big.host_ports = {"TCP/80"};
  big.exclusive = true;
  ledger.Take(a, ledger.Keep("n"), {big});
  ledger.Take(b, ledger.Keep("n"), Cpu(500, false));
  EXPECT_EQ(ledger.On("n").used.cpu_milli, 2000);
  EXPECT_EQ(ledger.On("n").pods, 2);
  EXPECT_EQ(ledger.On("n").tasks, 1);
  EXPECT_EQ(ledger.On("n").exclusive, 1);
  EXPECT_NE(ledger.Release(a), nullptr);
  EXPECT_EQ(ledger.On("n").used, (api::Resources{500, 0, 0, {}}));
  EXPECT_TRUE(ledger.On("n").host_ports.empty());
}

TEST(LedgerTest, CountsAPodOnceHoweverOftenItIsSeen) {
  Ledger ledger;
  Ledger::Entry a;
  ledger.Take(a, ledger.Keep("n"), Cpu(1000));
  ledger.Take(a, ledger.Keep("n"), Cpu(1000));
  EXPECT_EQ(ledger.On("n").used.cpu_milli, 1000);
  ledger.Take(a, ledger.Keep("m"), Cpu(300));
  EXPECT_EQ(ledger.On("n").pods, 0);
  EXPECT_EQ(ledger.On("m").used.cpu_milli, 300);
}

TEST(LedgerTest, ForgetsNothingTwice) {
  Ledger ledger;
  Ledger::Entry a;
  ledger.Take(a, ledger.Keep("n"), Cpu(1000));
  EXPECT_NE(ledger.Release(a), nullptr);
  EXPECT_EQ(ledger.Release(a), nullptr);
  EXPECT_EQ(ledger.On("n").used.cpu_milli, 0);
}

}  // namespace
}  // namespace spillway::core
