// The engines of this operator, by the member of spec.backend that each serves.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/cloud/engine.h"

namespace spillway::cloud {

// Filled before any thread reads it.
class Engines {
 public:
  // Replaces one of the same name.
  template <typename T>
  T& Add(std::unique_ptr<T> engine) {
    T& added = *engine;
    by_name_[engine->traits().name] = std::move(engine);
    return added;
  }
  // Null if there is none.
  Engine* Find(const std::string& name) const {
    const auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second.get();
  }
  std::vector<api::EngineTraits> traits() const {
    std::vector<api::EngineTraits> out;
    for (const auto& [name, engine] : by_name_) out.push_back(engine->traits());
    return out;
  }
  std::vector<Engine*> all() const {
    std::vector<Engine*> out;
    for (const auto& [name, engine] : by_name_) out.push_back(engine.get());
    return out;
  }

 private:
  std::map<std::string, std::unique_ptr<Engine>> by_name_;
};

}  // namespace spillway::cloud
