// Amounts of resources: what a pod requests, what a node offers.
#pragma once

#include <cstdint>
#include <string>

#include "operator/api/meta.h"
#include "operator/base/rare_map.h"

namespace spillway::api {

// What a pod requests at most, of whatever it is: more counts as so much (10^12 cores, a pebibyte).
// So the sum of thousands of pods does not leave the range, and can be taken apart again.
inline constexpr int64_t kMostAmount = int64_t{1} << 50;

// A negative amount means overcommitted. Sums stop at the ends of the range.
struct Resources {
  int64_t cpu_milli = 0;
  int64_t memory = 0;                      // bytes
  int64_t ephemeral = 0;                   // bytes of ephemeral-storage
  RareMap<std::string, int64_t> extended;  // nvidia.com/gpu and the like; hugepages in bytes

  Resources& operator+=(const Resources& other);
  Resources& operator-=(const Resources& other);
  bool operator==(const Resources&) const = default;
};

Resources Max(const Resources& a, const Resources& b);
Resources Min(const Resources& a, const Resources& b);
// {"cpu": "500m", "memory": "4Gi", …}; "pods" is left out. Unreadable amounts are an error. Each is
// less than kMostAmount, so that nothing offers what a pod requests that requests more than that.
Result<Resources> DecodeResources(const Json& amounts);
StringMap EncodeResources(const Resources& resources);

// What the scheduler counts for a pod: the larger of the sum of its containers and of what each
// init container needs while it runs (sidecars included), or the pod-level requests, plus overhead.
// Source: k8s.io/component-helpers/resource, PodRequests.
Result<Resources> PodRequests(const Json& pod_spec);

}  // namespace spillway::api
