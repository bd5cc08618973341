#include "operator/runtime/chronicle.h"

#include "operator/base/time.h"

namespace spillway::runtime {
namespace {

using core::ScaleMilestone;
using core::TaskMilestone;
using Step = core::TaskMilestone::Step;

Fields OfTask(std::string ns, std::string task, std::string uid, int64_t attempt) {
  return {{"namespace", std::move(ns)},
          {"task", std::move(task)},
          {"uid", std::move(uid)},
          {"attempt", attempt}};
}

void Add(Fields& fields, const char* key, const std::string& text) {
  if (!text.empty()) fields.push_back({key, text});
}

void AddTime(Fields& fields, const char* key, const std::optional<Duration>& time) {
  if (time) fields.push_back({key, FormatDuration(*time)});
}

const char* MessageOf(const TaskMilestone& milestone) {
  switch (milestone.step) {
    case Step::kBound:
      return "task bound";
    case Step::kRunning:
      return "task runs";
    case Step::kAttemptEnded:
      return "attempt ended";
    case Step::kEnded:
      break;
  }
  return "task ended";
}

Line Tell(const TaskMilestone& milestone) {
  Line line;
  line.message = MessageOf(milestone);
  line.fields = OfTask(milestone.ns, milestone.name, milestone.uid, milestone.attempt);
  Add(line.fields, "server", milestone.server);
  Add(line.fields, "pool", milestone.pool);
  if (milestone.step == Step::kEnded)
    line.fields.push_back({"result", api::ToString(milestone.phase)});
  Add(line.fields, "reason", milestone.reason);
  Add(line.fields, "message", milestone.message);
  AddTime(line.fields, "waited", milestone.waited);
  AddTime(line.fields, "ran", milestone.ran);
  return line;
}

Line Tell(const ScaleMilestone& milestone) {
  const bool failed = milestone.phase == api::ScalePhase::kFailed;
  Line line;
  line.level = failed ? spdlog::level::warn : spdlog::level::info;
  line.verbosity = 1;
  line.message = failed ? "purchase failed" : "scale request moved on";
  line.fields = {{"scaleRequest", milestone.name},
                 {"scaleRequestUID", milestone.uid},
                 {"pool", milestone.pool},
                 {"phase", api::ToString(milestone.phase)}};
  if (milestone.error != api::CloudError::kNone)
    line.fields.push_back({"class", api::ToString(milestone.error)});
  Add(line.fields, "message", milestone.message);
  AddTime(line.fields, "sinceRequest", milestone.since_request);
  return line;
}

// The next tells the end of the task, by that of this attempt.
bool EndsTask(const core::Milestone& milestone, const core::Milestone& next) {
  const auto* attempt = std::get_if<TaskMilestone>(&milestone);
  const auto* end = std::get_if<TaskMilestone>(&next);
  return attempt != nullptr && end != nullptr && attempt->step == Step::kAttemptEnded &&
         end->step == Step::kEnded && attempt->uid == end->uid;
}

}  // namespace

std::vector<Line> LinesOf(const std::vector<core::Milestone>& milestones) {
  std::vector<Line> lines;
  for (size_t i = 0; i < milestones.size(); ++i) {
    if (i + 1 < milestones.size() && EndsTask(milestones[i], milestones[i + 1])) continue;
    lines.push_back(std::visit([](const auto& each) { return Tell(each); }, milestones[i]));
  }
  return lines;
}

std::optional<Line> LineOf(const core::Note& note) {
  Line line;
  line.message = note.message;
  if (note.kind == core::Kind::kTask) {
    // What ends an attempt is told as that.
    if (note.warning && note.reason != "FailedCreate") return std::nullopt;
    line.fields = OfTask(note.ns, note.name, note.uid, note.attempt);
  } else if (note.kind == core::Kind::kScale) {
    return std::nullopt;
  } else {
    line.fields = {{"kind", core::ToString(note.kind)},
                   {"namespace", note.ns},
                   {"name", note.name},
                   {"objectUID", note.uid}};
  }
  line.level = note.warning ? spdlog::level::warn : spdlog::level::info;
  line.fields.push_back({"reason", note.reason});
  return line;
}

Fields TaskFields(const core::Effect& effect) {
  if (const auto* note = std::get_if<core::Note>(&effect)) {
    if (note->kind != core::Kind::kTask) return {};
    return OfTask(note->ns, note->name, note->uid, note->attempt);
  }
  const auto* write = std::get_if<core::Write>(&effect);
  if (write == nullptr) return {};
  if (write->pod)
    return OfTask(write->ns, write->pod->task, write->uid, write->pod->assignment->attempt);
  if (!write->task_uid.empty())
    return OfTask(write->ns, write->task, write->task_uid, write->attempt);
  if (write->kind != core::Kind::kTask) return {};
  const auto& assignment = api::GetObject(write->body, "assignment");
  return OfTask(write->ns, write->name, write->uid, api::GetInt(assignment, "attempt"));
}

void WriteLines(const std::vector<Line>& lines) {
  for (const Line& line : lines) Log(line.level, line.verbosity, line.message, line.fields);
}

}  // namespace spillway::runtime
