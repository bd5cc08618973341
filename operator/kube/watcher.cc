#include "operator/kube/watcher.h"

#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

#include "operator/base/backoff.h"
#include "operator/base/foreign_text.h"
#include "operator/base/json.h"

namespace spillway::kube {
namespace {

constexpr int kWatchSeconds = 300;
constexpr BackoffRange kBackoff{std::chrono::milliseconds(400), std::chrono::milliseconds(15'000)};
constexpr std::chrono::milliseconds kMissingRetry{5'000};
// A watch that lasted for so long counts as working; so many shorter ones in a row are a failure.
constexpr std::chrono::seconds kSteady{5};
constexpr int kMostShort = 4;
// The API server says at least once a minute how far a watch is. One that says nothing for longer
// may be waiting for a version that is still to come: where an etcd was restored, it is older than
// ours.
constexpr std::chrono::seconds kSilent{100};
using Clock = std::chrono::steady_clock;

std::string KeyOf(const Json& object) {
  const Json& meta = PartOf(object, "metadata");
  const std::string ns = TextOf(meta, "namespace"), name = TextOf(meta, "name");
  return ns.empty() ? name : ns + "/" + name;
}

class Session {
 public:
  Session(Transport& transport, const WatchOptions& options, const WatchSink& sink,
          std::stop_token stop)
      : transport_(transport), options_(options), sink_(sink), stop_(std::move(stop)) {}

  void Run() {
    while (!stop_.stop_requested()) {
      const bool list = version_.empty() && !streams_lists_;
      const auto begin = options_.now();
      heard_ = false;
      const auto error = list ? List() : Follow();
      if (!list && !heard_ && options_.now() - begin >= kSilent) version_.clear();
      const bool gone = error && error->kind == ErrorKind::kGone;
      if (error && error->kind == ErrorKind::kCancelled) return;
      if (error && error->kind == ErrorKind::kNotFound && options_.optional) {
        sink_.listed(0, {});
        options_.sleep(kMissingRetry * 4, stop_);
      } else if (error && !gone) {
        Backoff(*error);
      } else if (list && !gone) {
        Recovered();
      } else if (gone || !version_.empty()) {
        if (gone) version_.clear();
        Ended(options_.now() - begin);
      }
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
      const Json &meta = PartOf(*page, "metadata"), &items = PartOf(*page, "items");
      version = TextOf(meta, "resourceVersion");
      next = TextOf(meta, "continue");
      if (version.empty() || !(items.is_array() || items.is_null()))
        return Error{ErrorKind::kUnavailable, "the answer is not a list"};
      for (const Json& item : items) AddListed(item);
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
      if (!version_.empty() && !failed) Recovered();
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
    heard_ = true;
    const Json event = ParseJson(line);
    const Json& object = PartOf(event, "object");
    if (!object.is_object())
      return Error{ErrorKind::kUnavailable,
                   "the watch sent a line that is not an event: " + OneLine(line, kMostLine)};
    const std::string type = TextOf(event, "type");
    if (type == "ERROR") {
      return Error{PartOf(object, "code") == 410 ? ErrorKind::kGone : ErrorKind::kUnavailable,
                   Bounded(TextOf(object, "message"), kMostMessage)};
    }
    const Json& meta = PartOf(object, "metadata");
    if (!meta.is_object()) return std::nullopt;
    if (version_.empty()) {
      TakeListed(type, object);
      return std::nullopt;
    }
    if (std::string version = TextOf(meta, "resourceVersion"); !version.empty())
      version_ = std::move(version);
    const WatchEvent what = type == "DELETED"    ? WatchEvent::kDelete
                            : type == "BOOKMARK" ? WatchEvent::kBookmark
                                                 : WatchEvent::kUpsert;
    sink_.event(what, object);
    return std::nullopt;
  }

  // Before the end of a streamed list.
  void TakeListed(const std::string& type, const Json& object) {
    const Json& meta = PartOf(object, "metadata");
    if (type == "DELETED") {
      keys_.erase(KeyOf(object));
    } else if (type != "BOOKMARK") {
      AddListed(object);
    } else if (!PartOf(PartOf(meta, "annotations"), kInitialEventsEnd).is_null()) {
      CompleteList(TextOf(meta, "resourceVersion"));
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

  // Resumes a watch that lasted at once. Backs off where several in a row end as soon as they
  // begin.
  void Ended(Clock::duration lasted) {
    short_ = lasted < kSteady ? short_ + 1 : 0;
    if (short_ == 0) return Recovered();
    if (short_ == kMostShort && failures_++ == 0)
      sink_.trouble(Error{ErrorKind::kUnavailable, "the watch ends as soon as it has begun"});
    if (short_ > 1) options_.sleep(BackoffAfter(short_ - 1, kBackoff, random_()), stop_);
  }

  void Backoff(const Error& error) {
    if (failures_++ == 0) sink_.trouble(error);
    auto wait = BackoffAfter(failures_, kBackoff, random_());
    if (error.kind == ErrorKind::kNotFound) wait = kMissingRetry;
    if (error.retry_after) wait = std::max<std::chrono::milliseconds>(wait, *error.retry_after);
    options_.sleep(wait, stop_);
  }

  Transport& transport_;
  const WatchOptions& options_;
  const WatchSink& sink_;
  std::stop_token stop_;
  std::string version_;         // empty: list first
  std::set<std::string> keys_;  // of a list that is under way
  bool streams_lists_ = true;   // until the API server refuses
  bool heard_ = false;          // any line of the watch
  int failures_ = 0;
  int short_ = 0;  // watches in a row that did not last
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
