#include "operator/runtime/answers.h"

#include <algorithm>

#include "operator/base/backoff.h"
#include "operator/base/foreign_text.h"

namespace spillway::runtime {

using core::Verb;

namespace {

constexpr BackoffRange kBackoff{std::chrono::milliseconds(200), std::chrono::milliseconds(60'000)};

bool Has(const core::Effect& effect, Verb verb) {
  const auto* write = std::get_if<core::Write>(&effect);
  return write != nullptr && write->verb == verb;
}

bool MakesPod(const core::Effect& effect) {
  return Has(effect, Verb::kCreate) && std::get<core::Write>(effect).kind == core::Kind::kPod;
}

}  // namespace

bool TryAgain(const core::Effect& effect, const Error& error, int attempts, Duration took) {
  if (std::holds_alternative<core::Note>(effect))
    return error.retryable() && attempts + 1 < kMostNoteTries;
  // Credentials are rotated: those that were refused may be good again.
  const bool write = std::holds_alternative<core::Write>(effect);
  const bool may_pass = error.retryable() || (write && error.kind == ErrorKind::kUnauthenticated);
  if (!may_pass) return false;
  if (std::holds_alternative<core::AskCloud>(effect))
    return attempts == 0 && took < kQuickTry && error.retry_after.value_or(kQuickTry) <= kQuickTry;
  if (MakesPod(effect) || Has(effect, Verb::kDelete))
    return attempts + 1 < kMostPoliteTries && took < kQuickTry &&
           (attempts == 0 || error.retry_after.has_value());
  return !Has(effect, Verb::kPatchStatus) || attempts + 1 < kMostStatusTries;
}

std::chrono::milliseconds Backoff(const Error& error, int attempts, uint64_t random) {
  using std::chrono::milliseconds;
  const milliseconds wait = BackoffAfter(attempts + 1, kBackoff, random);
  return error.retry_after ? std::max<milliseconds>(wait, *error.retry_after) : wait;
}

bool Refused(const core::Effect& effect, const Error& error) {
  const bool spaced_by_core = MakesPod(effect) || std::holds_alternative<core::AskCloud>(effect);
  if (spaced_by_core || error.kind == ErrorKind::kCancelled) return false;
  return error.kind != ErrorKind::kAlreadyExists &&
         !(Has(effect, Verb::kDelete) && error.kind == ErrorKind::kNotFound);
}

core::Outcome OutcomeOf(const core::Write& write) {
  return {write.verb, write.kind, write.key(), write.uid, {}, {}};
}

core::Outcome OutcomeOf(const core::AskCloud& ask) {
  const bool ensure = ask.op == core::AskCloud::Op::kEnsure;
  return {ensure ? Verb::kCreate : Verb::kDelete,
          core::Kind::kCloudServer,
          ask.server.key(),
          ask.request_uid,
          {},
          {},
          ask.engine()};
}

kube::Request PodEventsRequest(const core::AskWhy& ask) {
  kube::Request request = kube::ListRequest(kube::kEvents, ask.ns, kMostPodEvents, "");
  request.path += "&fieldSelector=type%3DWarning%2CinvolvedObject.uid%3D" + ask.pod_uid;
  return request;
}

core::PodWarned LatestWarning(const core::AskWhy& ask, const api::Json& event_list) {
  core::PodWarned out{ask.task_uid, ask.pod_uid, "", ""};
  std::string latest;
  for (const api::Json& event : api::GetArray(event_list, "items")) {
    // All are RFC 3339 in UTC, so that texts compare as times do.
    std::string at = api::GetString(event, "lastTimestamp");
    if (at.empty()) at = api::GetString(event, "eventTime");
    if (at < latest) continue;
    latest = std::move(at);
    out.reason = OneLine(api::GetString(event, "reason"), kMostReason);
    out.message = Bounded(api::GetString(event, "message"), kMostEventMessage);
  }
  return out;
}

}  // namespace spillway::runtime
