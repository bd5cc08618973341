// Whether a new server of a pool would take a task of one shape, and whether one may be bought; and
// if not, why.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/core/fit_error.h"
#include "operator/core/world.h"

namespace spillway::core {

// Of a ScaleRequest: the generation of its pool when it was made, whose servers may be of another
// size by now.
inline constexpr char kPoolGenerationLabel[] = "spillway.dev/pool-generation";

// A value that the label may have on a new server of the pool; nothing if none is known.
std::optional<std::string> FutureLabel(const std::string& key, const PoolState& pool);
// What the engine must be asked for beside the pool's own requirements, so that of several values
// of a label the new server has one that the shape can use.
std::vector<api::Requirement> Narrowed(const Shape& shape, const PoolState& pool);
// Whether a new server of the pool would take the shape, and whether one may be bought now.
bool PoolFits(const Shape& shape, const PoolState& pool, FitError* why);
bool PoolMayBuy(const World& world, const PoolState& pool, FitError* why);

// The room that a server of the pool has for tasks: what is declared, or less if the last one had
// less.
api::Resources PoolRoom(const PoolState& pool);
// The greatest price per hour, below that of the server that the task cannot pay, of the pools that
// it may use and that its Budgets cover, whether or not a server can be had of them at the moment;
// nothing if there is none. held: its price becomes the least that is not covered.
std::optional<int64_t> PricePayable(const World& world, const TaskState& task, HeldTask& held);
// Servers of the pool that were asked for or are there, and those that its engine has not taken
// back yet.
int64_t PoolServers(const World& world, const std::string& pool);
// As many as its spec.maxServers bounds: with them those that another leader could still ask for,
// since nothing tells yet that they are over.
int64_t PoolPlacesTaken(const World& world, const std::string& pool);

}  // namespace spillway::core
