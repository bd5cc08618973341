#include "operator/api/resources.h"

#include <algorithm>

#include "operator/base/quantity.h"
#include "operator/base/saturate.h"

namespace spillway::api {
namespace {

Result<Resources> ContainerRequests(const Json& container) {
  const Json& resources = GetObject(container, "resources");
  Json amounts = GetObject(resources, "limits");  // the API server defaults requests to limits
  amounts.update(GetObject(resources, "requests"));
  return DecodeResources(amounts);
}

template <typename Combine>
Resources Combined(const Resources& a, const Resources& b, Combine combine) {
  Resources out;
  out.cpu_milli = combine(a.cpu_milli, b.cpu_milli);
  out.memory = combine(a.memory, b.memory);
  out.ephemeral = combine(a.ephemeral, b.ephemeral);
  const auto amount = [](const Resources& from, const std::string& name) {
    const auto at = from.extended.find(name);
    return at == from.extended.end() ? int64_t{0} : at->second;
  };
  for (const auto* side : {&a, &b}) {
    for (const auto& [name, unused] : side->extended) {
      out.extended[name] = combine(amount(a, name), amount(b, name));
    }
  }
  return out;
}

// Pod-level requests replace the containers' where they are set (KEP-2837).
Result<Resources> WithPodLevel(const Resources& containers, const Json& pod_spec) {
  const Json& resources = GetObject(pod_spec, "resources");
  Json amounts = GetObject(resources, "limits");
  amounts.update(GetObject(resources, "requests"));
  Json merged = EncodeResources(containers);
  merged.update(amounts);
  return DecodeResources(merged);
}

// Beyond what anything offers, a pod's requests are all the same.
Resources Bounded(const Resources& total) {
  return Combined(total, Resources{}, [](int64_t amount, int64_t) {
    return amount >= kMostAmount - 1 ? kMostAmount : amount;
  });
}

}  // namespace

Resources& Resources::operator+=(const Resources& other) {
  cpu_milli = SaturatingAdd(cpu_milli, other.cpu_milli);
  memory = SaturatingAdd(memory, other.memory);
  ephemeral = SaturatingAdd(ephemeral, other.ephemeral);
  if (other.extended.empty()) return *this;
  for (const auto& [name, amount] : other.extended) {
    int64_t& sum = extended[name];
    sum = SaturatingAdd(sum, amount);
  }
  return *this;
}

Resources& Resources::operator-=(const Resources& other) {
  cpu_milli = SaturatingSubtract(cpu_milli, other.cpu_milli);
  memory = SaturatingSubtract(memory, other.memory);
  ephemeral = SaturatingSubtract(ephemeral, other.ephemeral);
  if (other.extended.empty()) return *this;
  for (const auto& [name, amount] : other.extended) {
    int64_t& rest = extended[name];
    rest = SaturatingSubtract(rest, amount);
    if (rest == 0) extended.erase(name);
  }
  return *this;
}

Resources Max(const Resources& a, const Resources& b) {
  return Combined(a, b, [](int64_t x, int64_t y) { return std::max(x, y); });
}

Resources Min(const Resources& a, const Resources& b) {
  return Combined(a, b, [](int64_t x, int64_t y) { return std::min(x, y); });
}

Result<Resources> DecodeResources(const Json& amounts) {
  Resources out;
  for (const auto& [name, value] : amounts.items()) {
    if (name == "pods" || value.is_null()) continue;
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    const auto amount = ParseQuantity(text, name == "cpu" ? Scale::kMilli : Scale::kOne);
    if (!amount) return Error{ErrorKind::kInvalid, name + ": " + amount.error().message};
    const int64_t bounded = std::clamp(*amount, -kMostAmount + 1, kMostAmount - 1);
    if (name == "cpu") {
      out.cpu_milli = bounded;
    } else if (name == "memory") {
      out.memory = bounded;
    } else if (name == "ephemeral-storage") {
      out.ephemeral = bounded;
    } else if (bounded != 0) {
      out.extended[name] = bounded;
    }
  }
  return out;
}

StringMap EncodeResources(const Resources& resources) {
  StringMap out{{"cpu", FormatMilli(resources.cpu_milli)},
                {"memory", FormatBytes(resources.memory)}};
  if (resources.ephemeral != 0) out["ephemeral-storage"] = FormatBytes(resources.ephemeral);
  for (const auto& [name, amount] : resources.extended) out[name] = std::to_string(amount);
  return out;
}

Result<Resources> PodRequests(const Json& pod_spec) {
  Resources sum, sidecars, init;
  for (const Json& container : GetArray(pod_spec, "containers")) {
    const auto requests = ContainerRequests(container);
    if (!requests) return requests.error();
    sum += *requests;
  }
  for (const Json& container : GetArray(pod_spec, "initContainers")) {
    auto requests = ContainerRequests(container);
    if (!requests) return requests.error();
    if (GetString(container, "restartPolicy") == "Always") {
      sum += *requests;
      sidecars += *requests;
      init = Max(init, sidecars);
    } else {
      *requests += sidecars;
      init = Max(init, *requests);
    }
  }
  auto total = WithPodLevel(Max(sum, init), pod_spec);
  if (!total) return total;
  auto overhead = DecodeResources(GetObject(pod_spec, "overhead"));
  if (!overhead) return overhead;
  *total += *overhead;
  return Bounded(*total);
}

}  // namespace spillway::api
