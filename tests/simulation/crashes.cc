#include "tests/simulation/crashes.h"

namespace spillway::simulation {
namespace {

using core::AskCloud;
using core::Effect;
using core::Kind;
using core::Verb;
using core::Write;

bool Is(const Effect& effect, Verb verb, Kind kind) {
  const auto* write = std::get_if<Write>(&effect);
  return write != nullptr && write->verb == verb && write->kind == kind;
}

bool Asks(const Effect& effect, AskCloud::Op op) {
  const auto* ask = std::get_if<AskCloud>(&effect);
  return ask != nullptr && ask->op == op;
}

// A status with that phase, or with the other.
bool Says(const Effect& effect, Kind kind, std::string_view phase, std::string_view other) {
  if (!Is(effect, Verb::kPatchStatus, kind)) return false;
  const std::string says = api::GetString(std::get<Write>(effect).body, "phase");
  return says == phase || says == other;
}

struct Point {
  const char* name;
  bool carried;
  bool (*at)(const Effect& effect);
};

constexpr Point kPoints[] = {
    {"crash: a pod is created", true,
     [](const Effect& e) { return Is(e, Verb::kCreate, Kind::kPod); }},
    {"crash: a pod is to be created", false,
     [](const Effect& e) { return Is(e, Verb::kCreate, Kind::kPod); }},
    {"crash: a pod is deleted", true,
     [](const Effect& e) { return Is(e, Verb::kDelete, Kind::kPod); }},
    {"crash: a request is created", true,
     [](const Effect& e) { return Is(e, Verb::kCreate, Kind::kScale); }},
    {"crash: an engine was asked", true,
     [](const Effect& e) { return Asks(e, AskCloud::Op::kEnsure); }},
    {"crash: a server is released", true,
     [](const Effect& e) { return Asks(e, AskCloud::Op::kRelease); }},
    {"crash: a server is about to be released", false,
     [](const Effect& e) { return Asks(e, AskCloud::Op::kRelease); }},
    {"crash: an assignment is written", true,
     [](const Effect& e) { return Says(e, Kind::kTask, "Assigned", ""); }},
    {"crash: a task's end is written", true,
     [](const Effect& e) { return Says(e, Kind::kTask, "Succeeded", "Failed"); }},
    {"crash: a purchase is written", true,
     [](const Effect& e) { return Says(e, Kind::kScale, "Provisioning", "Ready"); }},
    {"crash: a purchase's end is written", true,
     [](const Effect& e) { return Says(e, Kind::kScale, "Released", "Failed"); }},
};

}  // namespace

void Crashes::Arm(Random& random) {
  armed_ = random.Pick(std::size(kPoints));
  pause_ = std::chrono::milliseconds(random.OneIn(2) ? 0 : random.Pick(20'000));
}

const char* Crashes::Meet(const Effect& effect, bool carried) {
  if (!armed_) return nullptr;
  const Point& point = kPoints[*armed_];
  if (point.carried != carried || !point.at(effect)) return nullptr;
  armed_.reset();
  return point.name;
}

void Crashes::NameAll(std::map<std::string, size_t>& happened) {
  for (const Point& point : kPoints) happened[point.name];
}

}  // namespace spillway::simulation
