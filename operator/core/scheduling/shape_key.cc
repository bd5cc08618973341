#include "operator/core/scheduling/shape_key.h"

#include <charconv>

#include "operator/base/json.h"

namespace spillway::core {
namespace {

using api::Json;

// What kube-scheduler decides by beside: what it refuses to one task it may give to another.
void AddForScheduler(KeyText& key, const api::TaskSpec& spec, const Json& pod_spec) {
  const Json& affinity = api::GetObject(pod_spec, "affinity");
  key.AddJson(api::GetObject(affinity, "podAffinity"))
      .AddJson(api::GetObject(affinity, "podAntiAffinity"))
      .AddJson(api::GetArray(pod_spec, "topologySpreadConstraints"))
      .AddJson(api::GetArray(pod_spec, "resourceClaims"))
      .AddJson(api::GetObject(api::GetObject(*spec.pod_template, "metadata"), "labels"));
  for (const Json& volume : api::GetArray(pod_spec, "volumes")) {
    for (const char* kind : {"persistentVolumeClaim", "ephemeral"}) {
      if (const auto at = volume.find(kind); at != volume.end()) key.AddJson(*at);
    }
  }
}

// What defaults of the namespace are added to: a LimitRange's to each container that lacks them, a
// RuntimeClass's to the pod.
void AddDefaulted(KeyText& key, const Json& pod_spec) {
  key.AddJson(api::GetObject(pod_spec, "resources"))
      .Add(api::GetString(pod_spec, "runtimeClassName"))
      .Add(api::GetString(pod_spec, "priorityClassName"));
  for (const char* list : {"initContainers", "containers"}) {
    const Json& containers = api::GetArray(pod_spec, list);
    key.Add(static_cast<int64_t>(containers.size()));
    for (const Json& container : containers) key.AddJson(api::GetObject(container, "resources"));
  }
}

}  // namespace

KeyText& KeyText::Add(int64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out_.append(digits, end);
  out_ += ';';
  return *this;
}

KeyText& KeyText::Add(std::string_view value) {
  Add(static_cast<int64_t>(value.size()));
  out_ += value;
  return *this;
}

KeyText& KeyText::Add(const std::vector<std::string>& values) {
  Add(static_cast<int64_t>(values.size()));
  for (const std::string& value : values) Add(value);
  return *this;
}

KeyText& KeyText::Add(const api::StringMap& values) {
  Add(static_cast<int64_t>(values.size()));
  for (const auto& [name, value] : values) Add(name).Add(value);
  return *this;
}

KeyText& KeyText::Add(const api::Resources& values) {
  Add(values.cpu_milli).Add(values.memory).Add(values.ephemeral);
  for (const auto& [name, amount] : values.extended) Add(name).Add(amount);
  return Add("");  // the end of them
}

KeyText& KeyText::Add(const api::Requirement& value) {
  return Add(value.key).Add(value.op).Add(value.values);
}

KeyText& KeyText::AddJson(const Json& value) {
  if (value.empty()) return Add("");
  out_ += static_cast<char>('a' + static_cast<int>(value.type()));
  if (const auto* text = value.get_ptr<const std::string*>()) return Add(*text);
  if (!value.is_structured()) return Add(Dump(value));
  Add(static_cast<int64_t>(value.size()));
  for (auto at = value.begin(); at != value.end(); ++at) {
    if (value.is_object()) Add(at.key());
    AddJson(*at);
  }
  return *this;
}

std::string ShapeKey(const api::TaskSpec& spec, const Json& pod_spec, const Shape& shape) {
  KeyText key;
  key.Add(shape.requests).Add(shape.host_ports).Add(shape.node_selector).Add(shape.os);
  key.Add(static_cast<int64_t>(spec.requirements.size()));
  for (const api::Requirement& requirement : spec.requirements) key.Add(requirement);
  const api::Placement& placement = shape.placement;
  key.Add(static_cast<int64_t>(placement.policy))
      .Add(placement.burst_after.count())
      .Add(placement.burst_auto)
      .Add(placement.pools)
      .Add(placement.max_price_micros.value_or(-1))
      .Add(spec.exclusive)
      .Add(spec.active_deadline.value_or(Duration{-1}).count())
      .AddJson(api::GetObject(api::GetObject(pod_spec, "affinity"), "nodeAffinity"))
      .AddJson(api::GetArray(pod_spec, "tolerations"));
  AddDefaulted(key, pod_spec);
  key.Add(shape.via_scheduler);
  if (shape.via_scheduler) AddForScheduler(key, spec, pod_spec);
  return key.Take();
}

std::string AdmittedKey(const Shape& asked, const std::string& ns, const Asks& asks) {
  KeyText key;
  key.Add(asked.key).Add("admitted").Add(ns);
  key.Add(asks.requests).Add(asks.host_ports).Add(asks.node_selector);
  key.Add(static_cast<int64_t>(asks.affinity.size()));
  for (const NodeSelectorTerm& term : asks.affinity) {
    for (const auto* list : {&term.labels, &term.fields}) {
      key.Add(static_cast<int64_t>(list->size()));
      for (const api::Requirement& each : *list) key.Add(each);
    }
  }
  key.Add(static_cast<int64_t>(asks.tolerations.size()));
  for (const api::Toleration& each : asks.tolerations)
    key.Add(each.key).Add(each.op).Add(each.value).Add(each.effect);
  return key.Take();
}

}  // namespace spillway::core
