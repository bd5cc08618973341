#include "operator/runtime/loop.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string_view>

namespace spillway::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Nobody answers until the caller gives up.
class Silence : public kube::Transport {
 public:
  Result<kube::Response> Send(const kube::Request&, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    std::condition_variable_any changed;
    changed.wait(lock, stop, [] { return false; });
    return Error{ErrorKind::kCancelled, "cancelled"};
  }
  Result<kube::Response> Stream(const kube::Request& request, std::stop_token stop,
                                const std::function<void(std::string_view)>&) override {
    return Send(request, std::move(stop));
  }

 private:
  std::mutex mutex_;
};

TEST(LoopTest, EndsByItselfOnceTheApiServerIsOlderThanItWas) {
  Silence transport;
  const cloud::Engines engines;
  Metrics metrics;
  Loop loop(transport, engines, metrics, {.workers = 4, .identity = "test"});
  loop.Push(core::Listed{core::Kind::kTask, 10, {}});
  loop.Push(core::Listed{core::Kind::kTask, 5, {}});
  const std::stop_source nobody_stops_it;
  loop.Run(nobody_stops_it.get_token());
  EXPECT_TRUE(loop.must_begin_anew());
}

// What cannot be copied leaves an event that holds nothing.
struct Throws {
  operator core::Measured() const { throw std::runtime_error("no"); }
};

core::Event Broken() {
  core::Event broken;
  EXPECT_THROW(broken.emplace<core::Measured>(Throws{}), std::runtime_error);
  return broken;
}

TEST(LoopTest, EndsByItselfOnceAStepOfTheCoreThrows) {
  Silence transport;
  const cloud::Engines engines;
  Metrics metrics;
  const LoopOptions old{.workers = 4, .identity = "test", .young = milliseconds(0)};
  Loop loop(transport, engines, metrics, old);
  loop.Push(Broken());
  const std::stop_source nobody_stops_it;
  loop.Run(nobody_stops_it.get_token());
  EXPECT_TRUE(loop.must_begin_anew());
}

// Whether a process that has heard of everything, is young for so long, and is stopped so long
// after a step that threw, has ended before that.
bool EndsByItself(milliseconds young, milliseconds stopped_after) {
  Silence transport;
  const cloud::Engines engines;
  Metrics metrics;
  Loop loop(transport, engines, metrics, {.workers = 4, .identity = "test", .young = young});
  for (size_t i = 0; i < core::kKinds; ++i)
    loop.Push(core::Listed{static_cast<core::Kind>(i), 10, {}});
  loop.Push(core::Measured{});
  std::stop_source stop;
  const std::jthread late([&](std::stop_token ended) {
    while (!loop.ready() && !ended.stop_requested()) kube::SleepFor(milliseconds(5), ended);
    loop.Push(Broken());
    kube::SleepFor(stopped_after, ended);
    stop.request_stop();
  });
  loop.Run(stop.get_token());
  EXPECT_TRUE(loop.ready());
  EXPECT_EQ(loop.must_begin_anew(), !stop.stop_requested());
  return loop.must_begin_anew();
}

TEST(LoopTest, GoesOnAfterAStepThatThrewWhereTheNextProcessWouldHaveToTakeTheSame) {
  EXPECT_FALSE(EndsByItself(seconds(600), milliseconds(300)));
}

TEST(LoopTest, EndsForAStepThatThrewOnceItIsNoLongerYoungThoughNoOtherThrows) {
  EXPECT_TRUE(EndsByItself(milliseconds(500), seconds(20)));
}

TEST(LoopTest, AYoungProcessGoesOnAfterAFailureIfItIsReadyOrMayBecomeSo) {
  EXPECT_FALSE(EndsAfterFailure(seconds(599), seconds(600), true));
  EXPECT_FALSE(EndsAfterFailure(seconds(119), seconds(600), false));
  EXPECT_TRUE(EndsAfterFailure(seconds(120), seconds(600), false));
  EXPECT_TRUE(EndsAfterFailure(seconds(600), seconds(600), true));
}

}  // namespace
}  // namespace spillway::runtime
