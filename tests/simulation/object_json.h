// The objects of the model as the API server would write them: what the operator's decoders read.
// Times have more digits than the real one's, so that an episode that is read from bytes is the
// same as one that is not.
#pragma once

#include "operator/core/events.h"

namespace spillway::simulation {

// Of any kind but kCloudServer, which each engine reads in its own way.
api::Json Encode(const core::Object& object);

}  // namespace spillway::simulation
