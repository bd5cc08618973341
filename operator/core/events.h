// What the core is told, and what it wants done. Values only: the shell decodes the one and carries
// out the other.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/budget.h"
#include "operator/api/core_v1.h"
#include "operator/api/engine.h"
#include "operator/api/registered_server.h"
#include "operator/api/scale_request.h"
#include "operator/api/server_pool.h"
#include "operator/api/task_request.h"

namespace spillway::core {

enum class Kind {
  kTask,
  kServer,
  kPool,
  kScale,
  kPod,
  kNode,
  kCloudServer,
  kLease,
  kPriorityClass,
  kNamespace,
  kBudget,
};
inline constexpr size_t kKinds = 11;
const char* ToString(Kind kind);

using Object = std::variant<api::TaskRequest, api::RegisteredServer, api::ServerPool,
                            api::ScaleRequest, api::Pod, api::Node, api::CloudServer,
                            api::NodeLease, api::PriorityClass, api::Namespace, api::Budget>;
inline Kind KindOf(const Object& object) { return static_cast<Kind>(object.index()); }

// Of the API server's object.
int64_t VersionOf(const Object& object);
// Of a kCloudServer: the engine that has it; empty for every other kind.
const std::string& EngineOf(const Object& object);

// ---- Events ----

// Of what engines have, each engine is listed and followed for itself: its name stands in `engine`,
// which is empty for every other kind.

// The object was seen in this state. Older states than one already seen are ignored.
struct Seen {
  Object object;
  // Part of a list, which is in no order of versions: what is older may be still to come.
  bool in_list = false;
};
// The object is gone. resource_version: of the deletion.
struct Gone {
  Kind kind;
  std::string key, uid;
  int64_t resource_version = 0;
  std::string engine = {};
};
// A complete list at this version was delivered by the Seen before; everything else is gone.
struct Listed {
  Kind kind;
  int64_t resource_version = 0;
  std::set<std::string> keys;
  std::string engine = {};
};
// Everything up to this version was delivered.
struct Bookmark {
  Kind kind;
  int64_t resource_version = 0;
  std::string engine = {};
};
// The watch broke or its history is gone: what is known of the kind may be old until the next event
// of the watch, or the next complete list.
struct Behind {
  Kind kind;
  std::string engine = {};
};
// Why a server that was asked for vanished.
struct CloudDiagnosis {
  std::string request_uid;
  api::CloudError error = api::CloudError::kNone;
  std::string message;
};

// What nodes use, as far as it was measured. Empty where nothing could be learned.
struct Measured {
  std::vector<api::NodeMetrics> nodes;
};

// The latest Warning among a pod's Events; see AskWhy. Empty where there is none.
struct PodWarned {
  std::string task_uid, pod_uid;
  std::string reason, message;
};

// kPatch: of the object itself, by a JSON patch.
enum class Verb { kCreate, kPatchStatus, kDelete, kPatch };

// What the body of a pod is made of; see runtime/pod_body.h.
struct PodOrder {
  std::shared_ptr<const std::string> pod_template;    // JSON
  std::string task;                                   // its name
  std::shared_ptr<const api::Assignment> assignment;  // never null
  bool exclusive = false;
  std::string priority_class = {};  // of the pod, if its template names none
  // kube-scheduler chooses, among the assignment's node and these others.
  bool via_scheduler = false;
  std::vector<std::string> other_nodes = {};
  api::StringMap annotations = {};  // besides those of the template
};

// One API write.
struct Write {
  Verb verb = Verb::kCreate;
  Kind kind = Kind::kTask;
  std::string ns, name;
  // Preconditions: of a status patch the version, of a patch both (the version only if it is not
  // 0), of a deletion the uid. Of a pod's creation: its task's uid, which comes back as the
  // outcome's request_uid.
  std::string uid;
  int64_t resource_version = 0;
  api::Json body;                    // the object, the status, or a JSON patch
  std::optional<int64_t> grace;      // seconds, of a deletion
  std::optional<PodOrder> pod = {};  // of a pod's creation, instead of a body
  // Of a pod's deletion, for the log: whose it is.
  std::string task = {}, task_uid = {};
  int64_t attempt = 0;

  std::string key() const { return ns.empty() ? name : ns + "/" + name; }
};

// How a write or a request to a cloud engine ended, after the shell's own retries.
struct Outcome {
  Verb verb = Verb::kCreate;
  Kind kind = Kind::kTask;
  std::string key;
  // Of a cloud server: the ScaleRequest; of a pod's creation: the task; of a status patch or a
  // deletion: the object, since there may be another of that name by now.
  std::string request_uid;
  std::optional<Error> error;
  // The object as the API server answered it; with kAlreadyExists, the one that was there already.
  std::optional<Object> object;
  // Of a request to an engine: which, and what its refusal means, if it said so.
  std::string engine = {};
  api::CloudError error_class = api::CloudError::kNone;
};

using Event = std::variant<Seen, Gone, Listed, Bookmark, Behind, CloudDiagnosis, Measured,
                           PodWarned, Outcome>;

// ---- Effects ----

// Asks the engine of a pool. Idempotent: the same request asked twice is one server.
struct AskCloud {
  enum class Op { kEnsure, kRelease, kDiagnose };
  Op op = Op::kEnsure;
  std::string request_name, request_uid;
  api::ServerPool pool = {};     // kEnsure
  api::CloudServer server = {};  // kRelease, kDiagnose: the engine's object

  const std::string& engine() const { return op == Op::kEnsure ? pool.spec.engine : server.engine; }
};

// A Kubernetes Event.
struct Note {
  Kind kind = Kind::kTask;
  std::string ns, name, uid;
  bool warning = false;
  std::string reason, message;
  int64_t attempt = 0;  // of a task: the latest; 0 before the first
};

// Asks what the Events of a pod say that does not start. Answered by PodWarned, or not at all.
struct AskWhy {
  std::string ns, pod, pod_uid;
  std::string task_uid;
};

using Effect = std::variant<Write, AskCloud, Note, AskWhy>;

// ---- What has happened, for logs and metrics; nothing follows from it ----

struct TaskMilestone {
  enum class Step {
    kBound,         // its pod was created
    kRunning,       // a container runs
    kAttemptEnded,  // reason, message, and how long it ran
    kEnded,         // the task, for good: phase, reason, message, and both times
  };
  Step step = Step::kBound;
  std::string ns, name, uid;
  int64_t attempt = 0;  // the latest; 0: it never had one
  std::string server, pool;
  bool cloud = false;
  std::string reason = {}, message = {};
  api::TaskPhase phase = api::TaskPhase::kNone;
  // kBound: since it could have been. kEnded: from its creation until it first ran; nothing if it
  // never did.
  std::optional<Duration> waited = {};
  std::optional<Duration> ran = {};
  int64_t cost_micros = 0;  // kAttemptEnded
};

// A ScaleRequest has come to another phase.
struct ScaleMilestone {
  std::string name, uid, pool;
  api::ScalePhase before = api::ScalePhase::kNone, phase = api::ScalePhase::kNone;
  bool was_ready = false;  // is, or was once
  api::CloudError error = api::CloudError::kNone;
  std::string message;
  Duration since_request{0};
};

using Milestone = std::variant<TaskMilestone, ScaleMilestone>;

struct StepResult {
  std::vector<Effect> effects;
  std::vector<Milestone> milestones;
  // Step must be called again by then, without events if there are none.
  Time wake = kNever;
};

}  // namespace spillway::core
