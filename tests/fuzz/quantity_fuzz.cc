// Kubernetes quantities: what is read and written again is the same amount.
#include <cstdlib>

#include "operator/base/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const spillway::Scale scale : {spillway::Scale::kOne, spillway::Scale::kMilli}) {
    const auto amount = spillway::ParseQuantity(text, scale);
    if (!amount || *amount < 0) continue;
    const std::string again = scale == spillway::Scale::kMilli ? spillway::FormatMilli(*amount)
                                                               : spillway::FormatBytes(*amount);
    const auto second = spillway::ParseQuantity(again, scale);
    if (!second || *second != *amount) std::abort();
  }
  return 0;
}
