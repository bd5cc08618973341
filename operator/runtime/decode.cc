#include "operator/runtime/decode.h"

#include "operator/runtime/guard.h"

namespace spillway::runtime {
namespace {

template <typename T>
Result<core::Object> Wrap(Result<T> decoded) {
  if (!decoded) return decoded.error();
  return core::Object(std::move(*decoded));
}

Result<core::Object> DecodeAs(core::Kind kind, const api::Json& object) {
  switch (kind) {
    case core::Kind::kTask:
      return Wrap(api::DecodeTaskRequest(object));
    case core::Kind::kServer:
      return Wrap(api::DecodeRegisteredServer(object));
    case core::Kind::kPool:
      return Wrap(api::DecodeServerPool(object));
    case core::Kind::kScale:
      return Wrap(api::DecodeScaleRequest(object));
    case core::Kind::kPod:
      return Wrap(api::DecodePod(object));
    case core::Kind::kNode:
      return Wrap(api::DecodeNode(object));
    case core::Kind::kCloudServer:
      return Invalid("its engine reads it");
    case core::Kind::kLease:
      return core::Object(api::DecodeLease(object));
    case core::Kind::kPriorityClass:
      return core::Object(api::DecodePriorityClass(object));
    case core::Kind::kNamespace:
      return core::Object(api::DecodeNamespace(object));
    case core::Kind::kBudget:
      return Wrap(api::DecodeBudget(object));
  }
  return Invalid("unknown kind");
}

}  // namespace

const kube::Resource& ResourceOf(core::Kind kind) {
  static const kube::Resource kResources[] = {
      {api::kGroup, "v1alpha1", "taskrequests"},
      {api::kGroup, "v1alpha1", "registeredservers"},
      {api::kGroup, "v1alpha1", "serverpools"},
      {api::kGroup, "v1alpha1", "scalerequests"},
      kube::kPods,
      kube::kNodes,
      {"", "", "cloudservers"},  // each engine has its own
      kube::kLeases,
      kube::kPriorityClasses,
      kube::kNamespaces,
      {api::kGroup, "v1alpha1", "budgets"},
  };
  return kResources[static_cast<size_t>(kind)];
}

core::Measured DecodeMeasured(const api::Json& list) {
  core::Measured measured;
  for (const api::Json& item : api::GetArray(list, "items")) {
    if (auto metrics = api::DecodeNodeMetrics(item)) measured.nodes.push_back(std::move(*metrics));
  }
  return measured;
}

Result<core::Object> Decode(core::Kind kind, const api::Json& object) {
  Result<core::Object> decoded = Invalid("");
  const auto thrown = Guarded([&] { decoded = DecodeAs(kind, object); });
  return thrown ? Invalid(*thrown) : std::move(decoded);
}

}  // namespace spillway::runtime
