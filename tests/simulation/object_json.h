// The objects of the model as the API server would write them: what the operator's decoders read.
// Times have more digits than the real one's, so that an episode that is read from bytes is the
// same as one that is not.
#pragma once

#include "operator/core/events.h"

namespace spillway::simulation {

// Of any kind but kCloudServer, which each engine reads in its own way. manifest: of a pod that was
// created with one; a model of its own has little of what that may say.
api::Json Encode(const core::Object& object, const api::Json* manifest = nullptr);

}  // namespace spillway::simulation
