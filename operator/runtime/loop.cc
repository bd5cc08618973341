#include "operator/runtime/loop.h"

#include <malloc.h>

#include <algorithm>

#include "operator/core/world.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using std::chrono::milliseconds;

constexpr milliseconds kLongestSleep{5'000};
constexpr milliseconds kDescribeEvery{5'000};
// metrics-server measures every 15 s by default; asked more often, so that a measurement is known
// soon.
constexpr milliseconds kLoadEvery{10'000}, kLoadRetry{20'000};

Duration Monotonic() {
  return std::chrono::floor<Duration>(std::chrono::steady_clock::now().time_since_epoch());
}

kube::WatchOptions OptionsOf(Kind kind) {
  kube::WatchOptions options;
  options.resource = ResourceOf(kind);
  if (kind == Kind::kLease) options.ns = "kube-node-lease";
  options.optional = kind == Kind::kCloudServer;
  return options;
}

std::string Advice(Kind kind, const Error& error) {
  if (error.kind == ErrorKind::kNotFound) {
    const kube::Resource& resource = ResourceOf(kind);
    return "the API server does not know " + resource.plural + "." + resource.group +
           "; install the CRDs: kubectl apply -f crds/";
  }
  if (error.kind == ErrorKind::kForbidden)
    return error.message +
           "; give the operator its ClusterRole: charts/spillway/templates/clusterrole.yaml";
  return error.message;
}

core::Gone GoneOf(Kind kind, const api::Json& object) {
  const api::ObjectMeta meta = api::DecodeMeta(object);
  return {kind, meta.key(), meta.uid, meta.resource_version};
}

}  // namespace

Loop::Loop(kube::Transport& transport, cloud::Backend& backend, Metrics& metrics,
           LoopOptions options)
    : transport_(transport),
      metrics_(metrics),
      options_(std::move(options)),
      executor_(transport, backend, metrics, options_.identity,
                [this](core::Event event) { Push(std::move(event)); }) {}

void Loop::Push(core::Event event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  changed_.notify_one();
}

bool Loop::healthy() const { return Monotonic().count() - turned_ < 30'000; }

Time Loop::Now() {
  return clock_.Read(std::chrono::floor<Duration>(std::chrono::system_clock::now()), Monotonic());
}

void Loop::Follow(Kind kind, std::stop_token stop) {
  const std::string plural = ResourceOf(kind).plural;
  kube::WatchSink sink;
  sink.event = [&](kube::WatchEvent what, const api::Json& object) {
    if (what == kube::WatchEvent::kDelete) return Push(GoneOf(kind, object));
    if (what == kube::WatchEvent::kBookmark)
      return Push(core::Bookmark{kind, api::DecodeMeta(object).resource_version});
    auto decoded = Decode(kind, object);
    if (decoded) return Push(core::Seen{std::move(*decoded), what == kube::WatchEvent::kListed});
    // A NodeClaim of someone else is nothing of ours.
    if (kind != Kind::kCloudServer)
      Warn("object ignored", {{"resource", plural},
                              {"object", api::DecodeMeta(object).key()},
                              {"error", decoded.error().message}});
  };
  sink.listed = [&](int64_t version, std::set<std::string> keys) {
    Push(core::Listed{kind, version, std::move(keys)});
  };
  sink.listing = [&] { Push(core::Behind{kind}); };
  sink.trouble = [&](const std::optional<Error>& error) {
    if (!error) {
      Push(core::Bookmark{kind, 0});  // of no version: only that it is Behind no more
      return Info("watch works again", {{"resource", plural}});
    }
    Push(core::Behind{kind});
    metrics_.CountWatchFailure(plural);
    Fail("cannot watch, trying again", {{"resource", plural}, {"error", Advice(kind, *error)}});
  };
  kube::Watch(transport_, OptionsOf(kind), sink, std::move(stop));
}

void Loop::FollowLoad(std::stop_token stop) {
  bool works = true;
  while (!stop.stop_requested()) {
    const auto list =
        kube::Call(transport_, kube::ListRequest(kube::kNodeMetrics, "", 0, ""), stop);
    if (list) {
      Push(DecodeMeasured(*list));
      if (!works) Info("metrics.k8s.io answers again");
    } else if (works) {
      Push(core::Measured{});
      Warn("no measured load: limits on it do not hold, and servers that require it take no tasks",
           {{"resource", "nodes.metrics.k8s.io"}, {"error", list.error().message}});
    }
    works = list.ok();
    kube::SleepFor(works ? kLoadEvery : kLoadRetry, stop);
  }
}

std::vector<core::Event> Loop::Wait(Time wake, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  const Time now = Now();
  const auto sleep =
      wake <= now ? milliseconds(0) : std::min<milliseconds>(wake - now, kLongestSleep);
  changed_.wait_for(lock, stop, sleep, [&] { return !events_.empty(); });
  return std::exchange(events_, {});
}

void Loop::Run(std::stop_token stop) {
  executor_.Start(options_.workers);
  std::vector<std::jthread> watches;
  for (size_t i = 0; i < core::kKinds; ++i) {
    watches.emplace_back([this, i, stop] { Follow(static_cast<Kind>(i), stop); });
  }
  watches.emplace_back([this, stop] { FollowLoad(stop); });
  Time wake = Now(), described{};
  bool listed = false;  // since memory was given back
  while (!stop.stop_requested()) {
    const std::vector<core::Event> events = Wait(wake, stop);
    const Time now = Now();
    const auto begin = std::chrono::steady_clock::now();
    core::StepResult result = core_.Step(events, now);
    metrics_.ObserveStep(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
        events.size());
    executor_.Push(std::move(result.effects));
    wake = result.wake;
    turned_ = Monotonic().count();
    listed = listed || std::any_of(events.begin(), events.end(), [](const core::Event& event) {
               return std::holds_alternative<core::Listed>(event);
             });
    // A list was large, and is gone.
    if (core_.world().ready() && std::exchange(listed, false)) malloc_trim(0);
    if (!ready_ && core_.world().ready()) {
      ready_ = true;
      Info("every resource was listed",
           {{"tasks", std::to_string(core_.world().tasks.size())},
            {"servers", std::to_string(core_.world().servers.size())}});
    }
    if (now - described > kDescribeEvery) {
      metrics_.Describe(core_.world());
      described = now;
    }
  }
}

}  // namespace spillway::runtime
