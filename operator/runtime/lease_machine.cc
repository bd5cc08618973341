#include "operator/runtime/lease_machine.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "operator/api/meta.h"

namespace spillway::runtime {
namespace {

using api::Json;
using std::chrono::milliseconds;

// client-go spreads its retries by so much.
constexpr double kJitter = 1.2;

std::string Seconds(milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + "s"
                                  : std::to_string(time.count()) + "ms";
}

}  // namespace

Result<Unit> CheckTimings(const LeaseOptions& options) {
  const auto [duration, deadline, period] =
      std::tuple(options.lease_duration, options.renew_deadline, options.retry_period);
  if (period < milliseconds(100))
    return Invalid("--leader-elect-retry-period must be at least 100ms");
  if (duration < std::chrono::seconds(1) || duration > std::chrono::hours(1))
    return Invalid("--leader-elect-lease-duration must be from 1s to 1h");
  if (duration <= deadline)
    return Invalid("--leader-elect-lease-duration (" + Seconds(duration) +
                   ") must be longer than --leader-elect-renew-deadline (" + Seconds(deadline) +
                   ")");
  if (static_cast<double>(deadline.count()) <= kJitter * static_cast<double>(period.count()))
    return Invalid("--leader-elect-renew-deadline (" + Seconds(deadline) +
                   ") must be longer than 1.2 times --leader-elect-retry-period (" +
                   Seconds(period) + ")");
  return Unit{};
}

Error LeaseMachine::TooLate() const {
  return {ErrorKind::kUnavailable, "no answer within " + Seconds(patience()), std::nullopt, true};
}

kube::Request LeaseMachine::Try(Clock::time_point now) {
  begin_ = now;
  held_ = false;
  sent_ = Sent::kRead;
  return kube::GetRequest(kube::kLeases, options_.ns, options_.name);
}

LeaseMachine::Step LeaseMachine::Answer(const Result<Json>& answer, Clock::time_point now,
                                        Time wall) {
  switch (std::exchange(sent_, Sent::kNothing)) {
    case Sent::kRead:
      return AnswerRead(answer, now, wall);
    case Sent::kWrite:
      return AnswerWrite(answer);
    case Sent::kReadToRelease:
      return AnswerReadToRelease(answer);
    case Sent::kNothing:
      break;
  }
  return {};
}

LeaseMachine::Step LeaseMachine::AnswerRead(const Result<Json>& known, Clock::time_point now,
                                            Time wall) {
  if (!known && known.error().kind == ErrorKind::kNotFound) {
    const Json body{{"apiVersion", "coordination.k8s.io/v1"},
                    {"kind", "Lease"},
                    {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}},
                    {"spec", Spec(0, FormatMicroTime(wall), wall)}};
    return Write(kube::CreateRequest(kube::kLeases, options_.ns, body));
  }
  if (!known) {
    if (known.error().kind == ErrorKind::kCancelled) return {};
    return {{}, "cannot read the leader election Lease", known.error().message};
  }
  const Json& spec = api::GetObject(*known, "spec");
  const std::string holder = api::GetString(spec, "holderIdentity");
  const bool ours = holder == options_.identity;
  Observe(spec, now);
  if (!ours && !holder.empty()) taken_ = true;
  if (!ours && !holder.empty() && now < runs_out_) return {};
  Json body = *known;
  const int64_t transitions = api::GetInt(spec, "leaseTransitions") + (ours ? 0 : 1);
  body["spec"] =
      Spec(transitions, ours ? api::GetString(spec, "acquireTime") : FormatMicroTime(wall), wall);
  // The resourceVersion in the body makes a change by another a conflict.
  return Write(kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, body));
}

LeaseMachine::Step LeaseMachine::Write(kube::Request request) {
  sent_ = Sent::kWrite;
  return {std::move(request), nullptr, ""};
}

LeaseMachine::Step LeaseMachine::AnswerWrite(const Result<Json>& written) {
  held_ = written.ok();
  if (held_) {
    renewed_ = begin_;
    taken_ = false;
    return {};
  }
  const ErrorKind kind = written.error().kind;
  if (kind == ErrorKind::kConflict || kind == ErrorKind::kAlreadyExists ||
      kind == ErrorKind::kCancelled)
    return {};
  return {{}, "cannot write the leader election Lease", written.error().message};
}

void LeaseMachine::Observe(const Json& spec, Clock::time_point now) {
  const std::string renewed =
      api::GetString(spec, "renewTime") + api::GetString(spec, "holderIdentity");
  if (renewed == seen_renewal_) return;
  seen_renewal_ = renewed;
  const auto lasts = std::clamp<std::chrono::seconds>(
      std::chrono::seconds(api::GetInt(spec, "leaseDurationSeconds")), std::chrono::seconds(0),
      std::chrono::hours(1));
  runs_out_ = now + (lasts.count() > 0 ? milliseconds(lasts) : options_.lease_duration);
}

Json LeaseMachine::Spec(int64_t transitions, const std::string& acquired, Time wall) const {
  // Whole seconds; others must not take less for it than we do.
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options_.lease_duration);
  return {{"holderIdentity", options_.identity},
          {"leaseDurationSeconds", seconds.count()},
          {"acquireTime", acquired},
          {"renewTime", FormatMicroTime(wall)},
          {"leaseTransitions", transitions}};
}

// Looked at often, since its time counts from when a renewal was seen; and when it runs out.
milliseconds LeaseMachine::UntilNextTry(Clock::time_point now) const {
  const milliseconds look = std::min(options_.retry_period, milliseconds(1'000));
  const auto left = std::chrono::ceil<milliseconds>(runs_out_ - now);
  return left > milliseconds(0) ? std::min(look, left) : look;
}

milliseconds LeaseMachine::Left(Clock::time_point now) const {
  if (taken_) return milliseconds(0);
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(may_act_until() - now));
}

kube::Request LeaseMachine::Release() {
  sent_ = Sent::kReadToRelease;
  return kube::GetRequest(kube::kLeases, options_.ns, options_.name);
}

LeaseMachine::Step LeaseMachine::AnswerReadToRelease(const Result<Json>& known) {
  if (!known ||
      api::GetString(api::GetObject(*known, "spec"), "holderIdentity") != options_.identity)
    return {};
  Json body = *known;
  body["spec"]["holderIdentity"] = "";
  return {kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, body), nullptr, ""};
}

}  // namespace spillway::runtime
