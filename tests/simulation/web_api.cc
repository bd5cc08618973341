#include "tests/simulation/web_api.h"

#include <algorithm>

#include "operator/base/json.h"
#include "operator/kube/request.h"
#include "tests/simulation/object_json.h"
#include "tests/simulation/web_request.h"

namespace spillway::simulation {
namespace {

using api::Json;

Json StatusOf(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
          {"status", "Failure"}, {"message", message}, {"reason", reason},
          {"code", code}};
}

kube::Response Refusal(int code, const std::string& reason, const std::string& message,
                       const std::string& name = "") {
  Json status = StatusOf(code, reason, message);
  if (!name.empty()) status["details"] = {{"name", name}};
  return {code, Dump(status), std::nullopt};
}

kube::Response Forbidden() { return Refusal(403, "Forbidden", "not allowed"); }

kube::Response NoSuchPath() { return {404, "404 page not found\n", std::nullopt}; }

bool IsIn(const std::string& ns, const std::string& key) {
  return ns.empty() || key.starts_with(ns + "/");
}

std::string LineOf(const char* type, const Json& object) {
  return Dump({{"type", type}, {"object", object}}) + "\n";
}

Json Written(const ApiServer& api, const core::Object& object) {
  return Encode(object, api.Manifest(UidOf(object)));
}

std::string LineOf(const ApiServer& api, const Change& change) {
  if (change.object == nullptr) {
    Json last = Written(api, *change.last);
    last["metadata"]["resourceVersion"] = std::to_string(change.version);
    return LineOf("DELETED", last);
  }
  const bool fresh = change.uid == "uid-" + std::to_string(change.version);
  return LineOf(fresh ? "ADDED" : "MODIFIED", Written(api, *change.object));
}

std::string Bookmark(int64_t version, bool ends_list) {
  Json meta{{"resourceVersion", std::to_string(version)}};
  if (ends_list) meta["annotations"] = {{kube::kInitialEventsEnd, "true"}};
  return LineOf("BOOKMARK", {{"metadata", std::move(meta)}});
}

kube::Response Refusal(const Error& error, const std::string& name) {
  switch (error.kind) {
    case ErrorKind::kNotFound:
      return Refusal(404, "NotFound", error.message, name);
    case ErrorKind::kAlreadyExists:
      return Refusal(409, "AlreadyExists", error.message, name);
    case ErrorKind::kConflict:
      return Refusal(409, "Conflict", error.message, name);
    case ErrorKind::kForbidden:
      return Refusal(403, "Forbidden", error.message, name);
    case ErrorKind::kInvalid:
      return Refusal(422, "Invalid", error.message, name);
    default:
      return Refusal(500, "InternalError", error.message);
  }
}

}  // namespace

kube::Response WebApi::Carry(const core::Write& write) {
  auto answer = api_.Carry(write);
  if (!answer) return Refusal(answer.error(), write.name);
  if (!*answer) {
    Json status{{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Success"}};
    return {200, Dump(status), std::nullopt};
  }
  const bool made = write.verb == core::Verb::kCreate;
  return {made ? 201 : 200, Dump(Written(api_, **answer)), std::nullopt};
}

kube::Response WebApi::Handle(const kube::Request& request, const core::Write* decided) {
  const auto target = TargetOf(request.path);
  if (!target) return NoSuchPath();
  if (request.method != "GET") {
    auto write = WriteOf(request, *target);
    if (write && decided != nullptr) {
      write->pod = decided->pod;
      if (write->verb == core::Verb::kCreate) write->uid = decided->uid;
    }
    return write ? Carry(*write) : Refusal(405, "MethodNotAllowed", "the operator sends no such");
  }
  if (api_.Denies(target->kind)) return Forbidden();
  if (target->name.empty()) return List(target->kind, target->ns, target->query);
  const auto& all = api_.All(target->kind);
  const auto at = all.find(target->key());
  if (at == all.end())
    return Refusal(404, "NotFound", "\"" + target->name + "\" not found", target->name);
  return {200, Dump(Written(api_, *at->second)), std::nullopt};
}

kube::Response WebApi::List(Kind kind, const std::string& ns, const Query& query) {
  if (const auto token = query.find("continue"); token != query.end()) {
    const auto known = pages_.find(token->second);
    if (known == pages_.end()) return Refusal(400, "BadRequest", "continue key is not valid");
    if (known->second.version < api_.forgotten(kind))
      return Refusal(410, "Expired", "The provided continue parameter is too old");
    return GivePage(known->second, query);
  }
  Page all{api_.version(), {}};
  for (const auto& [key, object] : api_.All(kind)) {
    if (IsIn(ns, key)) all.rest.push_back(Written(api_, *object));
  }
  return GivePage(std::move(all), query);
}

kube::Response WebApi::GivePage(Page page, const Query& query) {
  const auto limit = query.find("limit");
  const size_t most = limit == query.end() ? 0 : std::stoul(limit->second);
  const size_t count = most == 0 ? page.rest.size() : std::min(most, page.rest.size());
  const auto end = page.rest.begin() + static_cast<std::ptrdiff_t>(count);
  Json list{{"metadata", {{"resourceVersion", std::to_string(page.version)}}},
            {"items", Json(std::vector<Json>(page.rest.begin(), end))}};
  page.rest.erase(page.rest.begin(), end);
  if (!page.rest.empty()) {
    const std::string token = "page-" + std::to_string(++tokens_);
    list["metadata"]["continue"] = token;
    list["metadata"]["remainingItemCount"] = page.rest.size();
    pages_[token] = std::move(page);
  }
  return {200, Dump(list), std::nullopt};
}

kube::Response WebApi::Open(const kube::Request& request, std::optional<OpenWatch>& watch) {
  const auto target = TargetOf(request.path);
  if (!target) return NoSuchPath();
  if (api_.Denies(target->kind)) return Forbidden();
  const Query& query = target->query;
  OpenWatch out;
  out.kind = target->kind;
  out.ns = target->ns;
  out.spoke = api_.now;
  out.bookmarks = query.contains("allowWatchBookmarks");
  const auto time = query.find("timeoutSeconds");
  out.ends =
      time == query.end() ? kNever : api_.now + std::chrono::seconds(std::stol(time->second));
  out.next = api_.end(out.kind);
  const bool lists = query.contains("sendInitialEvents");
  const auto from = query.find("resourceVersion");
  if (!lists && from != query.end() && !from->second.empty() && from->second != "0") {
    Rewind(std::stoll(from->second), out);
  } else {
    BeginWithAll(out);
    if (lists) out.first.push_back(Bookmark(api_.version(), true));
  }
  watch = std::move(out);
  return {200, "", std::nullopt};
}

void WebApi::BeginWithAll(OpenWatch& watch) const {
  for (const auto& [key, object] : api_.All(watch.kind)) {
    if (IsIn(watch.ns, key)) watch.first.push_back(LineOf("ADDED", Written(api_, *object)));
  }
}

void WebApi::Rewind(int64_t version, OpenWatch& watch) const {
  if (version < api_.forgotten(watch.kind)) return Expire(watch);
  while (watch.next > api_.first(watch.kind) &&
         api_.at(watch.kind, watch.next - 1).version > version)
    --watch.next;
}

void WebApi::Expire(OpenWatch& watch) const {
  watch.first.push_back(LineOf("ERROR", StatusOf(410, "Expired", "too old resource version")));
  watch.over = true;
}

bool WebApi::HasNews(const OpenWatch& watch) const {
  return !watch.first.empty() || watch.over || watch.next != api_.end(watch.kind) ||
         api_.now >= watch.ends || (watch.bookmarks && api_.now - watch.spoke >= kBookmarkEvery);
}

std::string WebApi::Read(std::optional<OpenWatch>& watch, size_t most) const {
  std::string out;
  OpenWatch& from = *watch;
  const auto send_first = [&] {
    for (; most > 0 && !from.first.empty(); --most) {
      out += from.first.front();
      from.first.pop_front();
    }
  };
  send_first();
  if (from.first.empty() && !from.over && from.next < api_.first(from.kind)) {
    Expire(from);
    send_first();
  }
  for (; most > 0 && !from.over && from.next < api_.end(from.kind); --most) {
    const Change& change = api_.at(from.kind, from.next++);
    if (IsIn(from.ns, change.key)) out += LineOf(api_, change);
  }
  const bool rests = out.empty() && most > 0;
  if (rests && from.bookmarks && !from.over && api_.now - from.spoke >= kBookmarkEvery)
    out += Bookmark(api_.version(), false);
  if (!out.empty()) from.spoke = api_.now;
  if (out.empty() && rests && (from.over || api_.now >= from.ends)) watch.reset();
  return out;
}

}  // namespace spillway::simulation
