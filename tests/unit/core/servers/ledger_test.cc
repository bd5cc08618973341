#include "operator/core/servers/ledger.h"

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

TEST(LedgerTest, GivesBackExactlyWhatEachOfManyPodsTookInWhateverOrderTheyEnd) {
  Ledger ledger;
  std::vector<Ledger::Entry> pods(30);
  for (size_t i = 0; i < pods.size(); ++i)
    ledger.Take(pods[i], ledger.Keep("n"), Cpu(int64_t{1} << i, i % 2 == 0));
  int64_t left = (int64_t{1} << pods.size()) - 1;
  for (size_t i = 0; i < pods.size(); ++i) {
    const size_t ended = i * 7 % pods.size();
    left -= int64_t{1} << ended;
    ledger.Release(pods[ended]);
    EXPECT_EQ(ledger.On("n").used.cpu_milli, left);
    EXPECT_EQ(ledger.On("n").unmeasured_cpu_milli, left);
  }
  EXPECT_EQ(ledger.On("n").tasks, 0);
}

}  // namespace
}  // namespace spillway::core
