#include "operator/core/scheduling/queue.h"

#include <algorithm>
#include <limits>

#include "operator/base/prefetch.h"
#include "operator/core/world.h"

namespace spillway::core {

namespace {

// What Bind reads elsewhere than in the task itself, which was announced when it was second.
void PrefetchParts(const TaskState& task) {
  Prefetch(task.owner);
  Prefetch(task.uid().data());
}

// Mostly the first of all: then none is compared with it.
void EraseFirst(Positions& firsts, const QueuePosition& position) {
  if (firsts.begin()->task == position.task) {
    firsts.erase(firsts.begin());
  } else {
    firsts.erase(position);
  }
}

}  // namespace

void Queue::Insert(Tenant& tenant, const QueuePosition& position) {
  if (!hidden_.empty()) {
    if (const auto line = hidden_.find(&tenant); line != hidden_.end()) {
      line->second.insert(position);
      return;
    }
  }
  Positions& line = lines_[&tenant];
  line.insert(line.end(), position);
  if (line.begin()->task != position.task) return;
  if (line.size() > 1) tenant.firsts.erase(*std::next(line.begin()));
  tenant.firsts.insert(position);
}

void Queue::Hide(Tenant& tenant) {
  auto line = lines_.extract(&tenant);
  if (line.empty()) return;
  tenant.firsts.erase(*line.mapped().begin());
  hidden_.insert(std::move(line));
}

void Queue::Show(Tenant& tenant) {
  auto line = hidden_.extract(&tenant);
  if (line.empty()) return;
  tenant.firsts.insert(*line.mapped().begin());
  lines_.insert(std::move(line));
}

void Queue::Erase(Tenant& tenant, const QueuePosition& position) {
  if (!hidden_.empty()) {
    if (const auto line = hidden_.find(&tenant); line != hidden_.end()) {
      line->second.erase(position);
      if (line->second.empty()) hidden_.erase(line);
      return;
    }
  }
  const auto at = lines_.find(&tenant);
  Positions& line = at->second;
  if (line.begin()->task != position.task) {
    line.erase(position);
    return;
  }
  line.erase(line.begin());
  EraseFirst(tenant.firsts, position);
  if (line.empty()) {
    lines_.erase(at);
    return;
  }
  const auto next = line.begin();
  tenant.firsts.insert(tenant.firsts.end(), *next);  // mostly behind the other shapes' firsts
  PrefetchParts(*next->task);
  if (const auto third = std::next(next); third != line.end()) {
    Prefetch(third->key);
    Prefetch(third->task);
  }
}

namespace {

// Of the lines' first tasks that are meant, the one whose turn it is; without a task if none is.
template <typename Lines, typename Meant>
Turn FirstOf(const World& world, const Lines& lines, const Meant& meant) {
  Turn first;
  for (const auto& [tenant, line] : lines) {
    const Turn turn{*line.begin(), ShareOf(world, *tenant)};
    const bool earlier = first.position.task == nullptr || turn < first;
    if (earlier && meant(*turn.position.task)) first = turn;
  }
  return first;
}

}  // namespace

Turn Queue::First(const World& world) const {
  return FirstOf(world, lines_, [](const TaskState&) { return true; });
}

TaskState* Queue::First(const World& world,
                        const std::function<bool(const TaskState&)>& meant) const {
  return FirstOf(world, lines_, meant).position.task;
}

size_t Queue::Count() const {
  size_t count = 0;
  for (const auto& [tenant, line] : lines_) count += line.size();
  return count;
}

int64_t Queue::TopPriority() const {
  int64_t top = std::numeric_limits<int64_t>::min();
  for (const auto& [tenant, line] : lines_) top = std::max(top, line.begin()->priority);
  return top;
}

double ShareOf(const World& world, const Tenant& tenant) {
  if (!world.scheduling.by_share) return 0;
  const auto fraction = [](int64_t part, int64_t whole) {
    return whole <= 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  const api::Resources &used = tenant.used, &total = world.servers.capacity;
  double share =
      std::max(fraction(used.cpu_milli, total.cpu_milli), fraction(used.memory, total.memory));
  for (const auto& [name, amount] : used.extended) {
    const auto at = total.extended.find(name);
    if (at != total.extended.end()) share = std::max(share, fraction(amount, at->second));
  }
  return share * 1000 / static_cast<double>(tenant.weight_milli);
}

std::optional<std::string> Prioritize(const World& world, TaskState& task) {
  const api::TaskSpec& spec = task.object.spec;
  task.priority = spec.priority;
  task.may_preempt = true;
  if (!spec.priority_class.empty()) {
    const auto named = world.scheduling.priority_classes.find(spec.priority_class);
    if (named == world.scheduling.priority_classes.end()) return spec.priority_class;
    task.priority = named->second.value;
    task.may_preempt = named->second.preempts;
    return std::nullopt;
  }
  if (spec.priority != 0) return std::nullopt;
  for (const auto& [name, each] : world.scheduling.priority_classes) {
    if (!each.global_default) continue;
    task.priority = each.value;
    task.may_preempt = each.preempts;
  }
  return std::nullopt;
}

void PrioritizeBound(const World& world, TaskState& task) {
  if (Prioritize(world, task)) task.priority = kGivesWayToNone;
}

}  // namespace spillway::core
