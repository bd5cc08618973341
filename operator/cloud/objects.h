// What engines do alike whose servers are objects of the API server.
#pragma once

#include <stop_token>
#include <string>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

// The owner references of what belongs to the ScaleRequest: it is the controller, and its end is
// theirs.
api::Json OwnedBy(const std::string& request_name, const std::string& request_uid);

// Creates the object, or gets the one that has its name already. If that is gone in the end, the
// error is kUnavailable: the next try may make it.
Result<api::Json> CreateOrGet(kube::Transport& transport, const kube::Resource& resource,
                              const std::string& ns, const api::Json& body, std::stop_token stop);

// Asks for the end of the object with the server's name and UID. Success if it is gone; one of that
// name with another UID is left alone.
Result<Unit> DeleteObject(kube::Transport& transport, const kube::Resource& resource,
                          const api::CloudServer& server, std::stop_token stop);

// Deletes what was created and lacks the marks by which Spillway would know it. kind, marks: as the
// refusal is to name them.
Result<Ensured> TakeBack(kube::Transport& transport, const kube::Resource& resource,
                         const api::Json& object, const std::string& kind, const std::string& marks,
                         std::stop_token stop);

}  // namespace spillway::cloud
