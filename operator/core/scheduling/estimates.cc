#include "operator/core/scheduling/estimates.h"

#include <algorithm>

#include "operator/core/scheduling/fit.h"

namespace spillway::core {
namespace {

constexpr size_t kMostStarts = 1'000;

// The times at which tasks of the shape would start on the server, if it were given to them alone.
void AddStarts(const World& world, const Shape& shape, const ServerState& server,
               std::vector<End>& out) {
  const api::Node& node = *server.node->object;
  if (AmountsMisfit(shape.requests, node.allocatable)) return;
  Room room(shape, server);
  End at{world.now, false};
  const auto hand_out = [&] {
    while (out.size() < kMostStarts && room.Fits()) {
      out.push_back(at);
      room.Join(*shape.demand);
    }
  };
  hand_out();
  for (const Leaving& leaving : LeavingNode(world, node.meta.name, When::kProbably)) {
    if (leaving.end.time == kNever) return;
    room.Leave(*leaving.demand);
    at = {leaving.end.time, at.observed || leaving.end.observed};
    hand_out();
  }
}

void ForeseeStarts(const World& world, Shape& shape) {
  if (world.now < shape.foreseen_at + kForecastKept && shape.foreseen_at != Time{}) return;
  shape.foreseen_at = world.now;
  std::vector<End> starts;
  for (const ServerState* server : world.servers.slots) {
    if (server != nullptr && server->schedulable && shape.fits.Test(server->slot))
      AddStarts(world, shape, *server, starts);
  }
  std::sort(starts.begin(), starts.end(),
            [](const End& a, const End& b) { return a.time < b.time; });
  shape.starts.clear();
  for (const End& start : starts) {
    shape.starts.push_back(start.time);
    shape.observed = start.observed;
  }
}

const char* BasisOf(const Shape& shape) {
  return shape.observed || shape.runs.known() ? "observed run times" : "activeDeadlineSeconds";
}

// Of those before it, each is taken to run as long as its like.
std::optional<Time> StartOf(const World& world, const Shape& shape, int64_t rank) {
  const auto n = static_cast<int64_t>(shape.starts.size());
  if (n == 0 || rank < 1) return std::nullopt;
  const int64_t rounds = (rank - 1) / n;
  if (rounds > 0 && !shape.runs.known()) return std::nullopt;
  const Time first = shape.starts[static_cast<size_t>((rank - 1) % n)];
  return std::max(first, world.now) + shape.runs.value() * rounds;
}

// By our own clock where this process has asked for its deletion, whether that was taken or not.
std::optional<Time> AskedToEnd(const TaskState& task, const api::Pod& pod) {
  if (!task.pods_deleted) return pod.asked_to_end;
  const auto deletion = task.pods_deleted->find(pod.meta.uid);
  if (deletion == task.pods_deleted->end() || deletion->second.asked_at == Time{})
    return pod.asked_to_end;
  // What was refused first may have been taken later.
  return std::max(deletion->second.asked_at, pod.asked_to_end.value_or(Time{}));
}

// Its pods there are told to go, or will be: each has the grace that it asks for.
End EndOfStopped(const World& world, const TaskState& task, const std::string& node) {
  End end{world.now + kStopAllowance, false, true};
  Time by{};
  for (const auto& [attempt, pod] : task.owner->pods) {
    const auto asked = AskedToEnd(task, *pod);
    if (pod->node_name == node && !pod->terminal() && asked)
      by = std::max(by, *asked + pod->grace + kStopAllowance);
  }
  if (by != Time{}) end.time = world.now < by ? by : kNever;
  if (end.time == by) end.doubted = by;
  return end;
}

}  // namespace

End ExpectedEnd(const World& world, const TaskState& task, const std::string& node, When when) {
  if (!task.binding || task.binding->node_name != node) return EndOfStopped(world, task, node);
  const auto& started = task.object.status.started_at;
  const Time begin = started.value_or(task.binding->assigned_at + kStartAllowance);
  const auto& deadline = task.object.spec.active_deadline;
  End end;
  const Time doubted = deadline ? begin + *deadline + kStopAllowance + kOverdue : kNever;
  if (deadline && world.now < doubted)
    end = {std::max(begin + *deadline, world.now) + kStopAllowance, false, false, doubted};
  if (task.shape->runs.known() && (!deadline || when == When::kProbably)) {
    // What has run for longer than its like ends at any moment.
    const Time usual = begin + task.shape->runs.value();
    const Time expected = std::max(usual, world.now + kStartAllowance);
    const Time overdue = when == When::kAtTheLatest ? usual + kOverdue : kNever;
    if (expected < end.time && world.now < overdue) end = {expected, true, false, overdue};
  }
  return end;
}

std::vector<Leaving> LeavingNode(const World& world, const std::string& node, When when) {
  std::vector<Leaving> out;
  world.servers.ledger.ForEachOwner(node, [&](const Owner& owner, const Demand& demand) {
    const TaskState* task = owner.task;
    if (task != nullptr && task->shape != nullptr)
      out.push_back({ExpectedEnd(world, *task, node, when), &demand});
  });
  std::stable_sort(out.begin(), out.end(),
                   [](const Leaving& a, const Leaving& b) { return a.end.time < b.end.time; });
  return out;
}

void Rank(World& world, Shape& shape) {
  if (world.now < shape.ranked_at + kForecastKept && shape.ranked_at != Time{}) return;
  shape.ranked_at = world.now;
  int64_t rank = 0;
  shape.waiting.AnyOf([&](const QueuePosition& position) {
    position.task->rank = ++rank;
    return false;
  });
}

std::optional<Estimate> EstimateTurn(const World& world, Shape& shape, int64_t rank) {
  ForeseeStarts(world, shape);
  const auto start = StartOf(world, shape, rank);
  if (!start) return std::nullopt;
  return Estimate{*start, BasisOf(shape)};
}

}  // namespace spillway::core
