// Object metadata, and the JSON helpers that every kind's decoder uses.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/result.h"
#include "operator/base/text.h"
#include "operator/base/time.h"

namespace spillway::api {

using Json = nlohmann::json;
using StringMap = std::map<std::string, std::string>;

inline constexpr char kGroup[] = "spillway.dev";
inline constexpr char kGroupVersion[] = "spillway.dev/v1alpha1";

// Labels and annotations that Spillway sets or reads.
inline constexpr char kRegisterLabel[] = "spillway.dev/register";
inline constexpr char kTaskLabel[] = "spillway.dev/task";
inline constexpr char kTaskNameLabel[] = "spillway.dev/task-name";
inline constexpr char kExclusiveLabel[] = "spillway.dev/exclusive";
inline constexpr char kAttemptLabel[] = "spillway.dev/attempt";
inline constexpr char kPoolLabel[] = "spillway.dev/pool";
inline constexpr char kRequestLabel[] = "spillway.dev/request";
// On a Namespace: its weight where namespaces share the servers, such as "2" or "500m".
inline constexpr char kFairShareLabel[] = "spillway.dev/fair-share-weight";
// On a pod that kube-scheduler binds: the node that Spillway has chosen for it.
inline constexpr char kNodeAnnotation[] = "spillway.dev/node-name";
// Set on every server that is bought, so that nothing but tasks lands there.
inline constexpr char kPoolTaint[] = "spillway.dev/pool";

struct OwnerReference {
  std::string kind, name, uid;
  bool controller = false;
  bool ours = false;  // of a kind of our API group
};

struct ObjectMeta {
  std::string ns, name, uid;
  int64_t resource_version = 0;  // comparable since Kubernetes 1.35
  int64_t generation = 0;
  StringMap labels;
  std::vector<OwnerReference> owners;
  Time created{};
  std::optional<Time> deleted;  // deletionTimestamp

  // "namespace/name", or the name of a cluster-scoped object.
  std::string key() const { return ns.empty() ? name : ns + "/" + name; }
};

// A condition as metav1.Condition.
struct Condition {
  Text type, status, reason, message;
  int64_t observed_generation = 0;
  Time last_transition{};
  bool operator==(const Condition&) const = default;
};

// Lookups that never throw: a missing member or one of another type gives the default. An int is a
// whole number of at most 2^53 in size; a number of seconds is brought to within a hundred years,
// so that it can be added to any time.
std::string GetString(const Json& object, const char* key);
int64_t GetInt(const Json& object, const char* key, int64_t otherwise = 0);
// Of what is never negative: within what the schema allows, which may have been relaxed.
int64_t GetCount(const Json& object, const char* key, int64_t most, int64_t otherwise = 0);
bool GetBool(const Json& object, const char* key, bool otherwise = false);
std::optional<int64_t> GetOptionalInt(const Json& object, const char* key);
std::optional<Duration> GetSeconds(const Json& object, const char* key);
std::optional<Time> GetTime(const Json& object, const char* key);
StringMap GetStringMap(const Json& object, const char* key);
std::vector<std::string> GetStrings(const Json& object, const char* key);
// The member, or an empty object or array to iterate over.
const Json& GetObject(const Json& object, const char* key);
const Json& GetArray(const Json& object, const char* key);

ObjectMeta DecodeMeta(const Json& object);
std::vector<Condition> DecodeConditions(const Json& status);
Json EncodeConditions(const std::vector<Condition>& conditions);
// Sets a condition; its transition time moves only when its status changes. Its reason is one line,
// and its message bounded (kMostReason, kMostConditionMessage).
void SetCondition(std::vector<Condition>& conditions, Condition condition, Time now);
const Condition* FindCondition(const std::vector<Condition>& conditions, std::string_view type);

// Ready, Reconciling and Stalled together, as kstatus reads them. Ready's message stands in a
// column, and is one line of at most kMostLine bytes; the whole message is that of Reconciling or
// Stalled, whichever is True.
enum class Progress { kReconciling, kReady, kStalled };
void SetProgress(std::vector<Condition>& conditions, Progress progress, const Text& reason,
                 const Text& message, int64_t generation, Time now);

// A status takes no more than this in JSON, whatever was said in its texts: they are cut until it
// does. etcd refuses objects of 1.5 MB, and a list of ten thousand must be had in time.
inline constexpr size_t kMostStatus = 64 * 1024;
Json BoundedStatus(Json status);

}  // namespace spillway::api
