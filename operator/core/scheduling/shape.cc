#include "operator/core/scheduling/shape.h"

#include <utility>

#include "operator/base/json.h"

namespace spillway::core {
namespace {

using api::Json;

// What kube-scheduler decides by beside: what it refuses to one task it may give to another.
Json ForScheduler(const api::TaskSpec& spec, const Json& pod_spec) {
  const Json& affinity = api::GetObject(pod_spec, "affinity");
  Json claims = Json::array();
  for (const Json& volume : api::GetArray(pod_spec, "volumes")) {
    for (const char* kind : {"persistentVolumeClaim", "ephemeral"}) {
      if (volume.contains(kind)) claims.push_back(volume[kind]);
    }
  }
  return {api::GetObject(affinity, "podAffinity"),
          api::GetObject(affinity, "podAntiAffinity"),
          api::GetArray(pod_spec, "topologySpreadConstraints"),
          api::GetArray(pod_spec, "resourceClaims"),
          std::move(claims),
          api::GetObject(api::GetObject(*spec.pod_template, "metadata"), "labels")};
}

// What defaults of the namespace are added to: a LimitRange's to each container that lacks them, a
// RuntimeClass's to the pod.
Json Defaulted(const Json& pod_spec) {
  Json out = {api::GetObject(pod_spec, "resources"), api::GetString(pod_spec, "runtimeClassName"),
              api::GetString(pod_spec, "priorityClassName")};
  for (const char* list : {"initContainers", "containers"}) {
    Json each = Json::array();
    for (const Json& container : api::GetArray(pod_spec, list))
      each.push_back(api::GetObject(container, "resources"));
    out.push_back(std::move(each));
  }
  return out;
}

// Everything that a decision depends on, as text.
std::string Key(const api::TaskSpec& spec, const Json& pod_spec, const Shape& shape) {
  Json requirements = Json::array();
  for (const api::Requirement& requirement : spec.requirements) {
    requirements.push_back({requirement.key, requirement.op, requirement.values});
  }
  const api::Placement& placement = shape.placement;
  Json scheduler = shape.via_scheduler ? ForScheduler(spec, pod_spec) : Json();
  return Dump(Json{
      api::EncodeResources(shape.requests), shape.host_ports, std::move(requirements),
      shape.node_selector, api::GetObject(api::GetObject(pod_spec, "affinity"), "nodeAffinity"),
      api::GetArray(pod_spec, "tolerations"), spec.exclusive, static_cast<int>(placement.policy),
      placement.burst_after.count(), placement.burst_auto, placement.pools,
      placement.max_price_micros.value_or(-1), spec.active_deadline.value_or(Duration{-1}).count(),
      shape.os, std::move(scheduler), Defaulted(pod_spec)});
}

}  // namespace

void Shape::LookLike(const Shape& other) {
  requests = other.requests;
  host_ports = other.host_ports;
  requirements = other.requirements;
  node_selector = other.node_selector;
  affinity = other.affinity;
  tolerations = other.tolerations;
  exclusive = other.exclusive;
  via_scheduler = other.via_scheduler;
  os = other.os;
  deadline = other.deadline;
  placement = other.placement;
  admitted = other.admitted;
}

std::shared_ptr<const std::string> Shape::Template(const Json& pod_template) {
  std::string text = Dump(pod_template);
  if (last_template == nullptr || *last_template != text)
    last_template = std::make_shared<const std::string>(std::move(text));
  return last_template;
}

Result<Shape*> ShapeTable::Intern(const api::TaskSpec& spec) {
  const Json& pod_spec = api::GetObject(*spec.pod_template, "spec");
  auto requests = api::PodRequests(pod_spec);
  if (!requests) return requests.error();
  auto shape = std::make_unique<Shape>();
  shape->requests = std::move(*requests);
  shape->host_ports = api::DecodeHostPorts(pod_spec);
  shape->node_selector = api::GetStringMap(pod_spec, "nodeSelector");
  shape->via_scheduler = NeedsScheduler(pod_spec);
  shape->os = api::GetString(api::GetObject(pod_spec, "os"), "name");
  if (spec.placement) shape->placement = *spec.placement;
  const std::string key = Key(spec, pod_spec, *shape);
  auto& slot = shapes_[key];
  if (slot == nullptr) {
    shape->requirements = spec.requirements;
    shape->affinity = DecodeNodeAffinity(pod_spec);
    shape->tolerations = api::DecodeTolerations(pod_spec);
    shape->exclusive = spec.exclusive;
    shape->deadline = spec.active_deadline;
    Add(slot, key, std::move(shape));
  }
  ++slot->tasks;
  return slot.get();
}

void ShapeTable::Add(std::unique_ptr<Shape>& slot, const std::string& key,
                     std::unique_ptr<Shape> shape) {
  shape->key = key;
  shape->demand = Demand{shape->requests, shape->host_ports, true, shape->exclusive};
  shape->place = all_.size();
  all_.push_back(shape.get());
  cpu_milli_.insert(shape->requests.cpu_milli);
  memory_.insert(shape->requests.memory);
  slot = std::move(shape);
}

void ShapeTable::SetUntried(Shape& shape) {
  if (!std::exchange(shape.untried, true)) untried_.push_back(&shape);
}

const std::vector<Shape*>& ShapeTable::TakeUntried() {
  taken_.swap(untried_);
  untried_.clear();
  for (Shape* shape : taken_) shape->untried = false;
  return taken_;
}

Shape* ShapeTable::Unpaid(Shape& shape) {
  const std::string key = shape.key + "unpaid";
  auto& slot = shapes_[key];
  if (slot == nullptr) {
    auto unpaid = std::make_unique<Shape>();
    unpaid->LookLike(shape);
    unpaid->runs = shape.runs;
    unpaid->paid = &shape;
    shape.unpaid = unpaid.get();
    Add(slot, key, std::move(unpaid));
    ++shape.tasks;  // its own, while it exists
  }
  ++slot->tasks;
  Drop(&shape);
  return slot.get();
}

Shape* ShapeTable::Paid(Shape& shape) {
  Shape* paid = shape.paid;
  ++paid->tasks;
  Drop(&shape);
  return paid;
}

Shape& ShapeTable::Admitted(const Shape& asked, const std::string& ns, const Asks& asks) {
  Json affinity = Json::array(), tolerations = Json::array();
  const auto encode = [](const std::vector<api::Requirement>& all) {
    Json out = Json::array();
    for (const api::Requirement& each : all) out.push_back({each.key, each.op, each.values});
    return out;
  };
  for (const NodeSelectorTerm& term : asks.affinity)
    affinity.push_back({encode(term.labels), encode(term.fields)});
  for (const api::Toleration& each : asks.tolerations)
    tolerations.push_back({each.key, each.op, each.value, each.effect});
  const std::string key =
      asked.key + "admitted" +
      Dump(Json{ns, api::EncodeResources(asks.requests), asks.host_ports, asks.node_selector,
                std::move(affinity), std::move(tolerations)});
  auto& slot = shapes_[key];
  if (slot == nullptr) {
    auto shape = std::make_unique<Shape>();
    shape->LookLike(asked);
    shape->requests = asks.requests;
    shape->host_ports = asks.host_ports;
    shape->node_selector = asks.node_selector;
    shape->affinity = asks.affinity;
    shape->tolerations = asks.tolerations;
    shape->admitted = true;
    Add(slot, key, std::move(shape));
  }
  return *slot;
}

Shape& ShapeTable::Like(const Shape& asked, const std::string& key) {
  auto& slot = shapes_[key];
  if (slot == nullptr) {
    auto shape = std::make_unique<Shape>();
    shape->LookLike(asked);
    shape->runs = asked.runs;
    Add(slot, key, std::move(shape));
  }
  return *slot;
}

void ShapeTable::Unhold(Shape& shape) {
  if (--shape.holds == 0 && shape.tasks == 0) Remove(shape);
}

void ShapeTable::Drop(Shape* shape) {
  if (shape != nullptr && --shape->tasks == 0 && shape->holds == 0) Remove(*shape);
}

void ShapeTable::Remove(Shape& shape) {
  Shape* paid = shape.paid;
  if (paid != nullptr) paid->unpaid = nullptr;
  all_.back()->place = shape.place;
  all_[shape.place] = all_.back();
  all_.pop_back();
  if (shape.untried) std::erase(untried_, &shape);
  cpu_milli_.erase(cpu_milli_.find(shape.requests.cpu_milli));
  memory_.erase(memory_.find(shape.requests.memory));
  shapes_.erase(std::string(shape.key));
  Drop(paid);
}

}  // namespace spillway::core
