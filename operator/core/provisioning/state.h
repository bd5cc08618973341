// What the provisioning room owns: the pools that servers are bought from, the purchases, and what
// the engines say of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/core/backoff.h"
#include "operator/core/context.h"
#include "operator/core/deletion.h"
#include "operator/core/mean.h"
#include "operator/core/provisioning/cloud_servers.h"
#include "operator/core/status_writer.h"

namespace spillway::core {

struct TaskState;

struct PoolState {
  api::ServerPool object;
  StatusWriter writer;
  std::optional<api::ServerPoolStatus> settled;  // the status that was written last
  Time hold_until{};                             // no purchase before
  api::CloudError error = api::CloudError::kNone;
  std::string error_message;
  Backoff creation;     // of its ScaleRequests: why the API server has refused the last one
  int failures = 0;     // in a row
  Time failed_at{};     // the last of them
  Mean boot;            // from a purchase until its server was ready
  int64_t orphans = 0;  // claims of the engine whose ScaleRequest is not known
  Time spent_at{};      // when what it has cost was calculated last
  // What the last server of the pool really offered to tasks.
  std::optional<api::Resources> observed;
};

// What keeps a server on its way; see delays.h. Texts begin with what separates them from the one
// before.
struct Delay {
  std::string why;   // empty: nothing is known to
  Time due{};        // when that is worth telling
  std::string told;  // to those who wait for it; empty: nothing
  Time told_at{};
};

// Another process, or the engine as it was asked, has told of a server that is not seen: what the
// engine said it has before that does not show whether it is there.
struct Hearsay {
  int64_t version = 0;  // of the object that told of it
  uint64_t lists = 0;   // of the engine until then
  Time at{};            // when
};

struct ScaleState {
  api::ScaleRequest object;  // status: as it should be written
  StatusWriter writer;
  std::optional<api::ScaleStatus> settled;  // the status that was written last
  std::optional<api::ScaleRequest> asked;   // as its creation was asked for, until the answer
  bool created = false;                     // it exists in the API server
  bool creating = false;
  Time costed_at{};         // when what it has cost was calculated last
  bool counted = false;     // in its pool's spending: it has ended
  bool seen_ended = false;  // when it was first seen
  bool ensured = false;     // its engine was asked
  bool asking = false;      // and has not answered yet
  Time sent_at{};           // its creation, or the request to its engine
  Delay delay;
  std::optional<Hearsay> hearsay;
  // A leader before may have asked: what it has sent can arrive until then.
  Time asked_before_until{};
  std::string released;    // the uid of the engine's object whose release was asked for
  Time released_at{};      // and when, or when that was answered
  bool releasing = false;  // it was asked for, and not answered yet
  bool diagnose_sent = false;
  bool server_sent = false;
  Backoff registration;  // of its server
  std::string registration_error;
  Backoff release_backoff;
  bool joined = false;  // its server was able to take a task that it was bought for, at least once
  bool hosted = false;  // and has taken one, since this process knows it
  std::string lacks;    // what keeps it from joining, once its engine calls it ready
  Deletion deletion;
  bool given_back = false;   // its engine was asked to, and has not refused
  Deletion letting_go;       // of its finalizer
  int64_t equipped_at = 0;   // the version of its Node that was asked to get what it lacks
  Backoff equipping;         // of that
  Deletion node_deletion;    // of the Node that its server has left behind
  std::string node_deleted;  // the uid of that Node
  Backoff asking_again;      // of the engine, which did not answer
  Time idle_since = kNever;
  Time unusable_since = kNever;  // ready by its engine's word, and not joined; by Context::news
  int64_t nominated = 0;         // tasks that wait for it
  bool promised_whole = false;   // to an exclusive task
  api::Resources room;           // left for more of them
  std::optional<api::Resources> room_seen;  // what its pool was told that one like it offers
  // Of those tasks, the ones that are told so once it exists, by their keys; and what the choice
  // was made by.
  std::map<std::string, std::string> untold;
};

// A purchase that the API server has refused.
struct NotCreated {
  std::string why;
  bool news = false;  // its pool's one before was not refused for that
};

// What is to be told to a task that waits, or has waited, for a server on its way.
struct NominationChange {
  TaskState* task = nullptr;
  bool lost = false;    // that server will not come
  std::string message;  // what it waits for now
};

// Of a claim whose ScaleRequest is not known: whether that is gone, or may only be still to come,
// made by a leader before.
struct UnknownRequest {
  bool gone = false;  // it was known, and is so no more
  Time since{};       // when the claim was seen
};

struct Provisioning {
  std::map<std::string, PoolState> pools;
  std::map<std::string, ScaleState> scales;
  CloudServers cloud_servers;
  Time orphans_at{};  // no claim whose request is gone is given back before: one was refused
  std::map<std::string, UnknownRequest> unknown;  // by uid, those of claims
  // When the release of such claims was asked for, by engine and key, if it was not refused.
  std::map<std::pair<std::string, std::string>, Time> orphans_asked;
  std::set<std::string> nominated;  // tasks that wait for a server on its way
  uint64_t plan = 0;                // counts the plans of purchases
  // By name, until those are told who waited for them.
  std::map<std::string, NotCreated> not_created;
  std::vector<NominationChange> changes;  // not carried out yet; empty between steps
};

// Null if there is none of the name any more.
const PoolState* PoolOf(const Provisioning& provisioning, const ScaleState& scale);
// It has come from that phase to the one that its status tells: for logs and metrics.
void ReportScale(Context& context, const ScaleState& scale, api::ScalePhase before);
void RecordEvent(Context& context, const ScaleState& scale, bool warning, std::string reason,
                 std::string message);

}  // namespace spillway::core
