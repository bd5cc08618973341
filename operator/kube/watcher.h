// Follows one resource: lists it, then watches it, and lists it again when the server no longer has
// the history.
#pragma once

#include <chrono>
#include <functional>
#include <set>
#include <string>

#include "operator/kube/request.h"

namespace spillway::kube {

enum class WatchEvent { kListed, kUpsert, kDelete, kBookmark };

// Called from the watcher's thread.
struct WatchSink {
  // The object, or its last state where it was deleted. A bookmark carries only a version. Those of
  // a list come in no order of versions.
  std::function<void(WatchEvent, const Json& object)> event;
  // A complete list was delivered; keys are those of its objects ("namespace/name").
  std::function<void(int64_t version, std::set<std::string> keys)> listed;
  // A list begins: what was known of the resource may be old.
  std::function<void()> listing = [] {};
  // The list or watch failed and is tried again; called once for several failures in a row,
  // and with nothing once it works again.
  std::function<void(const std::optional<Error>&)> trouble;
};

// Sleeps for so long, or until stopped.
void SleepFor(std::chrono::milliseconds time, std::stop_token stop);

struct WatchOptions {
  Resource resource;
  std::string ns;         // empty: all namespaces
  bool optional = false;  // a resource that does not exist counts as an empty list
  int64_t page = 500;     // objects per page of a list, where lists cannot be streamed
  // Replaced in tests.
  std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = SleepFor;
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

// Runs until stopped.
void Watch(Transport& transport, const WatchOptions& options, const WatchSink& sink,
           std::stop_token stop);

}  // namespace spillway::kube
