// The pods by which an autoscaler is asked for a node and told to keep it: what they are like, what
// they say, and what the autoscaler has said of them. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

// Of a pod whose node neither Cluster Autoscaler nor Karpenter is to take away.
api::StringMap KeepAnnotations();

// Fixed by the uid of the ScaleRequest: a second creation meets AlreadyExists.
std::string PlaceholderName(const std::string& request_uid);
std::string KeeperName(const std::string& request_uid);
// A keeper that has ended is there until the next one is: that has the other of two names.
std::string OtherKeeperName(const std::string& request_uid);

// As large as a server of the pool, and only for nodes as the pool requires them, each for itself.
api::Json PlaceholderBody(const std::string& ns, const std::string& request_name,
                          const std::string& request_uid, const api::ServerPool& pool);

// One of either kind, as it is in the API server.
struct OwnPod {
  api::ObjectMeta meta;
  bool keeper = false;
  std::string request_uid, pool;
  std::string node_name, provider_id;   // the latter of a keeper only
  std::vector<std::string> node_pools;  // of Karpenter, that it leaves; empty: any
  bool ended = false;                   // it failed, or a container of it ended
  std::string message;                  // why it has ended, or is not scheduled
  api::Json object;
};
// Fails for a pod that is not of Spillway: ours has its name, a ScaleRequest as controller, and the
// label of that.
Result<OwnPod> DecodeOwnPod(const api::Json& object);

// Takes no room, and keeps the node from being taken away. After any pod for the request: under
// another name than that.
api::Json KeeperBody(const OwnPod& pod, const std::string& node_name,
                     const std::string& provider_id);

// What an autoscaler has said last of a placeholder.
struct Verdict {
  bool coming = false;  // it starts a node
  api::CloudError error = api::CloudError::kNone;
  std::string message;  // empty: it has said nothing
};
// Of one Event; nothing if it says nothing of whether there will be a node. node_pools: as of
// OwnPod; Karpenter speaks of others as well.
std::optional<Verdict> ReadEvent(const api::Json& event,
                                 const std::vector<std::string>& node_pools = {});
// Of the Events (an array) those of the pod with this uid count, the latest most. With an empty
// uid: those of any pod of that name.
Verdict LastVerdict(const api::Json& events, const std::string& name, const std::string& uid,
                    const std::vector<std::string>& node_pools = {});

}  // namespace spillway::cloud
