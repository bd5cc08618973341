// Engines: what provides the servers of a pool, by the one member of its spec.backend.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/api/scale_request.h"

namespace spillway::api {

// What is true of an engine whatever it provides.
struct EngineTraits {
  std::string name;  // the member of spec.backend
  // It is asked at intervals what it has, and not watched through the API server: to hear of it
  // says nothing of the API server, and nothing but its own pools waits until it has answered.
  bool polled = false;
  // On each pod of ours on its servers, such as what keeps it from taking a server away under it.
  StringMap pod_annotations = {};
  // What it provides lies outside of the API server, which collects none of it: a ScaleRequest
  // keeps a finalizer until its server was given back, and a copy of the backend that it was bought
  // of. To release, the uid of the ScaleRequest is enough.
  bool external = false;
  // It calls a server ready when its machine runs. The Node joins by itself: it is waited for, gets
  // the labels and taints of the pool that it lacks before a task may go there, and is deleted when
  // the server is gone.
  bool bare_nodes = false;
  // With bare_nodes: the Node is not deleted for it. The engine takes it away in its own time once
  // nothing keeps it, and may lend it for another request until then.
  bool removes_nodes = false;
  // A released server is drained: what runs there is given its time to end. Otherwise a server is
  // released when none of our pods runs there any more.
  bool drains = false;
  // Taints by which it says on a Node that it takes that away.
  std::vector<std::string> ending_taints = {};
};

// What an engine says of a server that was asked of it.
struct CloudServer {
  std::string kind, name, uid;  // of the engine's own object
  std::string ns = {};          // of that; empty for one of the whole cluster, or outside of it
  std::string engine = {};      // its name
  // Of the API server's object, or a number that grows with each look at a polled engine.
  int64_t resource_version = 0;
  std::string request_uid = {};  // the ScaleRequest that it serves
  std::string pool = {};         // of that; empty if it is not known
  bool launched = false;         // the engine has accepted it: from here on it costs
  bool ready = false;            // its Node is Ready and may be used
  bool deleting = false;
  std::string node_name = {}, provider_id = {};
  // It will not become ready, or can be used no more; message says why. An engine may also give a
  // reason while it still tries: then there is only a message.
  CloudError error = CloudError::kNone;
  std::string message = {};
  // It is taken away by no doing of ours, such as by a spot notice, maintenance or a drain: by whom
  // and why; empty if it is not.
  std::string ending = {};
  // When it is gone at the latest; with ending or deleting, if that is known.
  std::optional<Time> ends_at = {};

  // Unique among what its engine has.
  std::string key() const { return ns.empty() ? name : ns + "/" + name; }
  bool operator==(const CloudServer&) const = default;
};

}  // namespace spillway::api
