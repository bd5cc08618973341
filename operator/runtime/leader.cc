#include "operator/runtime/leader.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "operator/api/meta.h"
#include "operator/runtime/guard.h"
#include "operator/runtime/log.h"

namespace spillway::runtime {
namespace {

using api::Json;

constexpr std::chrono::seconds kLeaseDuration{15}, kRenewDeadline{10}, kRetryPeriod{2},
    kWatchPeriod{1};

Time Now() { return std::chrono::floor<Duration>(std::chrono::system_clock::now()); }

bool Sleep(std::chrono::seconds time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

Json Spec(const std::string& holder, int64_t transitions, const std::string& acquired) {
  return {{"holderIdentity", holder},
          {"leaseDurationSeconds", kLeaseDuration.count()},
          {"acquireTime", acquired},
          {"renewTime", FormatMicroTime(Now())},
          {"leaseTransitions", transitions}};
}

}  // namespace

bool Leader::Try(std::stop_token stop) {
  const auto known =
      kube::Call(transport_, kube::GetRequest(kube::kLeases, options_.ns, options_.name), stop);
  if (!known && known.error().kind == ErrorKind::kNotFound) {
    const Json body{{"apiVersion", "coordination.k8s.io/v1"},
                    {"kind", "Lease"},
                    {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}},
                    {"spec", Spec(options_.identity, 0, FormatMicroTime(Now()))}};
    const auto made =
        kube::Call(transport_, kube::CreateRequest(kube::kLeases, options_.ns, body), stop);
    if (!made)
      Warn("cannot create the leader election Lease",
           {{"lease", options_.ns + "/" + options_.name}, {"error", made.error().message}});
    return made.ok();
  }
  if (!known) {
    Warn("cannot read the leader election Lease",
         {{"lease", options_.ns + "/" + options_.name}, {"error", known.error().message}});
    return false;
  }
  const Json& spec = api::GetObject(*known, "spec");
  const std::string holder = api::GetString(spec, "holderIdentity"),
                    renewed = api::GetString(spec, "renewTime");
  if (renewed != seen_renewal_) {
    seen_renewal_ = renewed;
    seen_at_ = Clock::now();
  }
  const bool ours = holder == options_.identity;
  if (!ours && !holder.empty() && Clock::now() - seen_at_ < kLeaseDuration) return false;
  Json body = *known;
  const int64_t transitions = api::GetInt(spec, "leaseTransitions") + (ours ? 0 : 1);
  body["spec"] = Spec(options_.identity, transitions,
                      ours ? api::GetString(spec, "acquireTime") : FormatMicroTime(Now()));
  // The resourceVersion in the body makes a change by another a conflict.
  return kube::Call(transport_,
                    kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, body), stop)
      .ok();
}

bool Leader::Acquire(std::stop_token stop) {
  Info("waiting for the leader election Lease",
       {{"lease", options_.ns + "/" + options_.name}, {"identity", options_.identity}});
  while (!stop.stop_requested()) {
    if (Try(stop)) {
      Info("became the leader", {{"identity", options_.identity}});
      return true;
    }
    Sleep(kRetryPeriod, stop);
  }
  return false;
}

bool Leader::Hold(std::stop_token stop) {
  std::atomic<Clock::time_point> renewed = Clock::now();
  // Beside the watch over it: an attempt may hang for longer than the lease lasts.
  std::jthread renewer([&](std::stop_token ended) {
    while (Sleep(kRetryPeriod, ended)) {
      const auto begin = Clock::now();
      bool held = false;
      if (const auto thrown = Guarded([&] { held = Try(ended); }))
        Warn("cannot renew the leader election Lease", {{"error", *thrown}});
      if (held) renewed = begin;
    }
  });
  while (Sleep(kWatchPeriod, stop)) {
    if (Clock::now() - renewed.load() <= kRenewDeadline) continue;
    Fail("lost the leader election Lease", {{"identity", options_.identity}});
    return false;
  }
  renewer.request_stop();
  renewer.join();
  Release();
  return true;
}

void Leader::Release() {
  const std::stop_token none;
  auto known =
      kube::Call(transport_, kube::GetRequest(kube::kLeases, options_.ns, options_.name), none);
  if (!known ||
      api::GetString(api::GetObject(*known, "spec"), "holderIdentity") != options_.identity)
    return;
  (*known)["spec"]["holderIdentity"] = "";
  (void)kube::Call(transport_,
                   kube::ReplaceRequest(kube::kLeases, options_.ns, options_.name, *known), none);
}

}  // namespace spillway::runtime
