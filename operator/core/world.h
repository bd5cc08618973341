// Everything the core knows, composed of what each room owns: what was seen of the API server's
// objects, and what was asked for and is on its way. Rebuilt from a list after every restart;
// nothing private is kept anywhere.
#pragma once

#include "operator/core/budgets/state.h"
#include "operator/core/context.h"
#include "operator/core/explain/state.h"
#include "operator/core/provisioning/state.h"
#include "operator/core/scheduling/state.h"
#include "operator/core/servers/state.h"
#include "operator/core/tasks/state.h"

namespace spillway::core {

struct World : Context {
  Servers servers;
  Budgets budgets;
  Scheduling scheduling;
  Provisioning provisioning;
  Tasks tasks;
  Explanations explain;
};

}  // namespace spillway::core
