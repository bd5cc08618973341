#include "operator/core/servers/taints.h"

#include <algorithm>
#include <iterator>

namespace spillway::core {

bool IsReadinessTaint(const api::Taint& taint) {
  return taint.key == "node.kubernetes.io/not-ready" ||
         taint.key == "node.kubernetes.io/unreachable";
}

std::vector<api::Taint> PropertyTaints(const api::Node& node) {
  std::vector<api::Taint> taints = node.taints;
  std::erase_if(taints, [](const api::Taint& taint) {
    return IsReadinessTaint(taint) || taint.key == "node.kubernetes.io/unschedulable";
  });
  return taints;
}

}  // namespace spillway::core
