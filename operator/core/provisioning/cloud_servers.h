// What the engines have, by the ScaleRequest that it is for. Of each engine and key there is one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "operator/api/engine.h"

namespace spillway::core {

class CloudServers {
 public:
  // That of the engine for the request, or of any engine where the name is empty; null if there is
  // none.
  const api::CloudServer* For(const std::string& request_uid, const std::string& engine) const;
  api::CloudServer* Find(const std::string& request_uid, const std::string& engine,
                         const std::string& key);
  bool Has(const std::string& request_uid) const { return by_request_.contains(request_uid); }
  bool empty() const { return by_request_.empty(); }

  // A state that is older than the one known is ignored. Returns whether anything has changed.
  bool Update(api::CloudServer server);
  void Erase(const std::string& engine, const std::string& key);
  // Of the state that is known; 0 if none is.
  int64_t VersionOf(const std::string& engine, const std::string& key) const;

  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& [uid, servers] : by_request_) {
      for (const api::CloudServer& server : servers) visit(server);
    }
  }
  // visit may change what it is given, but for what it is found by.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (auto& [uid, servers] : by_request_) {
      for (api::CloudServer& server : servers) visit(server);
    }
  }

 private:
  std::map<std::string, std::vector<api::CloudServer>> by_request_;  // none is empty
};

}  // namespace spillway::core
