// A model of the API server: objects with versions, the history that watches are served from, and
// the answers to the operator's writes as the real one gives them. Everything happens at once and
// in order; lateness and loss are added by whoever carries requests and events (replica.h).
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <variant>

#include "operator/core/events.h"
#include "tests/simulation/witness.h"

namespace spillway::simulation {

using core::Kind;
using core::Object;

// One entry of the history of a kind.
struct Change {
  int64_t version = 0;
  std::string key, uid;
  std::shared_ptr<const core::Object> object;     // null: deleted
  std::string engine = {};                        // of a server
  std::shared_ptr<const core::Object> last = {};  // as it was when it was deleted
};

// Which of the kinds an object of the type is.
template <typename T, size_t I = 0>
constexpr size_t IndexOf() {
  static_assert(I < std::variant_size_v<core::Object>);
  if constexpr (std::is_same_v<std::variant_alternative_t<I, core::Object>, T>)
    return I;
  else
    return IndexOf<T, I + 1>();
}

std::string KeyOf(const core::Object& object);
const std::string& UidOf(const core::Object& object);

// What is refused for a while, whoever asks: rights that are missing, a webhook that is down, a
// schema or an admission plugin that does not like it.
struct Rule {
  std::optional<core::Verb> verb;  // none: any
  std::optional<Kind> kind;
  std::string ns;  // empty: any
  Error answer;
  Time until{};

  bool Holds(const core::Write& write, Time now) const {
    return now < until && (!verb || *verb == write.verb) && (!kind || *kind == write.kind) &&
           (ns.empty() || ns == write.ns);
  }
};

// What admission plugins of a namespace make of every pod: labels are taken away, and its first
// container requests more.
struct Admission {
  bool strips_labels = false;
  int64_t more_cpu_milli = 0;
};

class ApiServer {
 public:
  using Objects = std::map<std::string, std::shared_ptr<const core::Object>>;

  Time now{};
  // Is told of every change. Must outlive this.
  Witness* witness = nullptr;
  std::vector<Rule> rules;
  std::map<std::string, Admission> admission;  // by namespace
  // What it was until that time: what was learned of it is remembered for a while.
  std::map<std::string, Admission> admission_before;
  Time admission_until{};
  void EndAdmission();
  // The kind that nobody may list or watch, such as for want of a right; and until when.
  std::optional<Kind> denied;
  Time denied_until{};
  bool Denies(Kind kind) const { return denied == kind && now < denied_until; }

  const Objects& All(Kind kind) const { return objects_[static_cast<size_t>(kind)]; }
  // Null if it is not there.
  template <typename T>
  const T* Get(const std::string& key) const {
    const Objects& all = objects_[IndexOf<T>()];
    const auto at = all.find(key);
    return at == all.end() ? nullptr : &std::get<T>(*at->second);
  }
  // Every object of the kind, by value: the map may change meanwhile.
  template <typename T>
  std::vector<T> List() const {
    std::vector<T> out;
    for (const auto& [key, object] : objects_[IndexOf<T>()]) out.push_back(std::get<T>(*object));
    return out;
  }
  template <typename T>
  size_t Count() const {
    return objects_[IndexOf<T>()].size();
  }

  // Creates the object (with a new uid) or replaces it; returns its new version.
  int64_t Put(core::Object object);
  // Deletes it at once; dependents are the garbage collector's business.
  void Remove(Kind kind, const std::string& key);
  // What has the uid; null if it is not there.
  const Object* Find(const std::string& uid) const {
    const auto at = by_uid_.find(uid);
    return at == by_uid_.end() ? nullptr : at->second.get();
  }
  // The same, if it is of that type.
  template <typename T>
  const T* Find(const std::string& uid) const {
    const Object* object = Find(uid);
    return object == nullptr ? nullptr : std::get_if<T>(object);
  }
  // Somebody's finalizer is put on the object: deleted, it stays until that is taken off.
  void Hold(const std::string& uid) { held_.insert(uid); }
  bool IsHeld(const std::string& uid) const { return held_.contains(uid); }
  // It was to be deleted, and stays for a finalizer.
  bool IsKept(const std::string& uid) const { return kept_.contains(uid); }
  void LetGo(const std::string& uid);
  void LetAllGo();
  // How often a finalizer has kept something.
  size_t times_kept() const { return times_kept_; }
  // Tasks that go only after their dependents, by uid.
  std::set<std::string> foreground;

  // What the operator has sent to create the pod, as it was admitted; null: others have made it.
  const api::Json* Manifest(const std::string& uid) const;
  // What admission adds to the CPU of each pod of the namespace.
  int64_t AddedCpu(const std::string& ns) const;
  // The most that the operator may reckon with, who may have learned it before that ended.
  int64_t ReckonedCpu(const std::string& ns) const;
  // What a rule says to the write, if one holds.
  const Rule* RuleFor(const core::Write& write) const;
  // Carries out a write of the operator; the object as it is afterwards (none of a deletion).
  Result<std::optional<core::Object>> Carry(const core::Write& write);

  int64_t version() const { return version_; }
  // Of the last change of an object of the kind.
  int64_t changed(Kind kind) const { return changed_[static_cast<size_t>(kind)]; }
  // The history of a kind: entries first() … end()-1.
  size_t first(Kind kind) const { return dropped_[static_cast<size_t>(kind)]; }
  size_t end(Kind kind) const { return first(kind) + history_[static_cast<size_t>(kind)].size(); }
  // The version of the last entry that was forgotten; 0 if none was.
  int64_t forgotten(Kind kind) const { return forgotten_[static_cast<size_t>(kind)]; }
  const Change& at(Kind kind, size_t index) const {
    return history_[static_cast<size_t>(kind)][index - first(kind)];
  }
  // Forgets all but the last entries of every history: watches that were further back must list.
  void Compact(size_t keep);

 private:
  Result<std::optional<core::Object>> Create(const core::Write& write);
  Result<std::optional<core::Object>> PatchStatus(const core::Write& write);
  Result<std::optional<core::Object>> Delete(const core::Write& write);

  void Keep(Object object);

  std::array<Objects, core::kKinds> objects_;
  std::unordered_map<std::string, std::shared_ptr<const Object>> by_uid_;
  std::set<std::string> held_, kept_;  // uids
  size_t times_kept_ = 0;
  std::map<std::string, api::Json> manifests_;  // by uid; of what is gone, watches may still tell
  std::array<std::deque<Change>, core::kKinds> history_;
  std::array<size_t, core::kKinds> dropped_{};
  std::array<int64_t, core::kKinds> changed_{}, forgotten_{};
  int64_t version_ = 0;
  bool ours_ = false;  // a write of the operator is carried out
};

}  // namespace spillway::simulation
