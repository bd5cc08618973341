// An API server with one Lease.
#pragma once

#include <string>
#include <utility>

#include "operator/base/json.h"
#include "operator/kube/request.h"

namespace spillway::runtime {

class LeaseStore {
 public:
  kube::Response Carry(const kube::Request& request) {
    if (request.method == "GET")
      return lease.is_null() ? kube::Response{404, "{}", {}}
                             : kube::Response{200, lease.dump(), {}};
    kube::Json body = ParseJson(request.body);
    const bool taken = request.method == "POST" && !lease.is_null();
    const bool modified =
        request.method == "PUT" && body["metadata"]["resourceVersion"] != std::to_string(version_);
    if (taken || modified) return {409, taken ? R"({"reason": "AlreadyExists"})" : "{}", {}};
    lease = std::move(body);
    lease["metadata"]["resourceVersion"] = std::to_string(++version_);
    return {200, lease.dump(), {}};
  }
  Result<kube::Json> Ask(const kube::Request& request) {
    return kube::ReadResponse(Carry(request));
  }
  // By another process.
  void Renew(const std::string& holder, int lasts) {
    lease["metadata"]["resourceVersion"] = std::to_string(++version_);
    lease["spec"] = {{"holderIdentity", holder},
                     {"leaseDurationSeconds", lasts},
                     {"renewTime", std::to_string(version_)}};
  }

  kube::Json lease;

 private:
  int version_ = 0;
};

}  // namespace spillway::runtime
