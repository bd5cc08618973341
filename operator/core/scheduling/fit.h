// Whether a server takes a task of one shape; and if not, why. why may be null everywhere.
#pragma once

#include <optional>
#include <string>

#include "operator/core/fit_error.h"
#include "operator/core/servers/taints.h"
#include "operator/core/world.h"

namespace spillway::core {

inline constexpr char kOsLabel[] = "kubernetes.io/os";
inline constexpr char kHostnameLabel[] = "kubernetes.io/hostname";

// The reason of a server that is passed over for a while; see refusals.h.
inline constexpr char kRefusedRecently[] = "RefusedRecently";

// The first of the taints of a server that the task's pod would not tolerate there; null if there
// is none.
const api::Taint* Untolerated(const std::vector<api::Taint>& taints, const Shape& shape,
                              bool cloud);
// As kubectl taint takes it: key=value:effect.
std::string FormatTaint(const api::Taint& taint);
// What a requirement on the key is compared with: the capability, else the label.
std::optional<std::string> ValueOf(const std::string& key, const api::StringMap& capabilities,
                                   const api::StringMap& labels);

// The parts of the test that do not depend on the server's being there yet. The task's own wishes
// on where a server is from and what it costs; a Budget counts.
bool OriginFits(const Shape& shape, const std::string& pool, bool cloud, int64_t price_micros,
                FitError* why);
bool TaintsFit(const std::vector<api::Taint>& taints, const Shape& shape, bool cloud,
               FitError* why);
// os: what the server runs, where that is known.
bool OsFits(const Shape& shape, const std::optional<std::string>& os, FitError* why);

// The task's own wishes on where a server is from and what it costs; a Budget counts.
bool OriginFits(const Shape& shape, const ServerState& server, FitError* why);
// What does not change with the load: origin, price, taints, labels, capabilities.
bool PropertiesFit(const World& world, const Shape& shape, const ServerState& server,
                   FitError* why);
// What does: readiness, room, and who is there already. why may be null.
bool RoomFits(const World& world, const Shape& shape, const ServerState& server, FitError* why);

// What the shape finds on a server as tasks leave it or join it, on paper: amounts, limits of tasks
// and of pods, host ports, exclusive tasks, and the limits on measured use, where a task that
// leaves is taken to have used what it requested. Must not outlive the two.
class Room {
 public:
  Room(const Shape& of, const ServerState& on);
  void Leave(const Demand& other) { Move(other, -1); }
  void Join(const Demand& other) { Move(other, 1); }
  bool Fits() const;
  // What is free for others: no more than the limits on measured use leave.
  api::Resources Left() const;

 private:
  int64_t Places() const;  // for more pods
  void Move(const Demand& other, int64_t sign);

  const Shape& shape_;
  const ServerState& server_;
  api::Resources free_;
  int64_t tasks_, pods_, exclusive_;
  int64_t cpu_headroom_ = 0, memory_headroom_ = 0;  // where limits hold
  std::vector<int64_t> taken_;                      // how many have each of the shape's host ports
};

// As users read it: "cpu.model In a, b".
std::string FormatRequirement(const api::Requirement& requirement);
// An amount of the resource as users write it: 3500m, 4Gi, 2.
std::string FormatAmount(const std::string& resource, int64_t amount);
// "requests 4 cpu, 1 free (3 short)", where what is "free".
std::string DescribeLack(const std::string& resource, int64_t requested, int64_t available,
                         const char* what);
// Null if the amounts fit; otherwise the first resource that lacks.
std::optional<FitError> AmountsMisfit(const api::Resources& requests, const api::Resources& room);
// A task's tolerations as its pod on a cloud server has them.
std::vector<api::Toleration> CloudTolerations(std::vector<api::Toleration> tolerations);
}  // namespace spillway::core
