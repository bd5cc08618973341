// Purchases: which pool is asked for the tasks that no registered server can take, the life of each
// ScaleRequest, and when a server is given back.
//
// Exactly one purchase per need: a ScaleRequest is named after the UID of the task that needs it
// and a number that only grows when the one before has ended, so that a second creation, by this
// process after a crash or by another leader, meets AlreadyExists.
#pragma once

#include <string>
#include <vector>

#include "operator/core/scheduling/payment.h"
#include "operator/core/world.h"

namespace spillway::core {

// How long an ended ScaleRequest stays for users to read.
inline constexpr Duration kKeepEnded{600'000};
// A bought server whose node is not ready for this long is given back; its tasks moved on before.
inline constexpr Duration kLostServerAfter{180'000};
// A bought server that is ready and too small for those that it was bought for is given back then.
inline constexpr Duration kTooSmallAfter{30'000};
// How often the cost of a server in use is written.
inline constexpr Duration kCostEvery{60'000};

// Moves every ScaleRequest on by what was seen: asked, provisioning, ready, failed, released.
void AdvanceScales(World& world);
// Lets each waiting task that may use a cloud server wait for one that is on its way, and buys what
// is missing. Provisioning::changes: what those are told whose server that concerns. Those that
// cannot pay theirs.
std::vector<UnpaidTask> PlanPurchases(World& world);
// Withdraws what nobody waits for any more.
void WithdrawPurchases(World& world);
// Whether a server with room for the task may be bought now, or is on its way.
bool MayBuy(const World& world, const TaskState& task);
// Why nothing is bought for the task though a pool could be asked; empty if that is not so.
std::string ExplainPurchase(const World& world, const TaskState& task);
// The pool that would be asked for a server for the shape now, among those that cost no more: by
// priority, then by price.
const PoolState* BestPool(const World& world, const Shape& shape, int64_t most = api::kMostMicros);
// Status and conditions of the pools.
void DescribePools(World& world);

// Whether the pool would have too few servers, or too few without tasks, if it had this many less:
// negative counts what it has beyond minServers and warmSpares, positive what it lacks.
int64_t PoolLacks(const World& world, const PoolState& pool);
// Whether one server less would be too few for what the pool keeps in stock.
bool KeptAsStock(const World& world, const PoolState& pool);
// Whether a task waits for its server, or its pool keeps it in stock: known with the first plan.
bool IsWanted(const World& world, const ScaleState& scale);
// Asked for or made, and not there yet, or not able to take its first task: its room can be
// promised to tasks that wait.
bool IsInflight(const ScaleState& scale);
// From when its server is taken to cost, nothing if its engine never had one. Billing begins
// between the request and when the launch is seen: the cost shown is rather too high than too low.
std::optional<Time> CostsSince(const api::ScaleStatus& status);
// Whether the purchase was made of this pool, and not of one that had its name before.
bool IsOf(const ScaleState& scale, const PoolState& pool);
// Of the RegisteredServer that the purchase leads to: "<pool>-<8 digits of its uid>", short enough
// to read; all digits where another purchase has that name.
std::string ServerName(const World& world, const ScaleState& scale);
// Whether that is, or was, the name of its RegisteredServer.
bool MayBeNamed(const ScaleState& scale, const std::string& server);
void ScaleCreated(World& world, ScaleState& scale, const Outcome& outcome);
void CloudAsked(World& world, ScaleState& scale, const Outcome& outcome);
// The engine's own word on why a server vanished.
void Diagnosed(World& world, const CloudDiagnosis& diagnosis);
// How long the pool's server took to start, if it did.
void NoteBoot(PoolState& pool, const ScaleState& scale);
// A failure that was recorded before a restart still holds its pool back.
void RememberFailure(World& world, const ScaleState& scale);

}  // namespace spillway::core
