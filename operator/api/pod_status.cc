#include "operator/api/pod_status.h"

#include <algorithm>

#include "operator/base/foreign_text.h"

namespace spillway::api {
namespace {

// Words of a kubelet, a controller or a container.
std::string ReasonOf(const Json& object) {
  return OneLine(GetString(object, "reason"), kMostReason);
}
std::string MessageOf(const Json& object) {
  return Bounded(GetString(object, "message"), kMostOutput);
}

enum class Role { kInit, kSidecar, kMain };

// One container: what it is, and how it fares.
struct Container {
  Role role = Role::kMain;
  std::string name;
  size_t place = 0;  // in the spec's list
  const Json* status = nullptr;

  const Json& state(const char* which) const {
    return GetObject(GetObject(*status, "state"), which);
  }
  const Json& end() const { return state("terminated"); }
  bool ended() const { return !end().empty(); }
  bool failed() const { return ended() && GetInt(end(), "exitCode") != 0; }
};

// No kubelet says so of a container that ran: a runtime that could not start one reports 1970.
constexpr Time kFirstTime = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};

// The node does not know how it ended: it was rebooted, or lost the container.
bool Lost(const Container& container) {
  const std::string reason = GetString(container.end(), "reason");
  return (reason == "Unknown" && GetInt(container.end(), "exitCode") == 255) ||
         reason == "ContainerStatusUnknown";
}

std::optional<Time> Plausible(const Json& state, const char* key) {
  const auto time = GetTime(state, key);
  return time && *time >= kFirstTime ? time : std::nullopt;
}

// When it started; nothing if it never ran, as far as is known.
std::optional<Time> StartOf(const Container& container) {
  if (GetString(container.end(), "reason") == "StartError") return std::nullopt;
  std::optional<Time> first;
  for (const Json* state : {&container.state("running"), &container.end(),
                            &GetObject(GetObject(*container.status, "lastState"), "terminated")}) {
    const auto at = Plausible(*state, "startedAt");
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

void AddContainers(const Json& object, const char* list, const char* statuses, Role role,
                   std::vector<Container>& out) {
  const Json& specs = GetArray(GetObject(object, "spec"), list);
  const size_t first = out.size();
  for (const Json& status : GetArray(GetObject(object, "status"), statuses)) {
    Container container{role, GetString(status, "name"), 0, &status};
    const auto spec = std::find_if(specs.begin(), specs.end(), [&](const Json& each) {
      return GetString(each, "name") == container.name;
    });
    container.place = static_cast<size_t>(spec - specs.begin());
    if (role == Role::kInit && spec != specs.end() && GetString(*spec, "restartPolicy") == "Always")
      container.role = Role::kSidecar;
    out.push_back(std::move(container));
  }
  std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
                   [](const auto& a, const auto& b) { return a.place < b.place; });
}

// The one whose end is the pod's; null if there is none yet. A main container that failed by
// itself, else an init container that kept those from running, else one that the node lost, else
// the first. A sidecar is stopped at the end, with whatever exit code; it counts where there is
// nothing else.
const Container* Decisive(const std::vector<Container>& all, bool terminal) {
  const auto first = [&](auto wanted) -> const Container* {
    const auto at = std::find_if(all.begin(), all.end(), wanted);
    return at == all.end() ? nullptr : &*at;
  };
  const auto is = [](Role role) {
    return [=](const Container& each) { return each.role == role; };
  };
  const auto fails = [](Role role) {
    return [=](const Container& each) { return each.role == role && each.failed() && !Lost(each); };
  };
  const bool under_way = !terminal && first([](const Container& each) {
    return each.role == Role::kMain && !each.ended();
  });
  if (const auto* main = first(fails(Role::kMain)); main != nullptr && !under_way) return main;
  const bool ran = first([](const Container& each) {
    return each.role == Role::kMain &&
           (!each.state("running").empty() || (each.ended() && !Lost(each)));
  });
  if (const auto* init = first(fails(Role::kInit)); init != nullptr && !ran) return init;
  if (under_way) return nullptr;
  const auto* lost =
      first([](const auto& each) { return each.role != Role::kSidecar && Lost(each); });
  if (lost != nullptr) return lost;
  if (first(is(Role::kMain)) == nullptr) return first(fails(Role::kSidecar));
  return first([](const Container& each) { return each.role == Role::kMain && each.ended(); });
}

std::string Title(const Container& container) {
  const char* what = container.role == Role::kInit      ? "init container "
                     : container.role == Role::kSidecar ? "sidecar "
                                                        : "container ";
  return what + OneLine(container.name, kMostReason);
}

// The pod's times span all that ran in it but the sidecars, which live for the others.
void SetTermination(const std::vector<Container>& all, bool several, Pod& pod) {
  const Container* decisive = Decisive(all, pod.terminal());
  if (decisive == nullptr) return;
  const Json& state = decisive->end();
  Termination end{GetInt(state, "exitCode"), ReasonOf(state), MessageOf(state), {}, {}};
  if (several) end.container = Title(*decisive);
  end.lost = Lost(*decisive);
  for (const Container& each : all) {
    if (each.role == Role::kSidecar && decisive->role != Role::kSidecar) continue;
    const auto from = StartOf(each), to = Plausible(each.end(), "finishedAt");
    if (from && (!end.started || *from < *end.started)) end.started = from;
    if (to && (!end.finished || *to > *end.finished)) end.finished = to;
  }
  pod.termination = std::move(end);
}

// A reason that tells more than that the container is on its way.
bool Telling(const std::string& reason) {
  return !reason.empty() && reason != "ContainerCreating" && reason != "PodInitializing";
}

void SetWaiting(const std::vector<Container>& all, bool several, Pod& pod) {
  for (const Container& container : all) {
    const Json& waiting = container.state("waiting");
    const std::string reason = ReasonOf(waiting);
    if (reason.empty() ||
        (!pod.waiting_reason.empty() && (Telling(pod.waiting_reason) || !Telling(reason))))
      continue;
    pod.waiting_reason = reason;
    pod.waiting_message = MessageOf(waiting);
    if (!several || !Telling(reason)) continue;
    const std::string title = Title(container);
    pod.waiting_message = pod.waiting_message.empty() ? title : title + ": " + pod.waiting_message;
  }
}

// By its own restartPolicy or its rules; a pod has none for all.
void SetRestarts(const std::vector<Container>& all, Pod& pod) {
  for (const Container& container : all) {
    const int64_t count = GetInt(*container.status, "restartCount");
    if (container.role == Role::kInit || count <= (pod.restarts ? pod.restarts->count : 0))
      continue;
    const Json& last = container.ended()
                           ? container.end()
                           : GetObject(GetObject(*container.status, "lastState"), "terminated");
    pod.restarts.emplace();
    *pod.restarts = {Title(container), count, GetInt(last, "exitCode"), ReasonOf(last),
                     ReasonOf(container.state("waiting")) == "CrashLoopBackOff"};
  }
}

void SetStarted(const std::vector<Container>& all, Pod& pod) {
  for (const Container& container : all) {
    const Json& last = GetObject(GetObject(*container.status, "lastState"), "terminated");
    pod.started_any = pod.started_any || !container.state("running").empty() || container.ended() ||
                      !last.empty();
    if (container.role == Role::kSidecar) continue;
    const auto at = StartOf(container);
    auto& first = container.role == Role::kInit ? pod.init_started : pod.started;
    if (at && (!first || *at < *first)) first = at;
  }
}

PodPhase DecodePhase(const std::string& phase) {
  if (phase == "Running") return PodPhase::kRunning;
  if (phase == "Succeeded") return PodPhase::kSucceeded;
  if (phase == "Failed") return PodPhase::kFailed;
  if (phase == "Unknown") return PodPhase::kUnknown;
  return PodPhase::kPending;
}

// The condition if it has that status; null if there is none.
const Json* FindCondition(const Json& object, std::string_view type, std::string_view value) {
  for (const Json& condition : GetArray(GetObject(object, "status"), "conditions")) {
    if (GetString(condition, "type") == type && GetString(condition, "status") == value)
      return &condition;
  }
  return nullptr;
}

// When it was asked to end: the earlier of its deletion and its disruption.
void SetAskedToEnd(const Json& object, Pod& pod) {
  const auto ask = [&](Time at) {
    if (!pod.asked_to_end || at < *pod.asked_to_end) pod.asked_to_end = at;
  };
  const Json& metadata = GetObject(object, "metadata");
  if (pod.meta.deleted) {
    // The timestamp is when it is to be gone.
    const Duration grace = GetSeconds(metadata, "deletionGracePeriodSeconds").value_or(Duration{0});
    ask(*pod.meta.deleted - std::max(grace, Duration{0}));
  }
  const Json* disruption = FindCondition(object, "DisruptionTarget", "True");
  if (disruption == nullptr) return;
  pod.disrupted = true;
  ask(GetTime(*disruption, "lastTransitionTime").value_or(Time{}));
  if (pod.reason.empty()) pod.reason = ReasonOf(*disruption);
  if (pod.message.empty()) pod.message = MessageOf(*disruption);
}

}  // namespace

void DecodePodStatus(const Json& object, Pod& pod) {
  const Json& status = GetObject(object, "status");
  pod.phase = DecodePhase(GetString(status, "phase"));
  pod.reason = ReasonOf(status);
  pod.message = MessageOf(status);
  std::vector<Container> all;
  AddContainers(object, "initContainers", "initContainerStatuses", Role::kInit, all);
  AddContainers(object, "containers", "containerStatuses", Role::kMain, all);
  const Json& spec = GetObject(object, "spec");
  const bool several =
      GetArray(spec, "containers").size() + GetArray(spec, "initContainers").size() > 1;
  SetStarted(all, pod);
  SetTermination(all, several, pod);
  SetWaiting(all, several, pod);
  SetRestarts(all, pod);
  SetAskedToEnd(object, pod);
  if (const Json* scheduled = FindCondition(object, "PodScheduled", "False")) {
    pod.unscheduled = true;
    pod.waiting_reason = ReasonOf(*scheduled);
    pod.waiting_message = MessageOf(*scheduled);
  }
}

}  // namespace spillway::api
