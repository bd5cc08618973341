// A small API server for tests of the core: applies its writes at once and gives them back as
// events.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/engines.h"
#include "operator/cloud/karpenter.h"
#include "operator/core/core.h"
#include "operator/core/tasks/pod_name.h"
#include "operator/core/world.h"

namespace spillway::core {

inline Time At(int64_t seconds) { return Time{} + std::chrono::seconds(1'800'000'000 + seconds); }

// For ApiModel::refuse: every write of this sort gets the error.
inline std::function<std::optional<Error>(const Write&)> Denies(Verb verb, Kind kind, Error error) {
  return [=](const Write& write) {
    return write.verb == verb && write.kind == kind ? std::optional(error) : std::nullopt;
  };
}

class ApiModel {
 public:
  ApiModel() { Restart(); }

  // A new process with the same API server: everything is listed again.
  // late: a Node that came after the Nodes were listed, and before the rest was.
  void Restart(const std::string& late = "");

  void AddNode(const std::string& name, const std::string& cpu, const std::string& memory = "64Gi");
  api::RegisteredServer& AddServer(const std::string& name, const std::string& cpu = "4");
  void AddPool(const std::string& name, const std::string& cpu = "8", int64_t priority = 0,
               const std::string& engine = cloud::kKarpenter);
  // spec: whatever differs from a task of one cpu.
  void AddTask(const std::string& name, api::Json spec = api::Json::object(),
               const std::string& cpu = "1", const std::string& ns = "ns");
  void AddPriorityClass(const std::string& name, int64_t value, bool global_default = false);
  void Weigh(const std::string& ns, int64_t weight_milli);
  // By the month.
  api::Budget& AddBudget(const std::string& name, const std::string& amount,
                         api::BudgetAction action = api::BudgetAction::kHold,
                         const std::string& ns = "ns");
  // A task, named other, runs on the only server.
  void Occupy(api::Json spec = api::Json::object());
  // The pod ns/t-1 of the task ns/t, as another leader makes it.
  api::Pod PodByAnother(const std::string& node) const;
  // The watch of pods begins to list anew: this one is delivered so far, and the other's creation
  // is answered. Neither was seen before.
  void ListOneOfTwo(const std::string& listed, const std::string& created);
  template <typename T>
  void Change(T& object) {
    object.meta.resource_version = ++version_;
    ++object.meta.generation;
    See(object);
  }
  // Of a claim.
  void Change(api::CloudServer& server) {
    server.resource_version = ++version_;
    See(server);
  }
  void SetPod(const std::string& name, api::PodPhase phase, int64_t exit_code = 0,
              const std::string& output = "");
  template <typename Map>
  void Remove(Map& map, std::string key) {
    using T = typename Map::mapped_type;
    const Object object = map.at(key);
    const std::string uid = [&] {
      if constexpr (std::is_same_v<T, api::CloudServer>)
        return map.at(key).uid;
      else
        return map.at(key).meta.uid;
    }();
    map.erase(key);
    pending_.push_back(Gone{KindOf(object), key, uid, ++version_, EngineOf(object)});
  }

  // As a user does it: it stays while it has a finalizer.
  void DeleteScale(const std::string& name);
  // Steps as the operator does: while something has happened, or the core wants to be called now.
  void Settle();
  // Lets time pass; the core is called whenever it wished to be.
  void Advance(std::chrono::milliseconds time);
  // ahead: the node's clock, of ours.
  void RenewLease(const std::string& node, Duration ahead = Duration{0});
  // As metrics.k8s.io would say now, over 15 seconds.
  void MeasureNode(const std::string& name, int64_t cpu_milli, int64_t memory = 0,
                   std::chrono::seconds age = std::chrono::seconds(0));
  // The watch of the kind breaks; or it goes on from where it was.
  void Break(Kind kind) { pending_.push_back(Behind{kind}); }
  void Resume(Kind kind) { pending_.push_back(Bookmark{kind, 0}); }
  size_t hanging() const { return hanging_.size(); }
  // Carries out what hung.
  void Unblock();
  // Carries out the first of it; the rest still hangs.
  void UnblockFirst();
  void Push(Event event) { pending_.push_back(std::move(event)); }
  // The claim of the only open request becomes a ready node with a server's room.
  void LaunchServer();  // of the first claim, without its node yet
  void ProvideServer(const std::string& node, const std::string& cpu = "8");

  const api::TaskStatus& Status(const std::string& name) const;
  std::string Phase(const std::string& name) const { return api::ToString(Status(name).phase); }
  std::string ServerOf(const std::string& name) const;
  // The message of the task's condition; empty if there is none.
  std::string Says(const std::string& name, const std::string& condition = "Ready") const;
  // Why the task waits, in one line; empty if its status does not say.
  std::string Summary(const std::string& name) const;
  const World& world() const { return core_->world(); }

  // Besides Karpenter, whose part the model plays itself: the next process has these as well. What
  // they have is told by Push.
  cloud::Engines engines;
  Time now = At(0);
  Time wake = kNever;
  std::map<std::string, api::TaskRequest> tasks;
  std::map<std::string, api::RegisteredServer> servers;
  std::map<std::string, api::ServerPool> pools;
  std::map<std::string, api::ScaleRequest> scales;
  std::map<std::string, api::Pod> pods;
  std::map<std::string, api::Node> nodes;
  std::map<std::string, api::CloudServer> claims;
  std::map<std::string, api::PriorityClass> classes;
  std::map<std::string, api::Budget> budgets;
  std::vector<Note> notes;
  std::vector<Milestone> milestones;
  int task_writes = 0, claims_made = 0, pods_made = 0;
  size_t most_tested = 0;  // servers, in one step, to explain
  // The next creation of a pod fails with this.
  std::optional<Error> pod_error;
  // What the Events of pods say, by the pods' names, and how often that was asked.
  std::map<std::string, std::pair<std::string, std::string>> warnings;
  int asked_why = 0;
  // The nodes that the creation of each pod left to kube-scheduler, the first first.
  std::map<std::string, std::vector<std::string>> candidates;
  // What Karpenter was asked for last.
  std::vector<api::Requirement> asked;
  // The engine refuses every purchase with this.
  std::optional<Error> ensure_error;
  int purchases_asked = 0;
  // The engine refuses every release with this; or takes its time with what it was asked to
  // release.
  std::optional<Error> release_error;
  bool purchases_hang = false;  // no engine answers
  bool diagnoses_hang = false;  // nor tells why a server is gone
  bool releases_hang = false;   // none is answered
  int releases_lost = 0;        // so many are answered, and nothing comes of them
  bool slow_release = false;
  int releases_asked = 0;
  // Pods that are deleted stay, and end in their own time.
  bool slow_deletion = false;
  // What is answered to a write instead of carrying it out, if anything; see Denies.
  std::function<std::optional<Error>(const Write&)> refuse;
  // What admission makes of a pod that is created: of what was sent, and of what is stored.
  std::function<void(api::Json&)> mutate;
  std::function<void(api::Pod&)> admit;
  // What a policy makes of a ScaleRequest as it is created.
  std::function<void(api::ScaleRequest&)> admit_scale;
  int scales_made = 0;
  // Writes that are neither carried out nor answered until Unblock.
  std::function<bool(const Write&)> hangs;
  std::map<std::pair<Verb, Kind>, int> tries;  // writes that were sent, of each sort
  // Nothing is heard of the API server, as in an outage.
  bool silent = false;
  // Pods are made, but neither answered nor seen.
  bool unheard = false;
  // Status patches are lost, as if the process ended before them.
  bool drop_statuses = false;
  // Those of tasks in this namespace get no answer; those of all tasks get this one.
  std::string statuses_hang_in;
  std::optional<Error> status_error;

 private:
  api::ObjectMeta Meta(const std::string& ns, const std::string& name);
  template <typename T>
  void See(const T& object) {
    pending_.push_back(Seen{object});
  }
  std::set<std::string> Keys(Kind kind) const;
  void Answer(const Write& write, std::optional<Error> error, std::optional<Object> object = {});
  void Carry(const Write& write);
  template <typename T>
  void Apply(const Write& write, std::map<std::string, T>& map, T (*decode)(const api::Json&)) {
    const auto at = map.find(write.key());
    if (at == map.end()) return Answer(write, Error{ErrorKind::kNotFound, "gone", {}});
    if (at->second.meta.resource_version != write.resource_version ||
        at->second.meta.uid != write.uid) {
      return Answer(write, Error{ErrorKind::kConflict, "changed", {}});
    }
    at->second.status =
        decode({{"metadata", {{"name", write.name}}},
                {"spec", {{"nodeName", "x"}, {"amount", "0"}, {"template", api::Json::object()}}},
                {"status", write.body}})
            .status;
    at->second.meta.resource_version = ++version_;
    See(at->second);
    Answer(write, std::nullopt, at->second);
  }
  void Patch(const Write& write);
  void EquipNode(const Write& write);
  void LetGo(const Write& write);
  void Delete(const Write& write);
  void Carry(const AskCloud& ask);
  void Carry(const Note& note) { notes.push_back(note); }
  void Carry(const AskWhy& ask);

  std::unique_ptr<Core> core_;
  std::vector<Event> pending_;
  std::vector<Write> hanging_;
  int64_t version_ = 0;
};

}  // namespace spillway::core
