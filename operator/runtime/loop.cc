#include "operator/runtime/loop.h"

#include <malloc.h>

#include <algorithm>
#include <set>

#include "operator/core/world.h"
#include "operator/runtime/chronicle.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/feed_reader.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using std::chrono::milliseconds;

constexpr milliseconds kLongestSleep{5'000};
constexpr milliseconds kDescribeEvery{5'000};
constexpr milliseconds kTellEnginesEvery{1'000};
// metrics-server measures every 15 s by default; asked more often, so that a measurement is known
// soon.
constexpr milliseconds kLoadEvery{10'000}, kLoadRetry{20'000};
// Answers that are waited for at the end; main gives up later.
constexpr milliseconds kLastAnswers{4'000};
constexpr milliseconds kAfterException{1'000};
// So long the first lists may take; see EndsAfterFailure.
constexpr milliseconds kMostListing{120'000};

Duration Monotonic() {
  return std::chrono::floor<Duration>(std::chrono::steady_clock::now().time_since_epoch());
}

std::string Advice(const kube::Resource& resource, const Error& error) {
  if (error.kind == ErrorKind::kNotFound) {
    return "the API server does not know " + resource.plural + "." + resource.group +
           "; install the CRDs: kubectl apply -f crds/";
  }
  if (error.kind == ErrorKind::kForbidden)
    return error.message + "; give the operator its rights: the chart with rbac.create=true";
  return error.message;
}

Fields IgnoredFields(const Feed& feed, const api::ObjectMeta& meta, const std::string& error) {
  Fields fields{{"resource", feed.watch.resource.plural}, {"object", meta.key()}, {"error", error}};
  if (feed.kind == Kind::kTask) {
    const Fields task{
        {"namespace", meta.ns}, {"task", meta.name}, {"uid", meta.uid}, {"attempt", 0}};
    fields.insert(fields.end(), task.begin(), task.end());
  }
  return fields;
}

// What is watched of the engine, or the engine, as metrics name it.
std::string LabelOf(cloud::Engine& engine) {
  const cloud::Source source = engine.source();
  const auto* watch = std::get_if<cloud::Watch>(&source);
  return watch != nullptr ? watch->resource.plural : engine.traits().name;
}

}  // namespace

Loop::Loop(kube::Transport& transport, const cloud::Engines& engines, Metrics& metrics,
           LoopOptions options)
    : transport_(transport),
      engines_(engines),
      metrics_(metrics),
      options_(std::move(options)),
      core_(engines.traits()),
      executor_(transport, engines, metrics, options_.identity, options_.workers,
                [this](core::Event event) { Push(std::move(event)); }) {
  for (size_t i = 0; i < core::kKinds; ++i) {
    if (static_cast<Kind>(i) != Kind::kCloudServer)
      metrics_.Follows(ResourceOf(static_cast<Kind>(i)).plural);
  }
  for (cloud::Engine* engine : engines.all()) metrics_.Follows(LabelOf(*engine));
}

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

void Loop::Follow(const Feed& feed, std::stop_token stop) {
  const std::string& plural = feed.watch.resource.plural;
  RefusalLog told_of;  // what could not be read
  FeedReader reader(feed, [this](core::Event event) { Push(std::move(event)); });
  kube::WatchSink sink;
  sink.event = [&](kube::WatchEvent what, const api::Json& object) {
    metrics_.Heard(plural);
    const auto unreadable = reader.Take(what, object);
    if (!unreadable) {
      if (!told_of.empty()) told_of.Succeeded(api::DecodeMeta(object).key());
      return;
    }
    if (feed.kind == Kind::kCloudServer) return;  // of someone else
    const api::ObjectMeta meta = api::DecodeMeta(object);
    if (told_of.IsNews(meta.key(), unreadable->message, Time(Monotonic())))
      Warn("object ignored", IgnoredFields(feed, meta, unreadable->message));
  };
  sink.listed = [&](int64_t version, std::set<std::string> keys) {
    metrics_.Heard(plural);
    reader.Listed(version, std::move(keys));
  };
  sink.listing = [&] { reader.Behind(); };
  sink.trouble = [&](const std::optional<Error>& error) {
    if (!error) {
      reader.Recovered();
      return Info("watch works again", {{"resource", plural}});
    }
    reader.Behind();
    metrics_.CountWatchFailure(plural);
    Fail("cannot watch, trying again",
         {{"resource", plural}, {"error", Advice(feed.watch.resource, *error)}});
  };
  while (!stop.stop_requested()) {
    const auto thrown = Guarded([&] { kube::Watch(transport_, feed.watch, sink, stop); });
    if (!thrown) return;
    Fail("restarting the watch", {{"resource", plural}, {"error", *thrown}});
    kube::SleepFor(kAfterException, stop);
  }
}

void Loop::FollowEngine(cloud::Engine& engine, std::stop_token stop) {
  const cloud::Source source = engine.source();
  if (const auto* watch = std::get_if<cloud::Watch>(&source))
    return Follow(FeedOf(engine, *watch, stop), stop);
  FollowPolled(engine.traits().name, std::get<cloud::Poll>(source), stop);
}

void Loop::FollowPolled(const std::string& engine, const cloud::Poll& poll, std::stop_token stop) {
  bool works = true;
  std::string trouble;
  while (!stop.stop_requested()) {
    auto events = AskAll(engine, poll, stop);
    if (events) {
      metrics_.Heard(engine);
      for (core::Event& event : *events) Push(std::move(event));
      if (!works) Info("the engine answers again", {{"engine", engine}});
    } else if (works && !stop.stop_requested()) {
      metrics_.CountWatchFailure(engine);
      Fail("the engine does not say what it has, asking again",
           {{"engine", engine}, {"error", events.error().message}});
    }
    works = events.ok();
    std::string now = poll.trouble ? poll.trouble() : "";
    if (now != std::exchange(trouble, now) && !stop.stop_requested()) {
      if (!now.empty()) {
        metrics_.CountWatchFailure(engine);
        Fail("a part of the engine does not say what it has, asking again",
             {{"engine", engine}, {"error", now}});
      } else {
        Info("every part of the engine answers again", {{"engine", engine}});
      }
    }
    kube::SleepFor(poll.every, stop);
  }
}

void Loop::TellEngines() {
  const core::World& world = core_.world();
  if (!world.Synced(Kind::kPool) || !world.Synced(Kind::kScale)) return;
  for (cloud::Engine* engine : engines_.all()) {
    const api::EngineTraits traits = engine->traits();
    if (traits.polled) engine->Heed(KnownOf(world, traits.name));
  }
}

void Loop::FollowLoad(std::stop_token stop) {
  bool works = true;
  while (!stop.stop_requested()) {
    std::optional<Error> error;
    const auto thrown = Guarded([&] {
      const auto list =
          kube::Call(transport_, kube::ListRequest(kube::kNodeMetrics, "", 0, ""), stop);
      if (list) return Push(DecodeMeasured(*list));
      error = list.error();
    });
    if (thrown) error = Invalid(*thrown);
    if (!error && !works) Info("metrics.k8s.io answers again");
    if (error && works) {
      Push(core::Measured{});
      Warn("no measured load: limits on it do not hold, and servers that require it take no tasks",
           {{"resource", "nodes.metrics.k8s.io"}, {"error", error->message}});
    }
    works = !error;
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

bool EndsAfterFailure(milliseconds age, milliseconds young, bool ready) {
  return age >= (ready ? young : std::min(young, kMostListing));
}

// What is known after it is half of what has happened: an answer that is waited for may be lost. A
// new process knows all; but what the core cannot take may be there for it as well, and one object
// must not stop everything.
bool Loop::BreaksOff(const std::optional<std::string>& thrown, milliseconds age) {
  if (thrown) failure_ = "it threw: " + *thrown;
  if (failure_.empty()) return false;
  broken_off_ = EndsAfterFailure(age, options_.young, core_.world().ready());
  if (broken_off_ || thrown)
    Fail(broken_off_ ? "a step of the core failed: ending, to begin anew"
                     : "a step of the core failed: going on without its events for some time",
         {{"error", failure_}});
  return broken_off_;
}

bool Loop::Run(std::stop_token stop) {
  executor_.Start();
  // The watches end with this function, also where that ends by itself.
  std::stop_source ended;
  const std::stop_callback by_signal(stop, [&] { ended.request_stop(); });
  const std::stop_token while_running = ended.get_token();
  std::vector<std::jthread> watches;
  for (size_t i = 0; i < core::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind == Kind::kCloudServer) continue;
    watches.emplace_back([=, this] { Follow(FeedOf(kind), while_running); });
  }
  for (cloud::Engine* engine : engines_.all())
    watches.emplace_back([=, this] { FollowEngine(*engine, while_running); });
  watches.emplace_back([=, this] { FollowLoad(while_running); });
  const auto began = std::chrono::steady_clock::now();
  Time wake = Now(), described{}, told_engines{};
  bool listed = false;  // since memory was given back
  while (!stop.stop_requested()) {
    const std::vector<core::Event> events = Wait(wake, stop);
    const Time now = Now();
    const auto begin = std::chrono::steady_clock::now();
    core::StepResult result;
    const auto thrown = Guarded([&] { result = core_.Step(events, now); });
    if (BreaksOff(thrown, std::chrono::floor<milliseconds>(begin - began))) break;
    if (thrown) {
      kube::SleepFor(kAfterException, stop);
      wake = now;
      continue;
    }
    metrics_.ObserveStep(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
        events.size());
    if (core_.versions_went_back()) {
      Fail("the API server is older than it was (a restored etcd?): ending, to begin anew");
      break;
    }
    executor_.Push(std::move(result.effects));
    for (const core::Milestone& milestone : result.milestones) metrics_.Count(milestone);
    WriteLines(LinesOf(result.milestones));
    wake = result.wake;
    turned_ = Monotonic().count();
    listed = listed || std::any_of(events.begin(), events.end(), [](const core::Event& event) {
               const auto* list = std::get_if<core::Listed>(&event);
               return list != nullptr && list->kind != Kind::kCloudServer;
             });
    // Returns the memory of a large list to the system.
    if (core_.world().ready() && std::exchange(listed, false)) malloc_trim(0);
    if (!ready_ && core_.world().ready()) {
      ready_ = true;
      Info("every resource was listed",
           {{"tasks", static_cast<int64_t>(core_.world().tasks.by_key.size())},
            {"servers", static_cast<int64_t>(core_.world().servers.by_name.size())}});
    }
    if (now - told_engines > kTellEnginesEvery) {
      TellEngines();
      told_engines = now;
    }
    if (now - described > kDescribeEvery) {
      metrics_.Describe(core_.world());
      described = now;
    }
  }
  ended.request_stop();
  return executor_.Stop(kLastAnswers);
}

}  // namespace spillway::runtime
