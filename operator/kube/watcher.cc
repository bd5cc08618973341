#include "operator/kube/watcher.h"

#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

namespace spillway::kube {
namespace {

constexpr int kWatchSeconds = 300;
constexpr std::chrono::milliseconds kFirstBackoff{200}, kLastBackoff{15'000}, kMissingRetry{5'000};

std::string Text(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::string KeyOf(const Json& object) {
  const Json& meta = object.at("metadata");
  const std::string ns = Text(meta, "namespace"), name = Text(meta, "name");
  return ns.empty() ? name : ns + "/" + name;
}

class Session {
 public:
  Session(Transport& transport, const WatchOptions& options, const WatchSink& sink,
          std::stop_token stop)
      : transport_(transport), options_(options), sink_(sink), stop_(std::move(stop)) {}

  void Run() {
    while (!stop_.stop_requested()) {
      const auto error = version_.empty() && !streams_lists_ ? List() : Follow();
      if (!error) {
        if (!version_.empty()) Recovered();
        continue;
      }
      if (error->kind == ErrorKind::kCancelled) return;
      if (error->kind == ErrorKind::kGone) {
        version_.clear();
        continue;
      }
      if (error->kind == ErrorKind::kNotFound && options_.optional) {
        sink_.listed(0, {});
        SleepFor(kMissingRetry * 4, stop_);
        continue;
      }
      Backoff(*error);
    }
  }

 private:
  std::optional<Error> List() {
    BeginList();
    std::string next, version;
    do {
      const auto page =
          Call(transport_, ListRequest(options_.resource, options_.ns, options_.page, next), stop_);
      if (!page) return page.error();
      const Json& meta = page->at("metadata");
      version = Text(meta, "resourceVersion");
      next = Text(meta, "continue");
      for (const Json& item : page->at("items")) AddListed(item);
    } while (!next.empty());
    CompleteList(std::move(version));
    return std::nullopt;
  }

  Request Next() {
    // Not all watches end in the same second.
    const int timeout = kWatchSeconds + static_cast<int>(random_() % 60);
    if (!version_.empty()) return WatchRequest(options_.resource, options_.ns, version_, timeout);
    BeginList();
    return StreamingListRequest(options_.resource, options_.ns, timeout);
  }

  std::optional<Error> Follow() {
    std::optional<Error> failed;
    LineSplitter lines;
    const auto end = transport_.Stream(Next(), stop_, [&](std::string_view piece) {
      lines.Feed(piece, [&](std::string_view line) {
        if (!failed) failed = Take(line);
      });
      if (!version_.empty()) Recovered();
    });
    if (failed) return failed;
    if (!end) return end.error();
    if (end->status != 200) {
      Error error = ReadResponse(*end).error();
      if (!version_.empty() || error.kind != ErrorKind::kInvalid) return error;
      streams_lists_ = false;
      return std::nullopt;
    }
    if (version_.empty())
      return Error{ErrorKind::kUnavailable, "the list ended before it was complete", std::nullopt};
    return std::nullopt;
  }

  std::optional<Error> Take(std::string_view line) {
    const Json event = Json::parse(line, nullptr, false);
    if (!event.is_object() || !event.contains("object")) {
      return Error{ErrorKind::kUnavailable, "the watch sent a line that is not an event",
                   std::nullopt};
    }
    const std::string type = Text(event, "type");
    const Json& object = event.at("object");
    if (type == "ERROR") {
      const auto code = object.find("code");
      const bool gone = code != object.end() && *code == 410;
      return Error{gone ? ErrorKind::kGone : ErrorKind::kUnavailable, Text(object, "message"),
                   std::nullopt};
    }
    if (!object.is_object() || !object.contains("metadata")) return std::nullopt;
    if (version_.empty()) {
      TakeListed(type, object);
      return std::nullopt;
    }
    version_ = Text(object.at("metadata"), "resourceVersion");
    const WatchEvent what = type == "DELETED"    ? WatchEvent::kDelete
                            : type == "BOOKMARK" ? WatchEvent::kBookmark
                                                 : WatchEvent::kUpsert;
    sink_.event(what, object);
    return std::nullopt;
  }

  // Before the end of a streamed list.
  void TakeListed(const std::string& type, const Json& object) {
    const Json& meta = object.at("metadata");
    if (type == "DELETED") {
      keys_.erase(KeyOf(object));
    } else if (type != "BOOKMARK") {
      AddListed(object);
    } else if (meta.contains("annotations") && meta["annotations"].contains(kInitialEventsEnd)) {
      CompleteList(Text(meta, "resourceVersion"));
    }
  }

  // Of a list, in pages or streamed.
  void BeginList() {
    keys_.clear();
    sink_.listing();
  }
  void AddListed(const Json& object) {
    keys_.insert(KeyOf(object));
    sink_.event(WatchEvent::kListed, object);
  }
  void CompleteList(std::string version) {
    version_ = std::move(version);
    sink_.listed(std::strtoll(version_.c_str(), nullptr, 10), std::exchange(keys_, {}));
  }

  void Recovered() {
    if (failures_ == 0) return;
    failures_ = 0;
    sink_.trouble(std::nullopt);
  }

  void Backoff(const Error& error) {
    if (failures_++ == 0) sink_.trouble(error);
    auto wait = std::min(kFirstBackoff * (1 << std::min(failures_, 7)), kLastBackoff);
    if (error.kind == ErrorKind::kNotFound) wait = kMissingRetry;
    if (error.retry_after) wait = std::max<std::chrono::milliseconds>(wait, *error.retry_after);
    SleepFor(wait + std::chrono::milliseconds(random_() % 200), stop_);
  }

  Transport& transport_;
  const WatchOptions& options_;
  const WatchSink& sink_;
  std::stop_token stop_;
  std::string version_;         // empty: list first
  std::set<std::string> keys_;  // of a list that is under way
  bool streams_lists_ = true;   // until the API server refuses
  int failures_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace

void SleepFor(std::chrono::milliseconds time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
}

void Watch(Transport& transport, const WatchOptions& options, const WatchSink& sink,
           std::stop_token stop) {
  Session(transport, options, sink, std::move(stop)).Run();
}

}  // namespace spillway::kube
