#include "operator/core/scheduling/search.h"

#include <algorithm>
#include <tuple>

#include "operator/core/scheduling/fit.h"
#include "operator/core/scheduling/refusals.h"
#include "operator/core/servers/load.h"

namespace spillway::core {
namespace {

void Match(const World& world, Shape& shape, uint32_t slot) {
  const ServerState* server = world.servers.slots[slot];
  if (server != nullptr && PropertiesFit(world, shape, *server, nullptr)) {
    shape.fits.Set(slot);
  } else {
    shape.fits.Clear(slot);
  }
}

// Takes up what has changed in servers' properties since the last time.
void RefreshMatches(const World& world, Shape& shape) {
  const uint64_t end = world.servers.property_log.end();
  if (shape.matched && world.servers.property_log.Knows(shape.properties_read)) {
    for (uint64_t i = shape.properties_read; i < end; ++i)
      Match(world, shape, world.servers.property_log.at(i));
  } else {
    for (uint32_t slot = 0; slot < world.servers.slots.size(); ++slot) Match(world, shape, slot);
    shape.matched = true;
  }
  shape.properties_read = end;
}

// The cheap part of RoomFits, without a word on why.
bool MayHaveRoom(const api::Resources& requests, const ServerState& server) {
  if (!server.schedulable) return false;
  const api::Resources &total = server.offered, &used = server.usage->used;
  const auto fits = [](int64_t asked, int64_t left) { return asked == 0 || asked <= left; };
  return fits(requests.cpu_milli, total.cpu_milli - used.cpu_milli) &&
         fits(requests.memory, total.memory - used.memory) && LoadFits(requests, server, nullptr);
}

// How empty the server would be left, from 0 (full) to 1: the mean of cpu and memory.
double Leftover(const Shape& shape, const ServerState& server) {
  const api::Resources &total = server.offered, &used = server.usage->used;
  const auto share = [](int64_t whole, int64_t taken) {
    return whole <= 0 ? 0.0 : static_cast<double>(whole - taken) / static_cast<double>(whole);
  };
  return (share(total.cpu_milli, used.cpu_milli + shape.requests.cpu_milli) +
          share(total.memory, used.memory + shape.requests.memory)) /
         2;
}

// Of so many servers that are equally good the fullest is chosen.
constexpr int kMostCompared = 4;

const ServerState* SearchAmong(const World& world, const Shape& shape, const Bits& among) {
  const ServerState* best = nullptr;
  const void* of = nullptr;
  double best_left = 2;
  int compared = 0;
  world.servers.index.Search(among, shape.requests.cpu_milli, shape.requests.memory,
                             [&](uint32_t slot, const void* cell) {
                               if (best != nullptr && cell != of) return true;
                               const ServerState& server = *world.servers.slots[slot];
                               if (!RoomFits(world, shape, server, nullptr)) return false;
                               const double left = Leftover(shape, server);
                               if (left < best_left) {
                                 best = &server;
                                 best_left = left;
                               }
                               of = cell;
                               return ++compared == kMostCompared;
                             });
  return best;
}

// Servers that have refused such a pod are the last ones.
const ServerState* SearchIndex(const World& world, const Shape& shape) {
  if (const auto refused = RefusedBefore(world, shape); !refused.empty()) {
    Bits others = shape.fits;
    for (const uint32_t slot : refused) others.Clear(slot);
    if (const ServerState* server = SearchAmong(world, shape, others)) return server;
  }
  return SearchAmong(world, shape, shape.fits);
}

// A server that grew, and on which no waiting task found room, need not be tried by this shape
// either, as long as it has tasks that wait.
void SkipTried(const World& world, Shape& shape) {
  shape.capacity_read = std::max(shape.capacity_read, world.scheduling.tried_capacity);
}

// The servers that may have grown since the shape was refused, best first.
void GatherGrown(const World& world, Shape& shape) {
  const uint64_t end = world.servers.capacity_log.end();
  for (uint64_t i = shape.capacity_read; i < end; ++i) {
    shape.retry_slots.push_back(world.servers.capacity_log.at(i));
  }
  shape.capacity_read = end;
  std::erase_if(shape.retry_slots, [&](uint32_t slot) {
    return world.servers.slots[slot] == nullptr || !shape.fits.Test(slot);
  });
  const auto refused = RefusedBefore(world, shape);
  const auto rank = [&](uint32_t slot) {
    const auto& spec = world.servers.slots[slot]->object.spec;
    return std::tuple(std::binary_search(refused.begin(), refused.end(), slot), spec.cloud,
                      spec.price_micros, slot);
  };
  std::sort(shape.retry_slots.begin(), shape.retry_slots.end(),
            [&](uint32_t a, uint32_t b) { return rank(a) < rank(b); });
  shape.retry_slots.erase(std::unique(shape.retry_slots.begin(), shape.retry_slots.end()),
                          shape.retry_slots.end());
}

const ServerState* SearchGrown(const World& world, Shape& shape) {
  GatherGrown(world, shape);
  for (size_t i = 0; i < shape.retry_slots.size(); ++i) {
    const ServerState& server = *world.servers.slots[shape.retry_slots[i]];
    if (!MayHaveRoom(shape.requests, server) || !RoomFits(world, shape, server, nullptr)) continue;
    // Those before it have no room; it may have room for more.
    shape.retry_slots.erase(shape.retry_slots.begin(),
                            shape.retry_slots.begin() + static_cast<std::ptrdiff_t>(i));
    return &server;
  }
  shape.retry_slots.clear();
  return nullptr;
}

bool MayFitOn(const World& world, const Shape& shape, uint32_t slot) {
  const ServerState* server = world.servers.slots[slot];
  return server != nullptr && shape.fits.Test(slot) && MayHaveRoom(shape.requests, *server);
}

}  // namespace

const ServerState* SelectServer(const World& world, Shape& shape) {
  RefreshMatches(world, shape);
  return SearchIndex(world, shape);
}

const ServerState* BestServer(World& world, Shape& shape) {
  RefreshMatches(world, shape);
  SkipTried(world, shape);
  if (shape.unschedulable && world.servers.capacity_log.Knows(shape.capacity_read))
    return SearchGrown(world, shape);
  UpdateIndex(world.servers);
  const ServerState* server = SearchIndex(world, shape);
  shape.unschedulable = server == nullptr;
  shape.capacity_read = world.servers.capacity_log.end();
  shape.retry_slots.clear();
  return server;
}

std::vector<std::string> OtherNodes(World& world, const Shape& shape, const ServerState& chosen) {
  std::vector<std::string> out;
  UpdateIndex(world.servers);
  const api::RegisteredServerSpec& spec = chosen.object.spec;
  const auto refused = RefusedBefore(world, shape);
  const auto has_refused = [&](const ServerState& server) {
    return std::binary_search(refused.begin(), refused.end(), server.slot);
  };
  world.servers.index.Search(
      shape.fits, shape.requests.cpu_milli, shape.requests.memory, [&](uint32_t slot, const void*) {
        const ServerState& server = *world.servers.slots[slot];
        const api::RegisteredServerSpec& other = server.object.spec;
        const bool alike = other.cloud == spec.cloud && other.pool == spec.pool &&
                           other.price_micros == spec.price_micros &&
                           has_refused(server) <= has_refused(chosen);
        if (&server != &chosen && alike && RoomFits(world, shape, server, nullptr))
          out.push_back(other.node_name);
        return out.size() + 1 == kMostCandidates;
      });
  return out;
}

void ApplyQueueingHints(const World& world, Shape& shape) {
  if (shape.properties_read != world.servers.property_log.end() ||
      !world.servers.capacity_log.Knows(shape.capacity_read))
    shape.unschedulable = false;
  if (!shape.unschedulable) return;
  for (const uint64_t end = world.servers.capacity_log.end(); shape.capacity_read < end;
       ++shape.capacity_read) {
    const uint32_t slot = world.servers.capacity_log.at(shape.capacity_read);
    if (MayFitOn(world, shape, slot)) shape.retry_slots.push_back(slot);
  }
}

void KeepUntried(World& world, Shape& shape) {
  SkipTried(world, shape);
  ApplyQueueingHints(world, shape);
  world.scheduling.shapes.SetUntried(shape);
}

bool AdvanceToCandidate(const World& world, Shape& shape) {
  if (shape.waiting.empty()) return false;
  SkipTried(world, shape);
  if (!shape.unschedulable || !shape.retry_slots.empty() ||
      shape.properties_read != world.servers.property_log.end() ||
      !world.servers.capacity_log.Knows(shape.capacity_read))
    return true;
  for (const uint64_t end = world.servers.capacity_log.end(); shape.capacity_read < end;
       ++shape.capacity_read) {
    if (MayFitOn(world, shape, world.servers.capacity_log.at(shape.capacity_read))) return true;
  }
  return false;
}

bool AdvanceToAnyCandidate(World& world) {
  if (world.scheduling.tenants_waiting.empty()) return false;
  if (!world.servers.capacity_log.Knows(world.scheduling.tried_capacity)) return true;
  for (const uint64_t end = world.servers.capacity_log.end(); world.scheduling.tried_capacity < end;
       ++world.scheduling.tried_capacity) {
    const ServerState* server =
        world.servers.slots[world.servers.capacity_log.at(world.scheduling.tried_capacity)];
    if (server != nullptr && MayHaveRoom(world.scheduling.shapes.least(), *server)) return true;
  }
  return false;
}

}  // namespace spillway::core
