#include "operator/runtime/executor.h"

#include <algorithm>
#include <atomic>

#include "operator/runtime/answers.h"
#include "operator/runtime/ask_engine.h"
#include "operator/runtime/chronicle.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/event_body.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"
#include "operator/runtime/send_write.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;

const char* Name(Verb verb) {
  return verb == Verb::kCreate ? "create" : verb == Verb::kDelete ? "delete" : "patch";
}

// By the monotonic clock.
Time Monotonic() {
  return Time(std::chrono::floor<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

double Seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

// What the effect is, as a line of the log says it.
Fields FieldsOf(const Job& job) {
  const auto* write = std::get_if<core::Write>(&job.effect);
  Fields fields = TaskFields(job.effect);
  fields.push_back({"verb", write != nullptr ? Name(write->verb) : "ask"});
  fields.push_back({"object", job.key});
  return fields;
}

constexpr Duration kLongestSleep{60'000};
// A line for every write, and for every refusal that was told before.
constexpr int kWriteVerbosity = 4;

}  // namespace

Executor::Executor(kube::Transport& transport, const cloud::Engines& engines, Metrics& metrics,
                   std::string identity, int threads, std::function<void(core::Event)> report)
    : transport_(transport),
      engines_(engines),
      metrics_(metrics),
      identity_(std::move(identity)),
      report_(std::move(report)),
      machine_(static_cast<size_t>(threads)),
      most_threads_(threads) {}

Executor::~Executor() { (void)Stop(std::chrono::milliseconds(0)); }

void Executor::Start() {
  for (int i = 0; i < most_threads_; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Work(std::move(stop)); });
  }
}

bool Executor::Stop(std::chrono::milliseconds patience) {
  for (std::jthread& thread : threads_) thread.request_stop();
  bool all = false;
  {
    std::unique_lock lock(mutex_);
    all = landed_.wait_for(lock, patience, [&] { return machine_.in_flight() == 0; });
  }
  give_up_.request_stop();
  threads_.clear();
  return all;
}

void Executor::Push(std::vector<core::Effect> effects) {
  if (effects.empty()) return;
  std::vector<core::Effect> dropped;
  {
    const std::lock_guard lock(mutex_);
    const Time now = Monotonic();
    for (core::Effect& effect : effects) {
      if (auto rest = machine_.Push(std::move(effect), now)) dropped.push_back(std::move(*rest));
    }
    metrics_.QueueGrew(effects.size() - dropped.size(), machine_.waiting());
    if (machine_.waiting() < kMostNotes / 4) drops_told_ = false;
  }
  changed_.notify_all();
  if (!dropped.empty()) TellDropped(dropped);
}

// The log is then the only place that has what they say.
void Executor::TellDropped(const std::vector<core::Effect>& dropped) {
  bool any = false;
  for (const core::Effect& effect : dropped) {
    const auto* note = std::get_if<core::Note>(&effect);
    if (note == nullptr) continue;  // a question is asked again, if it still matters
    any = true;
    metrics_.CountWrite("create", "events", false);
    if (const auto line = LineOf(*note)) WriteLines({*line});
  }
  if (any && !drops_told_.exchange(true))
    Warn("the API server does not take Events fast enough, dropping new ones",
         {{"most", static_cast<int64_t>(kMostNotes)}});
}

std::optional<Job> Executor::Next(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Time now = Monotonic();
    if (auto job = machine_.Next(now)) {
      if (job->attempts == 0) metrics_.QueueStarted(Seconds(now - job->pushed), machine_.waiting());
      // One that ends may make room for several.
      if (machine_.ready(now)) changed_.notify_one();
      return job;
    }
    const Time due = machine_.next();
    const auto sleep = due == kNever ? kLongestSleep : std::min(due - now, kLongestSleep);
    changed_.wait_for(lock, stop, sleep,
                      [&] { return machine_.ready(Monotonic()) || machine_.next() < due; });
  }
  return std::nullopt;
}

void Executor::Work(std::stop_token stop) {
  while (auto job = Next(stop)) {
    Carry(std::move(*job), give_up_.get_token());
    changed_.notify_one();
    landed_.notify_all();
  }
}

void Executor::Carry(Job job, std::stop_token stop) {
  const Time begin = Monotonic();
  Tried tried;
  const auto thrown = Guarded([&] {
    tried = std::visit([&](const auto& effect) { return Try(effect, job, stop); }, job.effect);
  });
  if (thrown) tried = CouldNotSend(job.effect, *thrown);
  const Time now = Monotonic();
  std::unique_lock lock(mutex_);
  auto verdict = machine_.Judge(job, std::move(tried), now - begin, now);
  lock.unlock();
  if (verdict.news) LogFailure(job, *verdict.error, verdict.again);
  if (LogsAt(kWriteVerbosity)) LogTry(job, verdict.error, now - begin);
  if (verdict.report) report_(std::move(*verdict.report));
  lock.lock();
  machine_.Land(std::move(job), verdict, now, random_());
  metrics_.QueueEnded(Seconds(now - begin), verdict.again, machine_.waiting());
}

void Executor::LogFailure(const Job& job, const Error& error, bool again) const {
  Fields fields = FieldsOf(job);
  fields.push_back({"error", error.message});
  Warn(again ? "a request failed, trying again" : "a request was refused", fields);
}

void Executor::LogTry(const Job& job, const std::optional<Error>& error, Duration took) const {
  Fields fields = FieldsOf(job);
  fields.push_back({"took", FormatDuration(took)});
  if (error) fields.push_back({"error", error->message});
  InfoAt(kWriteVerbosity, error ? "try failed" : "done", fields);
}

Tried Executor::Try(const core::Write& write, const Job&, std::stop_token stop) {
  core::Outcome outcome = SendWrite(write, transport_, stop);
  metrics_.CountWrite(Name(write.verb), ResourceOf(write.kind).plural, !outcome.error);
  std::optional<Error> error = outcome.error;
  return {std::move(error), std::move(outcome)};
}

Tried Executor::Try(const core::AskCloud& ask, const Job&, std::stop_token stop) {
  Asked asked = Ask(engines_, ask, stop);
  if (ask.op != core::AskCloud::Op::kDiagnose)
    metrics_.CountWrite(Name(OutcomeOf(ask).verb), "cloudservers", !asked.error);
  return {std::move(asked.error), std::move(asked.report)};
}

Tried Executor::Try(const core::Note& note, const Job& job, std::stop_token stop) {
  if (job.attempts == 0) {
    if (const auto line = LineOf(note)) WriteLines({*line});
  }
  static std::atomic<uint64_t> counter{0};
  const auto now = std::chrono::floor<Duration>(std::chrono::system_clock::now());
  const auto made = kube::Call(transport_,
                               kube::CreateRequest(kube::kEvents, NamespaceOf(note),
                                                   EventBody(note, identity_, now, ++counter)),
                               stop);
  metrics_.CountWrite("create", "events", made.ok());
  if (!made) return {made.error(), {}};
  return {};
}

Tried Executor::Try(const core::AskWhy& ask, const Job&, std::stop_token stop) {
  const auto events = kube::Call(transport_, PodEventsRequest(ask), stop);
  if (!events) return {};  // it is asked again, if it still matters
  return {{}, LatestWarning(ask, *events)};
}

}  // namespace spillway::runtime
