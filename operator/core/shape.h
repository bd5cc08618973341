// Tasks that ask for the same thing are one shape: what fits one of them fits all of them, so that
// a decision is made per shape and not per task.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "operator/api/task_request.h"
#include "operator/core/match.h"

namespace spillway::core {

struct ServerState;

// Order in a queue: higher priority first, then the older, then by name.
struct QueuePosition {
  int64_t priority = 0;
  Time created{};
  std::string key;

  bool operator<(const QueuePosition& other) const {
    return std::tuple(-priority, created, std::string_view(key)) <
           std::tuple(-other.priority, other.created, std::string_view(other.key));
  }
};

struct Shape {
  api::Resources requests;
  std::vector<std::string> host_ports;
  std::vector<api::Requirement> requirements;
  api::StringMap node_selector;
  std::vector<NodeSelectorTerm> affinity;
  std::vector<api::Toleration> tolerations;
  bool exclusive = false;
  api::Placement placement;

  // The tasks of this shape that wait.
  std::set<QueuePosition> waiting;
  // Servers whose properties match, local ones first; valid while candidates_at is current.
  std::vector<ServerState*> candidates;
  uint64_t candidates_at = 0;
  // No server had room at this version of the capacity.
  uint64_t blocked_at = 0;
};

// Finds or makes the shape of a task. Owns the shapes; a reference stays valid as long as the
// table.
class ShapeTable {
 public:
  // Fails where the template's amounts cannot be read.
  Result<Shape*> Intern(const api::TaskSpec& spec);

  auto begin() { return shapes_.begin(); }
  auto end() { return shapes_.end(); }

 private:
  std::map<std::string, std::unique_ptr<Shape>> shapes_;
};

}  // namespace spillway::core
