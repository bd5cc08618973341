#include "operator/runtime/leader.h"

#include <gtest/gtest.h>

#include <mutex>

#include "tests/unit/runtime/lease_store.h"

namespace spillway::runtime {
namespace {

using kube::Json;
using kube::Request;
using kube::Response;
using std::chrono::milliseconds;
using std::chrono::seconds;

// An API server with one Lease, and the clock that all go by.
class LeaseServer : public kube::Transport {
 public:
  Result<Response> Send(const Request& request, std::stop_token) override {
    const std::lock_guard lock(mutex);
    now += slowness;
    if (down) return Error{ErrorKind::kUnavailable, "down"};
    reads += request.method == "GET" ? 1 : 0;
    return store.Carry(request);
  }
  Result<Response> Stream(const Request&, std::stop_token,
                          const std::function<void(std::string_view)>&) override {
    return Error{ErrorKind::kUnavailable, ""};
  }
  void Renew(const std::string& holder, int lasts = 15) { store.Renew(holder, lasts); }
  std::string Holder() { return store.lease["spec"]["holderIdentity"]; }

  std::mutex mutex;
  LeaseStore store;
  int64_t reads = 0;
  bool down = false;
  milliseconds slowness{0};
  std::chrono::steady_clock::time_point now{seconds(100'000)};
};

class LeaderTest : public testing::Test {
 protected:
  kube::ThreadClock Clock() {
    kube::ThreadClock clock;
    clock.now = [this] {
      const std::lock_guard lock(server.mutex);
      return server.now;
    };
    clock.sleep = [this](milliseconds time, std::stop_token) {
      {
        const std::lock_guard lock(server.mutex);
        server.now += time;
      }
      if (each_sleep) each_sleep();
    };
    return clock;
  }

  LeaseServer server;
  std::function<void()> each_sleep;
  std::stop_source stop;
  Leader leader{server, {"ns", "lease", "me"}, Clock()};
};

TEST_F(LeaderTest, TakesALeaseThatNobodyHolds) {
  EXPECT_TRUE(leader.Acquire(stop.get_token()));
  EXPECT_EQ(server.Holder(), "me");
}

TEST_F(LeaderTest, TakesOverWithinTheLeaseAndTwoSecondsOfItsHoldersDeath) {
  // The holder renews every two seconds, and is killed right after a renewal.
  server.Renew("other");
  const auto begin = server.now;
  auto died = begin;
  each_sleep = [&] {
    if (server.now - begin < seconds(60) && server.now - died >= seconds(2)) {
      server.Renew("other");
      died = server.now;
    }
  };
  EXPECT_TRUE(leader.Acquire(stop.get_token()));
  EXPECT_GE(server.now - died, seconds(15));
  EXPECT_LE(server.now - died, seconds(17));
}

TEST_F(LeaderTest, GoesByTheDurationThatTheHolderWrote) {
  server.Renew("other", 60);
  const auto died = server.now;
  EXPECT_TRUE(leader.Acquire(stop.get_token()));
  EXPECT_GE(server.now - died, seconds(60));
}

TEST_F(LeaderTest, TakesAReleasedLeaseAtTheNextLook) {
  server.Renew("other");
  const auto begin = server.now;
  each_sleep = [&] {
    if (server.now - begin > seconds(5) && server.Holder() == "other") server.Renew("");
  };
  EXPECT_TRUE(leader.Acquire(stop.get_token()));
  EXPECT_LE(server.now - begin, seconds(7));
}

TEST_F(LeaderTest, TheFirstRenewalCountsFromBeforeItsWrite) {
  server.slowness = seconds(4);  // of the read, and of the write
  const auto begin = server.now;
  EXPECT_TRUE(leader.Acquire(stop.get_token()));
  EXPECT_EQ(leader.may_act_until(), begin + seconds(10));
}

TEST_F(LeaderTest, IsLostWhenItCannotBeRenewedForTheDeadline) {
  ASSERT_TRUE(leader.Acquire(stop.get_token()));
  server.down = true;
  EXPECT_FALSE(leader.Hold(stop.get_token()));
}

TEST_F(LeaderTest, IsLostWhenAnothersNameStandsInIt) {
  ASSERT_TRUE(leader.Acquire(stop.get_token()));
  server.Renew("other", 3600);
  EXPECT_FALSE(leader.Hold(stop.get_token()));
}

TEST_F(LeaderTest, StoppingDoesNotReleaseItUntilItIsAsked) {
  ASSERT_TRUE(leader.Acquire(stop.get_token()));
  stop.request_stop();
  EXPECT_TRUE(leader.Hold(stop.get_token()));
  EXPECT_EQ(server.Holder(), "me");
  leader.Release();
  EXPECT_EQ(server.Holder(), "");
}

TEST_F(LeaderTest, DoesNotReleaseWhatAnotherHolds) {
  server.Renew("other");
  leader.Release();
  EXPECT_EQ(server.Holder(), "other");
}

}  // namespace
}  // namespace spillway::runtime
