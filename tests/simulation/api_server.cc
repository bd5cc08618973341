#include "tests/simulation/api_server.h"

#include <algorithm>
#include <utility>

#include "operator/base/quantity.h"
#include "operator/core/scheduling/admission.h"
#include "operator/runtime/pod_body.h"

namespace spillway::simulation {
namespace {

using core::Object;
using core::Write;
using Answer = Result<std::optional<Object>>;

Error Refuse(ErrorKind kind, const std::string& what) { return {kind, what, std::nullopt}; }

// What the server fills in, whatever the kind calls it.
struct Stamp {
  int64_t version;
  std::string uid;  // of a new object
  Time now;

  void operator()(api::CloudServer& object) const {
    object.resource_version = version;
    if (!uid.empty()) object.uid = uid;
  }
  template <typename T>
  void operator()(T& object) const {
    object.meta.resource_version = version;
    if (uid.empty()) return;
    object.meta.uid = uid;
    object.meta.created = std::chrono::floor<std::chrono::seconds>(now);
    object.meta.deleted.reset();
    object.meta.generation = 1;
  }
};

// Of a pod: what has come in bytes, or what would have.
api::Json ManifestOf(const Write& write) {
  return write.body.is_null() ? runtime::Body(write) : write.body;
}

void Admit(const Admission& plugin, api::Json& pod) {
  if (plugin.strips_labels) pod["metadata"].erase("labels");
  if (plugin.more_cpu_milli == 0) return;
  api::Json& cpu = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
  const auto asked = ParseQuantity(cpu.get<std::string>(), Scale::kMilli);
  cpu = FormatMilli(*asked + plugin.more_cpu_milli);
}

Result<Object> Decode(const Write& write, const api::Json& manifest) {
  const auto wrap = [](auto decoded) -> Result<Object> {
    if (!decoded) return decoded.error();
    return Object(std::move(*decoded));
  };
  if (write.kind == Kind::kPod) return wrap(api::DecodePod(manifest));
  if (write.kind == Kind::kServer) return wrap(api::DecodeRegisteredServer(manifest));
  if (write.kind == Kind::kScale) return wrap(api::DecodeScaleRequest(manifest));
  return Invalid("the operator does not create this kind");
}

// The object with the status that the write carries, read back as a client would read it.
Result<Object> WithStatus(const Object& object, const Write& write) {
  const api::Json json{
      {"metadata", {{"name", "x"}}},
      {"spec", {{"nodeName", "x"}, {"amount", "0"}, {"template", api::Json::object()}}},
      {"status", write.body}};
  Object out = object;
  const auto take = [&](auto& target, auto decoded) -> Result<Object> {
    if (!decoded) return decoded.error();
    target.status = std::move(decoded->status);
    return out;
  };
  if (auto* task = std::get_if<api::TaskRequest>(&out))
    return take(*task, api::DecodeTaskRequest(json));
  if (auto* server = std::get_if<api::RegisteredServer>(&out))
    return take(*server, api::DecodeRegisteredServer(json));
  if (auto* pool = std::get_if<api::ServerPool>(&out))
    return take(*pool, api::DecodeServerPool(json));
  if (auto* scale = std::get_if<api::ScaleRequest>(&out))
    return take(*scale, api::DecodeScaleRequest(json));
  if (auto* budget = std::get_if<api::Budget>(&out)) return take(*budget, api::DecodeBudget(json));
  return Invalid("no status");
}

}  // namespace

std::string KeyOf(const Object& object) {
  if (const auto* claim = std::get_if<api::CloudServer>(&object)) return claim->name;
  return std::visit(
      [](const auto& value) -> std::string {
        if constexpr (requires { value.meta; }) return value.meta.key();
        return "";
      },
      object);
}

const std::string& UidOf(const Object& object) {
  return std::visit(
      [](const auto& value) -> const std::string& {
        if constexpr (requires { value.meta; })
          return value.meta.uid;
        else
          return value.uid;
      },
      object);
}

int64_t ApiServer::Put(Object object) {
  const size_t kind = object.index();
  const std::string key = KeyOf(object);
  const bool fresh = !objects_[kind].contains(key);
  ++version_;
  std::visit(Stamp{version_, fresh ? "uid-" + std::to_string(version_) : "", now}, object);
  auto stored = std::make_shared<const Object>(std::move(object));
  auto& slot = objects_[kind][key];
  if (witness != nullptr) witness->Changed(slot.get(), stored.get(), ours_);
  slot = stored;
  by_uid_[UidOf(*stored)] = stored;
  history_[kind].push_back({version_, key, UidOf(*stored), stored, core::EngineOf(*stored)});
  changed_[kind] = version_;
  return version_;
}

void ApiServer::Remove(Kind kind, const std::string& key) {
  auto& all = objects_[static_cast<size_t>(kind)];
  const auto at = all.find(key);
  if (at == all.end()) return;
  if (IsHeld(UidOf(*at->second))) return Keep(*at->second);
  ++version_;
  if (witness != nullptr) witness->Changed(at->second.get(), nullptr, ours_);
  history_[static_cast<size_t>(kind)].push_back(
      {version_, key, UidOf(*at->second), nullptr, core::EngineOf(*at->second), at->second});
  changed_[static_cast<size_t>(kind)] = version_;
  by_uid_.erase(UidOf(*at->second));
  all.erase(at);
}

void ApiServer::Keep(Object object) {
  const std::string uid = UidOf(object);
  if (!kept_.insert(uid).second) return;
  ++times_kept_;
  const bool marked = std::visit(
      [&](auto& value) {
        if constexpr (requires { value.meta; })
          return std::exchange(value.meta.deleted, value.meta.deleted.value_or(now)).has_value();
        return true;
      },
      object);
  if (!marked) Put(std::move(object));
}

void ApiServer::LetGo(const std::string& uid) {
  held_.erase(uid);
  foreground.erase(uid);
  if (kept_.erase(uid) == 0) return;
  if (const Object* object = Find(uid)) Remove(static_cast<Kind>(object->index()), KeyOf(*object));
}

void ApiServer::LetAllGo() {
  for (const std::string& uid : std::set(held_)) {
    if (!foreground.contains(uid)) LetGo(uid);
  }
}

const api::Json* ApiServer::Manifest(const std::string& uid) const {
  const auto at = manifests_.find(uid);
  return at == manifests_.end() ? nullptr : &at->second;
}

int64_t ApiServer::AddedCpu(const std::string& ns) const {
  const auto at = admission.find(ns);
  return at == admission.end() ? 0 : at->second.more_cpu_milli;
}

void ApiServer::EndAdmission() {
  admission_before = std::exchange(admission, {});
  admission_until = now;
}

int64_t ApiServer::ReckonedCpu(const std::string& ns) const {
  // kLearnedFor by a clock that is slow, after one more creation that teaches nothing.
  constexpr Duration kRemembered = core::kLearnedFor * 10 / 9 + std::chrono::seconds(23);
  const auto at = admission_before.find(ns);
  const bool may = at != admission_before.end() && now < admission_until + kRemembered;
  return std::max(AddedCpu(ns), may ? at->second.more_cpu_milli : 0);
}

const Rule* ApiServer::RuleFor(const Write& write) const {
  const auto at = std::find_if(rules.begin(), rules.end(),
                               [&](const Rule& rule) { return rule.Holds(write, now); });
  return at == rules.end() ? nullptr : &*at;
}

Answer ApiServer::Carry(const Write& write) {
  if (const Rule* rule = RuleFor(write)) {
    if (witness != nullptr && write.kind == Kind::kPod) witness->Refused(write.uid, write.ns);
    return rule->answer;
  }
  ours_ = true;
  Answer answer = write.verb == core::Verb::kCreate        ? Create(write)
                  : write.verb == core::Verb::kPatchStatus ? PatchStatus(write)
                                                           : Delete(write);
  ours_ = false;
  return answer;
}

Answer ApiServer::Create(const Write& write) {
  auto& all = objects_[static_cast<size_t>(write.kind)];
  if (all.contains(write.key()))
    return Refuse(ErrorKind::kAlreadyExists, write.key() + " already exists");
  api::Json manifest = ManifestOf(write);
  const bool pod = write.kind == Kind::kPod;
  if (const auto at = admission.find(write.ns); pod && at != admission.end())
    Admit(at->second, manifest);
  auto object = Decode(write, manifest);
  if (!object) return object.error();
  Put(std::move(*object));
  const Object& created = *all.at(write.key());
  if (pod) manifests_.emplace(UidOf(created), std::move(manifest));
  if (witness != nullptr && pod) witness->Created(write, created);
  return std::optional(created);
}

Answer ApiServer::PatchStatus(const Write& write) {
  auto& all = objects_[static_cast<size_t>(write.kind)];
  const auto at = all.find(write.key());
  if (at == all.end()) return Refuse(ErrorKind::kNotFound, write.key() + " not found");
  // The API server leaves aside another uid in a status; no two objects have the same version.
  if (core::VersionOf(*at->second) != write.resource_version)
    return Refuse(ErrorKind::kConflict, "the object has been modified");
  auto object = WithStatus(*at->second, write);
  if (!object) return object.error();
  Put(std::move(*object));
  return std::optional(*all.at(write.key()));
}

Answer ApiServer::Delete(const Write& write) {
  auto& all = objects_[static_cast<size_t>(write.kind)];
  const auto at = all.find(write.key());
  if (at == all.end()) return Refuse(ErrorKind::kNotFound, write.key() + " not found");
  if (UidOf(*at->second) != write.uid)
    return Refuse(ErrorKind::kConflict, "the uid in the precondition does not match");
  const auto* pod = std::get_if<api::Pod>(at->second.get());
  // A pod that has a node is removed by its kubelet, once its containers have ended.
  const bool at_once = pod == nullptr || pod->intended || write.grace == 0;
  if (pod != nullptr && !pod->meta.deleted) {
    api::Pod marked = *pod;
    marked.meta.deleted = now;
    Put(marked);
  }
  std::optional<Object> last;  // of a pod the answer tells how it was
  if (pod != nullptr) last = *all.at(write.key());
  if (at_once) Remove(write.kind, write.key());
  return last;
}

void ApiServer::Compact(size_t keep) {
  for (size_t kind = 0; kind < core::kKinds; ++kind) {
    while (history_[kind].size() > keep) {
      forgotten_[kind] = history_[kind].front().version;
      history_[kind].pop_front();
      ++dropped_[kind];
    }
  }
}

}  // namespace spillway::simulation
