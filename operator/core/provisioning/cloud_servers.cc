#include "operator/core/provisioning/cloud_servers.h"

#include <algorithm>

namespace spillway::core {

const api::CloudServer* CloudServers::For(const std::string& request_uid,
                                          const std::string& engine) const {
  const auto servers = by_request_.find(request_uid);
  if (servers == by_request_.end()) return nullptr;
  for (const api::CloudServer& server : servers->second) {
    if (engine.empty() || server.engine == engine) return &server;
  }
  return nullptr;
}

api::CloudServer* CloudServers::Find(const std::string& request_uid, const std::string& engine,
                                     const std::string& key) {
  const auto servers = by_request_.find(request_uid);
  if (servers == by_request_.end()) return nullptr;
  for (api::CloudServer& server : servers->second) {
    if (server.engine == engine && server.key() == key) return &server;
  }
  return nullptr;
}

bool CloudServers::Update(api::CloudServer server) {
  api::CloudServer* known = Find(server.request_uid, server.engine, server.key());
  if (known == nullptr) {
    by_request_[server.request_uid].push_back(std::move(server));
    return true;
  }
  if (known->resource_version >= server.resource_version) return false;
  known->resource_version = server.resource_version;
  if (*known == server) return false;
  *known = std::move(server);
  return true;
}

void CloudServers::Erase(const std::string& engine, const std::string& key) {
  for (auto& [uid, servers] : by_request_) {
    std::erase_if(servers,
                  [&](const auto& each) { return each.engine == engine && each.key() == key; });
  }
  std::erase_if(by_request_, [](const auto& entry) { return entry.second.empty(); });
}

int64_t CloudServers::VersionOf(const std::string& engine, const std::string& key) const {
  int64_t version = 0;
  ForEach([&](const api::CloudServer& server) {
    if (server.engine == engine && server.key() == key)
      version = std::max(version, server.resource_version);
  });
  return version;
}

}  // namespace spillway::core
