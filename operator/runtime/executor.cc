#include "operator/runtime/executor.h"

#include <algorithm>
#include <atomic>
#include <tuple>

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

// What is sure about an effect that could not even be sent. The core waits for an answer to
// whatever it has asked for.
std::pair<Error, std::optional<core::Event>> BrokenReport(const core::Effect& effect,
                                                          const std::string& what) {
  Error error = Invalid("the request could not be made: " + what);
  if (const auto* write = std::get_if<core::Write>(&effect)) {
    core::Outcome outcome = OutcomeOf(*write);
    outcome.error = error;
    return {std::move(error), std::move(outcome)};
  }
  const auto* ask = std::get_if<core::AskCloud>(&effect);
  if (ask == nullptr) return {std::move(error), std::nullopt};
  if (ask->op == core::AskCloud::Op::kDiagnose) {
    core::CloudDiagnosis diagnosis{ask->request_uid, api::CloudError::kTransient, error.message};
    return {std::move(error), std::move(diagnosis)};
  }
  core::Outcome outcome = OutcomeOf(*ask);
  outcome.error = error;
  return {std::move(error), std::move(outcome)};
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

// Why a pod cannot be created is told by the core: once for all tasks of a kind.
bool IsToldByCore(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr && write->kind == Kind::kPod && write->verb == Verb::kCreate;
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
      queue_(static_cast<size_t>(threads)),
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
    all = landed_.wait_for(lock, patience, [&] { return in_flight_ == 0; });
  }
  give_up_.request_stop();
  threads_.clear();
  return all;
}

void Executor::Push(std::vector<core::Effect> effects) {
  if (effects.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    const Time now = Monotonic();
    for (core::Effect& effect : effects) queue_.Push(std::move(effect), now);
    metrics_.QueueGrew(effects.size(), queue_.size());
  }
  changed_.notify_all();
}

std::optional<Job> Executor::Next(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Time now = Monotonic();
    if (auto job = queue_.Pop(now)) {
      ++in_flight_;
      if (job->attempts == 0) metrics_.QueueStarted(Seconds(now - job->pushed), queue_.size());
      return job;
    }
    const Time due = queue_.next();
    const auto sleep = due == kNever ? kLongestSleep : std::min(due - now, kLongestSleep);
    changed_.wait_for(lock, stop, sleep,
                      [&] { return queue_.ready(Monotonic()) || queue_.next() < due; });
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
  Answer answer;
  const auto thrown = Guarded([&] {
    answer =
        std::visit([&](const auto& effect) { return CarryOne(effect, job, stop); }, job.effect);
  });
  if (thrown) std::tie(answer.error, answer.report) = BrokenReport(job.effect, *thrown);
  const auto& error = answer.error;
  const Time now = Monotonic();
  const bool cancelled = error && error->kind == ErrorKind::kCancelled;
  const bool again = error && TryAgain(job.effect, *error, job.attempts, now - begin);
  if (error && !cancelled) LogFailure(job, *error, again);
  if (LogsAt(kWriteVerbosity)) LogTry(job, error, now - begin);
  // Reported first: what the core wants next of the object comes after it in the queue.
  if (!again && !cancelled && answer.report) report_(std::move(*answer.report));
  const std::lock_guard lock(mutex_);
  --in_flight_;
  if (!error) refusals_.Succeeded(job.key);
  if (again) {
    const auto wait = Backoff(*error, job.attempts, random_());
    queue_.Again(std::move(job), now, now + wait);
  } else {
    queue_.Done(job, now, error && Refused(job.effect, *error));
  }
  metrics_.QueueEnded(Seconds(now - begin), again, queue_.size());
}

void Executor::LogFailure(const Job& job, const Error& error, bool again) {
  // A lost race needs nobody's attention.
  if (!again && (error.kind == ErrorKind::kConflict || error.kind == ErrorKind::kNotFound ||
                 error.kind == ErrorKind::kAlreadyExists))
    return;
  if (IsToldByCore(job.effect)) return;
  {
    const std::lock_guard lock(mutex_);
    if (!refusals_.IsNews(job.key, error.message, Monotonic())) return;
  }
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

Executor::Answer Executor::CarryOne(const core::Write& write, const Job&, std::stop_token stop) {
  core::Outcome outcome = SendWrite(write, transport_, stop);
  metrics_.CountWrite(Name(write.verb), ResourceOf(write.kind).plural, !outcome.error);
  std::optional<Error> error = outcome.error;
  return {std::move(error), std::move(outcome)};
}

Executor::Answer Executor::CarryOne(const core::AskCloud& ask, const Job&, std::stop_token stop) {
  Asked asked = Ask(engines_, ask, stop);
  if (ask.op != core::AskCloud::Op::kDiagnose)
    metrics_.CountWrite(Name(OutcomeOf(ask).verb), "cloudservers", !asked.error);
  return {std::move(asked.error), std::move(asked.report)};
}

Executor::Answer Executor::CarryOne(const core::Note& note, const Job& job, std::stop_token stop) {
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

Executor::Answer Executor::CarryOne(const core::AskWhy& ask, const Job&, std::stop_token stop) {
  const auto events = kube::Call(transport_, PodEventsRequest(ask), stop);
  if (!events) return {};  // it is asked again, if it still matters
  return {{}, LatestWarning(ask, *events)};
}

}  // namespace spillway::runtime
