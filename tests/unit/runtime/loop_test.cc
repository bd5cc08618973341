#include "operator/runtime/loop.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string_view>

namespace spillway::runtime {
namespace {

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
  Loop loop(transport, engines, metrics, {4, "test"});
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

TEST(LoopTest, EndsByItselfOnceAStepOfTheCoreThrows) {
  Silence transport;
  const cloud::Engines engines;
  Metrics metrics;
  Loop loop(transport, engines, metrics, {4, "test"});
  core::Event broken;
  EXPECT_THROW(broken.emplace<core::Measured>(Throws{}), std::runtime_error);
  loop.Push(std::move(broken));
  std::stop_source stop;
  const std::jthread in_vain([&](std::stop_token ended) {
    kube::SleepFor(std::chrono::seconds(5), ended);
    stop.request_stop();
  });
  loop.Run(stop.get_token());
  EXPECT_FALSE(stop.stop_requested());
  EXPECT_TRUE(loop.must_begin_anew());
}

}  // namespace
}  // namespace spillway::runtime
