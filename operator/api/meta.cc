#include "operator/api/meta.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <set>

#include "operator/base/foreign_text.h"

namespace spillway::api {
namespace {

// Whole numbers beyond it are not the same to every reader of JSON (RFC 8259, section 6).
constexpr uint64_t kLargestInt = uint64_t{1} << 53;
// A hundred years: longer than anyone waits, and far from the end of the range of milliseconds.
constexpr int64_t kLongestSeconds = int64_t{100} * 366 * 24 * 3600;

const Json* Find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() ? nullptr : &*at;
}

}  // namespace

std::string GetString(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

std::optional<int64_t> GetOptionalInt(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned() && value->get<uint64_t>() > kLargestInt) return std::nullopt;
  if (!value->is_number_integer() || value->get<int64_t>() < -static_cast<int64_t>(kLargestInt))
    return std::nullopt;
  return value->get<int64_t>();
}

std::optional<Duration> GetSeconds(const Json& object, const char* key) {
  const auto seconds = GetOptionalInt(object, key);
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(std::clamp<int64_t>(*seconds, 0, kLongestSeconds));
}

int64_t GetInt(const Json& object, const char* key, int64_t otherwise) {
  return GetOptionalInt(object, key).value_or(otherwise);
}

bool GetBool(const Json& object, const char* key, bool otherwise) {
  const Json* value = Find(object, key);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

std::optional<Time> GetTime(const Json& object, const char* key) {
  return ParseTime(GetString(object, key));
}

int64_t GetCount(const Json& object, const char* key, int64_t most, int64_t otherwise) {
  return std::clamp<int64_t>(GetInt(object, key, otherwise), 0, most);
}

StringMap GetStringMap(const Json& object, const char* key) {
  StringMap out;
  for (const auto& [name, value] : GetObject(object, key).items()) {
    if (value.is_string()) out.emplace(name, value.get<std::string>());
  }
  return out;
}

std::vector<std::string> GetStrings(const Json& object, const char* key) {
  std::vector<std::string> out;
  for (const Json& value : GetArray(object, key)) {
    if (value.is_string()) out.push_back(value.get<std::string>());
  }
  return out;
}

const Json& GetObject(const Json& object, const char* key) {
  static const Json kEmpty = Json::object();
  const Json* value = Find(object, key);
  return value != nullptr && value->is_object() ? *value : kEmpty;
}

const Json& GetArray(const Json& object, const char* key) {
  static const Json kEmpty = Json::array();
  const Json* value = Find(object, key);
  return value != nullptr && value->is_array() ? *value : kEmpty;
}

ObjectMeta DecodeMeta(const Json& object) {
  const Json& json = GetObject(object, "metadata");
  ObjectMeta meta;
  meta.ns = GetString(json, "namespace");
  meta.name = GetString(json, "name");
  meta.uid = GetString(json, "uid");
  meta.resource_version = std::strtoll(GetString(json, "resourceVersion").c_str(), nullptr, 10);
  meta.generation = GetInt(json, "generation");
  meta.labels = GetStringMap(json, "labels");
  for (const Json& owner : GetArray(json, "ownerReferences")) {
    const std::string api_version = GetString(owner, "apiVersion");
    meta.owners.push_back({GetString(owner, "kind"), GetString(owner, "name"),
                           GetString(owner, "uid"), GetBool(owner, "controller"),
                           api_version.substr(0, api_version.find('/')) == kGroup});
  }
  meta.created = GetTime(json, "creationTimestamp").value_or(Time{});
  meta.deleted = GetTime(json, "deletionTimestamp");
  return meta;
}

namespace {

// The words that most conditions are made of are shared by all of them.
Text Word(std::string_view word) {
  static const std::array<Text, 7> kWords{"Ready", "Reconciling", "Stalled", "Assigned",
                                          "True",  "False",       "Unknown"};
  const auto known = std::find(kWords.begin(), kWords.end(), word);
  return known == kWords.end() ? Text(std::string(word)) : *known;
}

// Whatever else stands in a status is not ours, and there is no room for it beside ours: a list of
// conditions holds so many of different types.
bool IsOurs(const std::string& type, const std::string& status) {
  static const std::set<std::string, std::less<>> kTypes{
      "Ready",  "Reconciling", "Stalled",    "Assigned", "Complete",
      "Failed", "Available",   "BackingOff", "Warning",  "Exceeded"};
  static const std::set<std::string, std::less<>> kStatuses{"True", "False", "Unknown"};
  return kTypes.contains(type) && kStatuses.contains(status);
}

}  // namespace

std::vector<Condition> DecodeConditions(const Json& status) {
  std::vector<Condition> out;
  for (const Json& json : GetArray(status, "conditions")) {
    const std::string type = GetString(json, "type"), is = GetString(json, "status");
    if (!IsOurs(type, is) || FindCondition(out, type) != nullptr) continue;
    out.push_back({Word(type), Word(is), GetString(json, "reason"), GetString(json, "message"),
                   GetInt(json, "observedGeneration"),
                   GetTime(json, "lastTransitionTime").value_or(Time{})});
  }
  return out;
}

Json EncodeConditions(const std::vector<Condition>& conditions) {
  Json out = Json::array();
  for (const Condition& condition : conditions) {
    // Lists in braces would copy each of them twice.
    Json& json = out.emplace_back(Json::object());
    json.emplace("type", condition.type.str());
    json.emplace("status", condition.status.str());
    json.emplace("reason", condition.reason.str());
    json.emplace("message", condition.message.str());
    json.emplace("observedGeneration", condition.observed_generation);
    json.emplace("lastTransitionTime", FormatTime(condition.last_transition));
  }
  return out;
}

const Condition* FindCondition(const std::vector<Condition>& conditions, std::string_view type) {
  const auto at = std::find_if(conditions.begin(), conditions.end(),
                               [&](const Condition& condition) { return condition.type == type; });
  return at == conditions.end() ? nullptr : &*at;
}

void SetCondition(std::vector<Condition>& conditions, Condition condition, Time now) {
  condition.type = Word(condition.type.str());
  condition.status = Word(condition.status.str());
  condition.reason = LineText(condition.reason, kMostReason);
  condition.message = BoundedText(condition.message, kMostConditionMessage);
  const Condition* known = FindCondition(conditions, condition.type.str());
  // Whole seconds, as the API keeps them: what was read back equals what was written.
  const Time moment = std::chrono::floor<std::chrono::seconds>(now);
  condition.last_transition =
      known != nullptr && known->status == condition.status ? known->last_transition : moment;
  if (known == nullptr) {
    conditions.push_back(std::move(condition));
  } else {
    conditions[static_cast<size_t>(known - conditions.data())] = std::move(condition);
  }
}

void SetProgress(std::vector<Condition>& conditions, Progress progress, const Text& reason,
                 const Text& message, int64_t generation, Time now) {
  if (conditions.empty()) conditions.reserve(3);
  // Mostly it is a line, and the three share it.
  const Text line = LineText(message, kMostLine);
  const auto set = [&](const char* type, Progress when) {
    const bool is = progress == when;
    const Text& text = is && when != Progress::kReady ? message : line;
    SetCondition(conditions,
                 {Word(type), Word(is ? "True" : "False"), reason, text, generation, {}}, now);
  };
  set("Ready", Progress::kReady);
  set("Reconciling", Progress::kReconciling);
  set("Stalled", Progress::kStalled);
}

namespace {

// At least as many bytes as the texts in it take in JSON; the rest is little.
size_t TextSize(const Json& json) {
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    const auto escaped = std::count_if(text.begin(), text.end(), [](unsigned char c) {
      return c < 0x20 || c == '"' || c == '\\' || c == 0x7F;
    });
    return text.size() + 5 * static_cast<size_t>(escaped) + 3;
  }
  size_t size = 24;  // a number, or the signs around it
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) size += key.size() + 4 + TextSize(value);
  } else if (json.is_array()) {
    for (const Json& value : json) size += TextSize(value);
  }
  return size;
}

void BoundTexts(Json& json, size_t most) {
  if (json.is_string()) {
    auto& text = json.get_ref<std::string&>();
    if (text.size() > most) text = Bounded(text, most);
  } else if (json.is_structured()) {
    for (Json& value : json) BoundTexts(value, most);
  }
}

}  // namespace

Json BoundedStatus(Json status) {
  for (const size_t most : {2048, 512, 128, 64}) {
    if (TextSize(status) <= kMostStatus) break;
    BoundTexts(status, most);
  }
  return status;
}

}  // namespace spillway::api
