#include "operator/runtime/executor_machine.h"

#include <utility>

#include "operator/runtime/answers.h"

namespace spillway::runtime {
namespace {

// Why a pod cannot be created is told by the core: once for all tasks of a kind.
bool IsToldByCore(const core::Effect& effect) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr && write->kind == core::Kind::kPod && write->verb == core::Verb::kCreate;
}

// A race that was lost needs nobody's attention.
bool IsLostRace(const Error& error) {
  return error.kind == ErrorKind::kConflict || error.kind == ErrorKind::kNotFound ||
         error.kind == ErrorKind::kAlreadyExists;
}

}  // namespace

Tried CouldNotSend(const core::Effect& effect, const std::string& why) {
  Error error = Invalid("the request could not be made: " + why);
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

std::optional<Job> ExecutorMachine::Next(Time now) {
  auto job = queue_.Pop(now);
  if (job) ++in_flight_;
  return job;
}

ExecutorMachine::Verdict ExecutorMachine::Judge(const Job& job, Tried tried, Duration took,
                                                Time now) {
  Verdict verdict{std::move(tried.error), std::nullopt};
  const auto& error = verdict.error;
  // The process ends, and nobody waits for it.
  if (error && error->kind == ErrorKind::kCancelled) return verdict;
  verdict.again = error && TryAgain(job.effect, *error, job.attempts, took);
  verdict.news = error && IsNews(job, *error, verdict.again, now);
  if (!verdict.again) verdict.report = std::move(tried.report);
  // A status that conflicts may do so with what an earlier try of it has written.
  auto* outcome = verdict.report ? std::get_if<core::Outcome>(&*verdict.report) : nullptr;
  if (outcome != nullptr && outcome->verb == core::Verb::kPatchStatus && outcome->error)
    outcome->error->ambiguous = outcome->error->ambiguous || job.attempts > 0;
  // An earlier try of a creation may have arrived, whatever is said of the last.
  if (outcome != nullptr && outcome->verb == core::Verb::kCreate && outcome->error)
    outcome->error->ambiguous = outcome->error->ambiguous || job.ambiguous;
  if (!error) refusals_.Succeeded(job.key);
  return verdict;
}

void ExecutorMachine::Land(Job job, const Verdict& verdict, Time now, uint64_t random) {
  --in_flight_;
  const auto& error = verdict.error;
  if (verdict.again) {
    const auto wait = Backoff(*error, job.attempts, random);
    job.ambiguous = job.ambiguous || error->ambiguous;
    queue_.Again(std::move(job), now, now + wait);
  } else {
    queue_.Done(job, now, error && Refused(job.effect, *error));
  }
}

bool ExecutorMachine::IsNews(const Job& job, const Error& error, bool again, Time now) {
  if (!again && IsLostRace(error)) return false;
  return !IsToldByCore(job.effect) && refusals_.IsNews(job.key, error.message, now);
}

}  // namespace spillway::runtime
