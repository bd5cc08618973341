#include "operator/core/scheduling/shape.h"

#include <utility>

#include "operator/base/json.h"
#include "operator/core/scheduling/shape_key.h"

namespace spillway::core {

using api::Json;

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
  const std::string key = ShapeKey(spec, pod_spec, *shape);
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

Shape* ShapeTable::Unpaid(Shape& shape, int64_t payable_micros) {
  const std::string key = shape.key + "unpaid" + std::to_string(payable_micros);
  auto& slot = shapes_[key];
  if (slot == nullptr) {
    auto unpaid = std::make_unique<Shape>();
    unpaid->LookLike(shape);
    unpaid->runs = shape.runs;
    unpaid->paid = &shape;
    unpaid->payable_micros = payable_micros;
    unpaid->unpaid = std::exchange(shape.unpaid, unpaid.get());
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
  const std::string key = AdmittedKey(asked, ns, asks);
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
  for (Shape* at = paid; at != nullptr; at = at->unpaid) {
    if (at->unpaid == &shape) at->unpaid = shape.unpaid;
  }
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
