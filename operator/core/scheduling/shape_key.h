// What makes two tasks the same to every decision, as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/api/task_request.h"
#include "operator/core/scheduling/shape.h"

namespace spillway::core {

// Puts values one after the other, so that different lists of values are different texts. It is
// read by nobody. Each task that is seen needs one: hence no JSON in between.
class KeyText {
 public:
  KeyText& Add(int64_t value);
  KeyText& Add(std::string_view value);
  KeyText& Add(const std::vector<std::string>& values);
  KeyText& Add(const api::StringMap& values);
  KeyText& Add(const api::Resources& values);
  KeyText& Add(const api::Requirement& value);
  KeyText& AddJson(const api::Json& value);
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Of a task, whose own requests, ports, node selector, placement and operating system are those of
// the shape.
std::string ShapeKey(const api::TaskSpec& spec, const api::Json& pod_spec, const Shape& shape);
// Of what pods of the shape ask for in the namespace once they are admitted.
std::string AdmittedKey(const Shape& asked, const std::string& ns, const Asks& asks);

}  // namespace spillway::core
