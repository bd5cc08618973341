#include "operator/core/provisioning/state.h"

#include <utility>

namespace spillway::core {

void RecordEvent(Context& context, const ScaleState& scale, bool warning, std::string reason,
                 std::string message) {
  RecordEvent(context, Kind::kScale, scale.object.meta, warning, std::move(reason),
              std::move(message));
}

}  // namespace spillway::core
