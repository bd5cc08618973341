// Kubernetes quantities ("500m", "4Gi", "1e3"). The grammar and the rounding up are those of
// k8s.io/apimachinery/pkg/api/resource.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "operator/base/result.h"

namespace spillway {

// The unit that a parsed quantity is counted in.
enum class Scale { kOne, kMilli };

// Rounds away from zero to the unit, and saturates at the range of int64_t.
Result<int64_t> ParseQuantity(std::string_view text, Scale scale);
// 3500 -> "3500m", 4000 -> "4".
std::string FormatMilli(int64_t milli);
// The largest binary suffix that divides the value: 4294967296 -> "4Gi".
std::string FormatBytes(int64_t bytes);

}  // namespace spillway
