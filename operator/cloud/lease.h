// A lease of a cloud service (hack/cloud-service/openapi.yaml): what is asked for, what is
// answered, and how errors are read. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

// Where leases are had and with whose credentials: spec.backend.rest of a pool.
struct ServiceAddress {
  std::string endpoint;  // https://host[:port][/path], without a slash at its end
  std::string secret;    // its name, in the operator's namespace

  auto operator<=>(const ServiceAddress&) const = default;
};
// From what is written under spec.backend.rest. Fails where it cannot be used.
Result<ServiceAddress> DecodeAddress(const api::Json& backend);

// The body of PUT /v1/leases/{id}. Labels that a kubelet may not give itself are left out: the
// operator puts them there.
api::Json LeaseBody(const std::string& client_ref, const api::ServerPool& pool);

// What the service says of a lease.
struct Lease {
  api::CloudServer server;
  std::string client_ref;
  bool released = false;  // nothing of it is left
  bool settled = false;   // it will stay as it is for some time
};
// Fails for what is no lease.
Result<Lease> DecodeLease(const api::Json& object);

// One that is there and cannot be read: it is not gone.
struct UnreadLease {
  std::string id;  // empty if that cannot be read either
  std::string why;
};
// A page of leases. Those of another client are passed over. Fails for what is no page.
struct LeasePage {
  std::vector<Lease> leases;
  std::vector<UnreadLease> unread;
  std::string next;  // the last id on it, where another page follows
};
Result<LeasePage> DecodeLeases(const api::Json& object, const std::string& client_ref);

// What came of a call that was not answered with 2xx.
struct LeaseError {
  Refusal refusal;           // its class, and the service's words
  std::string code;          // such as LeaseNotFound
  bool ambiguous = false;    // it may have been carried out
  bool credentials = false;  // they were not accepted

  bool gone() const { return code == "LeaseNotFound"; }
};
LeaseError ReadError(const kube::Response& response);
LeaseError NoAnswer(const Error& error);
// As the executor takes it.
Error ToError(const LeaseError& error);

}  // namespace spillway::cloud
