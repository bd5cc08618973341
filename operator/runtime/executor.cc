#include "operator/runtime/executor.h"

#include <algorithm>
#include <atomic>

#include "operator/core/pod_body.h"
#include "operator/runtime/answers.h"
#include "operator/runtime/decode.h"
#include "operator/runtime/event_body.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using core::Kind;
using core::Verb;

const char* Name(Verb verb) {
  return verb == Verb::kCreate ? "create" : verb == Verb::kDelete ? "delete" : "patch";
}

kube::Request Encode(const core::Write& write) {
  const kube::Resource& resource = ResourceOf(write.kind);
  switch (write.verb) {
    case Verb::kCreate:
      return kube::CreateRequest(resource, write.ns, core::Body(write));
    case Verb::kPatchStatus:
      return kube::StatusRequest(resource, write.ns, write.name, write.uid, write.resource_version,
                                 write.body);
    case Verb::kDelete:
      break;
  }
  return kube::DeleteRequest(resource, write.ns, write.name, write.uid, write.grace);
}

}  // namespace

Executor::Executor(kube::Transport& transport, cloud::Backend& backend, Metrics& metrics,
                   std::string identity, std::function<void(core::Event)> report)
    : transport_(transport),
      backend_(backend),
      metrics_(metrics),
      identity_(std::move(identity)),
      report_(std::move(report)) {}

Executor::~Executor() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void Executor::Start(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Work(std::move(stop)); });
  }
}

void Executor::Push(std::vector<core::Effect> effects) {
  if (effects.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    for (core::Effect& effect : effects) queue_.Push(std::move(effect));
  }
  changed_.notify_all();
}

std::optional<Executor::Job> Executor::Next(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (!later_.empty() && later_.begin()->first <= Clock::now()) {
      Job job = std::move(later_.begin()->second);
      later_.erase(later_.begin());
      return job;
    }
    if (auto effect = queue_.Pop()) return Job{std::move(*effect), 0};
    const auto until =
        later_.empty() ? Clock::now() + std::chrono::hours(1) : later_.begin()->first;
    changed_.wait_until(lock, stop, until, [&] {
      return queue_.ready() || (!later_.empty() && later_.begin()->first < until);
    });
  }
  return std::nullopt;
}

void Executor::Work(std::stop_token stop) {
  while (auto job = Next(stop)) {
    std::chrono::milliseconds after{0};
    const std::string key = EffectKey(job->effect);
    const bool done = Carry(*job, &after, stop);
    {
      const std::lock_guard lock(mutex_);
      if (done) {
        queue_.Done(key);
      } else {
        ++job->attempts;
        later_.emplace(Clock::now() + after, std::move(*job));
      }
    }
    changed_.notify_one();
  }
}

bool Executor::Carry(const Job& job, std::chrono::milliseconds* after, std::stop_token stop) {
  std::optional<Error> error;
  const auto thrown = Guarded([&] {
    error = std::visit([&](const auto& effect) { return CarryOne(effect, job, stop); }, job.effect);
  });
  if (thrown) {
    Fail("an effect could not be carried out",
         {{"object", EffectKey(job.effect)}, {"error", *thrown}});
    ReportBroken(job.effect, *thrown);
    return true;
  }
  if (!error || !TryAgain(job.effect, *error, job.attempts)) return true;
  *after = Backoff(*error, job.attempts);
  return false;
}

// The core waits for an answer to whatever it has asked for.
void Executor::ReportBroken(const core::Effect& effect, const std::string& what) {
  const Error error = Invalid("the request could not be made: " + what);
  if (const auto* write = std::get_if<core::Write>(&effect)) {
    core::Outcome outcome = OutcomeOf(*write);
    outcome.error = error;
    report_(std::move(outcome));
  } else if (const auto* ask = std::get_if<core::AskCloud>(&effect)) {
    if (ask->op == core::AskCloud::Op::kDiagnose)
      return report_(
          core::CloudDiagnosis{ask->request_uid, api::CloudError::kTransient, error.message});
    core::Outcome outcome = OutcomeOf(*ask);
    outcome.error = error;
    report_(std::move(outcome));
  }
}

// Each returns the error of the call; it has reported the outcome unless it is tried again.
std::optional<Error> Executor::CarryOne(const core::Write& write, const Job& job,
                                        std::stop_token stop) {
  auto answer = kube::Call(transport_, Encode(write), stop);
  metrics_.CountWrite(Name(write.verb), ResourceOf(write.kind).plural, answer.ok());
  core::Outcome outcome = OutcomeOf(write);
  if (!answer) {
    const Error& error = answer.error();
    if (error.kind == ErrorKind::kCancelled) return error;
    const bool again = TryAgain(job.effect, error, job.attempts);
    const bool refused = error.kind == ErrorKind::kInvalid || error.kind == ErrorKind::kForbidden;
    if (again || refused) {
      Warn(again ? "API write failed, trying again" : "API write refused",
           {{"verb", Name(write.verb)},
            {"resource", ResourceOf(write.kind).plural},
            {"object", write.key()},
            {"error", error.message}});
    }
    if (again) return error;
    outcome.error = error;
    if (write.verb == Verb::kCreate && error.kind == ErrorKind::kAlreadyExists) {
      // Who was there first decides what follows.
      answer = kube::Call(transport_,
                          kube::GetRequest(ResourceOf(write.kind), write.ns, write.name), stop);
      if (!answer) return Error{ErrorKind::kUnavailable, answer.error().message, std::nullopt};
      if (auto object = Decode(write.kind, *answer)) outcome.object = std::move(*object);
    }
  } else if (write.verb != Verb::kDelete) {
    auto object = Decode(write.kind, *answer);
    if (object) outcome.object = std::move(*object);
  }
  std::optional<Error> error = outcome.error;
  report_(std::move(outcome));
  return error;
}

std::optional<Error> Executor::CarryOne(const core::AskCloud& ask, const Job& job,
                                        std::stop_token stop) {
  using Op = core::AskCloud::Op;
  if (ask.op == Op::kDiagnose) {
    const cloud::Diagnosis diagnosis = backend_.Diagnose(ask.server, stop);
    report_(core::CloudDiagnosis{ask.request_uid, diagnosis.error, diagnosis.message});
    return std::nullopt;
  }
  core::Outcome outcome = OutcomeOf(ask);
  if (ask.op == Op::kEnsure) {
    auto server = backend_.Ensure(ask.request_name, ask.request_uid, ask.pool, stop);
    if (server) {
      outcome.object = core::Object(std::move(*server));
    } else {
      outcome.error = server.error();
    }
  } else if (const auto released = backend_.Release(ask.server, stop); !released) {
    outcome.error = released.error();
  }
  std::optional<Error> error = outcome.error;
  metrics_.CountWrite(Name(outcome.verb), "cloudservers", !error);
  if (error && TryAgain(job.effect, *error, job.attempts)) return error;
  if (error)
    Warn("cloud request refused", {{"scaleRequest", ask.request_name}, {"error", error->message}});
  report_(std::move(outcome));
  return error;
}

std::optional<Error> Executor::CarryOne(const core::Note& note, const Job& job,
                                        std::stop_token stop) {
  if (job.attempts == 0) {
    Info(note.message, {{"kind", core::ToString(note.kind)},
                        {"namespace", note.ns},
                        {"name", note.name},
                        {"reason", note.reason}});
  }
  static std::atomic<uint64_t> counter{0};
  const auto now = std::chrono::floor<Duration>(std::chrono::system_clock::now());
  const auto made = kube::Call(transport_,
                               kube::CreateRequest(kube::kEvents, NamespaceOf(note),
                                                   EventBody(note, identity_, now, ++counter)),
                               stop);
  metrics_.CountWrite("create", "events", made.ok());
  if (!made) return made.error();
  return std::nullopt;
}

std::optional<Error> Executor::CarryOne(const core::AskWhy& ask, const Job&, std::stop_token stop) {
  const auto events = kube::Call(transport_, PodEventsRequest(ask), stop);
  if (events) report_(LatestWarning(ask, *events));
  return std::nullopt;  // it is asked again, if it still matters
}

}  // namespace spillway::runtime
