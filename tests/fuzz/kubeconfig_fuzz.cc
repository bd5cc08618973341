// A kubeconfig, as a user may have written it.
#include "operator/kube/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(spillway::kube::ParseKubeconfig({{"/config", text}}).ok());
  return 0;
}
