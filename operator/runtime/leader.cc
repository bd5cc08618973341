#include "operator/runtime/leader.h"

#include <algorithm>
#include <thread>
#include <tuple>
#include <utility>

#include "operator/api/meta.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using api::Json;
using std::chrono::milliseconds;

// client-go spreads its retries by so much.
constexpr double kJitter = 1.2;

std::string NowText() {
  return FormatMicroTime(std::chrono::floor<Duration>(std::chrono::system_clock::now()));
}

std::string Seconds(milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + "s"
                                  : std::to_string(time.count()) + "ms";
}

}  // namespace

Result<Unit> CheckTimings(const LeaderOptions& options) {
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

Json Leader::Spec(int64_t transitions, const std::string& acquired) const {
  // Whole seconds; others must not take less for it than we do.
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options_.lease_duration);
  return {{"holderIdentity", options_.identity},
          {"leaseDurationSeconds", seconds.count()},
          {"acquireTime", acquired},
          {"renewTime", NowText()},
          {"leaseTransitions", transitions}};
}

// An answer after the deadline is useless, and the next try may be quicker.
Result<Json> Leader::Call(const kube::Request& request, std::stop_token stop) const {
  std::stop_source source;
  const std::stop_callback forward(stop, [&] { source.request_stop(); });
  const std::jthread timer([&, most = options_.renew_deadline / 2](std::stop_token answered) {
    kube::SleepFor(most, answered);
    if (!answered.stop_requested()) source.request_stop();
  });
  auto answer = kube::Call(transport_, request, source.get_token());
  if (!answer && answer.error().kind == ErrorKind::kCancelled && !stop.stop_requested())
    return Error{ErrorKind::kUnavailable,
                 "no answer within " + Seconds(options_.renew_deadline / 2), std::nullopt, true};
  return answer;
}

void Leader::LogFailure(const char* what, const std::string& error) {
  if (std::exchange(failure_, error) == error) return;
  Warn(what, {{"lease", options_.ns + "/" + options_.name}, {"error", error}});
}

void Leader::Observe(const Json& spec) {
  const std::string renewed =
      api::GetString(spec, "renewTime") + api::GetString(spec, "holderIdentity");
  if (renewed == seen_renewal_) return;
  seen_renewal_ = renewed;
  const auto lasts = std::clamp<std::chrono::seconds>(
      std::chrono::seconds(api::GetInt(spec, "leaseDurationSeconds")), std::chrono::seconds(0),
      std::chrono::hours(1));
  runs_out_ = options_.now() + (lasts.count() > 0 ? milliseconds(lasts) : options_.lease_duration);
}

bool Leader::Write(const kube::Request& request, Clock::time_point begin, std::stop_token stop) {
  const auto written = Call(request, std::move(stop));
  if (written) {
    renewed_ = begin;
    taken_ = false;
    failure_.clear();
    return true;
  }
  const ErrorKind kind = written.error().kind;
  if (kind != ErrorKind::kConflict && kind != ErrorKind::kAlreadyExists &&
      kind != ErrorKind::kCancelled)
    LogFailure("cannot write the leader election Lease", written.error().message);
  return false;
}

bool Leader::Try(std::stop_token stop) {
  const auto begin = options_.now();
  const auto known = Call(kube::GetRequest(kube::kLeases, options_.ns, options_.name), stop);
  if (!known && known.error().kind == ErrorKind::kNotFound) {
    const Json body{{"apiVersion", "coordination.k8s.io/v1"},
                    {"kind", "Lease"},
                    {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}},
                    {"spec", Spec(0, NowText())}};
    return Write(kube::CreateRequest(kube::kLeases, options_.ns, body), begin, stop);
  }
  if (!known) {
    if (known.error().kind != ErrorKind::kCancelled)
      LogFailure("cannot read the leader election Lease", known.error().message);
    return false;
  }
  const Json& spec = api::GetObject(*known, "spec");
  const std::string holder = api::GetString(spec, "holderIdentity");
  const bool ours = holder == options_.identity;
  Observe(spec);
  if (!ours && !holder.empty()) taken_ = true;
  if (!ours && !holder.empty() && options_.now() < runs_out_) return false;
  Json body = *known;
  const int64_t transitions = api::GetInt(spec, "leaseTransitions") + (ours ? 0 : 1);
  body["spec"] = Spec(transitions, ours ? api::GetString(spec, "acquireTime") : NowText());
  // The resourceVersion in the body makes a change by another a conflict.
  return Write(kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, body), begin, stop);
}

// Looked at often, since its time counts from when a renewal was seen; and when it runs out.
milliseconds Leader::UntilNextTry() const {
  const milliseconds look = std::min(options_.retry_period, milliseconds(1'000));
  const auto left = std::chrono::ceil<milliseconds>(runs_out_ - options_.now());
  return left > milliseconds(0) ? std::min(look, left) : look;
}

bool Leader::Acquire(std::stop_token stop) {
  Info("waiting for the leader election Lease",
       {{"lease", options_.ns + "/" + options_.name}, {"identity", options_.identity}});
  while (!stop.stop_requested()) {
    bool held = false;
    const auto thrown = Guarded([&] { held = Try(stop); });
    if (thrown) LogFailure("cannot take the leader election Lease", *thrown);
    if (held) {
      Info("became the leader", {{"identity", options_.identity}});
      return true;
    }
    options_.sleep(UntilNextTry(), stop);
  }
  return false;
}

bool Leader::Hold(std::stop_token stop) {
  // In a thread of its own: a renewal may hang for longer than the lease lasts.
  const std::jthread renewer([&](std::stop_token ended) {
    while (!ended.stop_requested()) {
      options_.sleep(options_.retry_period, ended);
      if (ended.stop_requested()) return;
      if (const auto thrown = Guarded([&] { (void)Try(ended); }))
        LogFailure("cannot renew the leader election Lease", *thrown);
    }
  });
  while (!stop.stop_requested()) {
    const auto left = std::chrono::ceil<milliseconds>(may_act_until() - options_.now());
    if (taken_ || left <= milliseconds(0)) {
      Fail("lost the leader election Lease", {{"identity", options_.identity}});
      return false;
    }
    options_.sleep(std::min(left, milliseconds(1'000)), stop);
  }
  return true;
}

void Leader::Release() {
  const std::stop_token none;
  auto known = Call(kube::GetRequest(kube::kLeases, options_.ns, options_.name), none);
  if (!known ||
      api::GetString(api::GetObject(*known, "spec"), "holderIdentity") != options_.identity)
    return;
  (*known)["spec"]["holderIdentity"] = "";
  (void)Call(kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, *known), none);
}

}  // namespace spillway::runtime
