#include "operator/kube/watch_machine.h"

#include <algorithm>
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

bool IsTypeOfEvent(std::string_view type) {
  static constexpr std::string_view kTypes[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK",
                                                "ERROR"};
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

std::string KeyOf(const Json& object) {
  const Json& meta = PartOf(object, "metadata");
  const std::string ns = TextOf(meta, "namespace"), name = TextOf(meta, "name");
  return ns.empty() ? name : ns + "/" + name;
}

}  // namespace

std::variant<WatchMachine::Wait, WatchMachine::Call> WatchMachine::Begin(Clock::time_point now) {
  if (wait_ > Wait{0}) return std::exchange(wait_, Wait{0});
  paging_ = version_.empty() && !streams_lists_;
  if (paging_) {
    if (next_page_.empty()) {
      begin_ = now;
      BeginList();
    }
    return Call{ListRequest(target_.resource, target_.ns, target_.page, next_page_)};
  }
  begin_ = now;
  lines_ = {};
  failed_.reset();
  heard_ = false;
  return Call{NextStream(), true};
}

Request WatchMachine::NextStream() {
  // Not all watches end in the same second.
  const int timeout = kWatchSeconds + static_cast<int>(random_() % 60);
  if (!version_.empty()) return WatchRequest(target_.resource, target_.ns, version_, timeout);
  BeginList();
  return StreamingListRequest(target_.resource, target_.ns, timeout);
}

bool WatchMachine::Feed(std::string_view piece) {
  lines_.Feed(piece, [&](std::string_view line) {
    if (!failed_) failed_ = TakeLine(line);
  });
  if (!version_.empty() && !failed_) Recovered();
  return !failed_;
}

void WatchMachine::End(const Result<Response>& answer, Clock::time_point now) {
  const auto error = paging_ ? EndPage(answer) : EndStream(answer);
  if (paging_ && !error && !next_page_.empty()) return;
  next_page_.clear();
  if (!paging_ && !heard_ && now - begin_ >= kSilent) version_.clear();
  if (!paging_ && !error) garbled_ = 0;
  const bool gone = error && error->kind == ErrorKind::kGone;
  if (error && error->kind == ErrorKind::kNotFound && target_.optional) {
    sink_.listed(0, {});
    wait_ = kMissingRetry * 4;
  } else if (error && !gone) {
    Backoff(*error);
  } else if (paging_ && !gone) {
    Recovered();
  } else if (gone || !version_.empty()) {
    if (gone) version_.clear();
    Resume(now - begin_);
  }
}

std::optional<Error> WatchMachine::EndPage(const Result<Response>& answer) {
  if (!answer) return answer.error();
  const auto page = ReadResponse(*answer);
  return page ? TakePage(*page) : page.error();
}

std::optional<Error> WatchMachine::TakePage(const Json& page) {
  const Json &meta = PartOf(page, "metadata"), &items = PartOf(page, "items");
  std::string version = TextOf(meta, "resourceVersion");
  if (version.empty() || !(items.is_array() || items.is_null()))
    return Error{ErrorKind::kUnavailable, "the answer is not a list"};
  for (const Json& item : items) AddListed(item);
  next_page_ = TextOf(meta, "continue");
  if (next_page_.empty()) CompleteList(std::move(version));
  return std::nullopt;
}

std::optional<Error> WatchMachine::EndStream(const Result<Response>& answer) {
  if (failed_) return failed_;
  if (!answer) return answer.error();
  if (answer->status != 200) {
    Error error = ReadResponse(*answer).error();
    if (!version_.empty() || error.kind != ErrorKind::kInvalid) return error;
    streams_lists_ = false;
    return std::nullopt;
  }
  if (version_.empty())
    return Error{ErrorKind::kUnavailable, "the list ended before it was complete", std::nullopt};
  return std::nullopt;
}

std::optional<Error> WatchMachine::TakeLine(std::string_view line) {
  heard_ = true;
  const Json event = ParseJson(line);
  const Json& object = PartOf(event, "object");
  const std::string type = TextOf(event, "type");
  if (!object.is_object() || !IsTypeOfEvent(type)) return Garbled(line);
  if (type == "ERROR") {
    return Error{PartOf(object, "code") == 410 ? ErrorKind::kGone : ErrorKind::kUnavailable,
                 Bounded(TextOf(object, "message"), kMostMessage)};
  }
  const Json& meta = PartOf(object, "metadata");
  if (!meta.is_object()) return Garbled(line);
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

// What it was to say is not known: all is listed again.
Error WatchMachine::Garbled(std::string_view line) {
  ++garbled_;
  version_.clear();
  return {ErrorKind::kUnavailable,
          "the watch sent a line that is not an event: " + OneLine(line, kMostLine)};
}

void WatchMachine::TakeListed(const std::string& type, const Json& object) {
  const Json& meta = PartOf(object, "metadata");
  if (type == "DELETED") {
    keys_.erase(KeyOf(object));
  } else if (type != "BOOKMARK") {
    AddListed(object);
  } else if (!PartOf(PartOf(meta, "annotations"), kInitialEventsEnd).is_null()) {
    CompleteList(TextOf(meta, "resourceVersion"));
  }
}

void WatchMachine::BeginList() {
  keys_.clear();
  sink_.listing();
}

void WatchMachine::AddListed(const Json& object) {
  keys_.insert(KeyOf(object));
  sink_.event(WatchEvent::kListed, object);
}

void WatchMachine::CompleteList(std::string version) {
  version_ = std::move(version);
  sink_.listed(std::strtoll(version_.c_str(), nullptr, 10), std::exchange(keys_, {}));
}

void WatchMachine::Recovered() {
  if (failures_ == 0) return;
  failures_ = 0;
  sink_.trouble(std::nullopt);
}

// At once, unless several in a row have ended as soon as they had begun.
void WatchMachine::Resume(Clock::duration lasted) {
  short_ = lasted < kSteady ? short_ + 1 : 0;
  if (short_ == 0) return Recovered();
  if (short_ == kMostShort && failures_++ == 0)
    sink_.trouble(Error{ErrorKind::kUnavailable, "the watch ends as soon as it has begun"});
  if (short_ > 1) wait_ = BackoffAfter(short_ - 1, kBackoff, random_());
}

void WatchMachine::Backoff(const Error& error) {
  if (failures_++ == 0) sink_.trouble(error);
  wait_ = BackoffAfter(std::max(failures_, garbled_), kBackoff, random_());
  if (error.kind == ErrorKind::kNotFound) wait_ = kMissingRetry;
  if (error.retry_after) wait_ = std::max<Wait>(wait_, *error.retry_after);
}

}  // namespace spillway::kube
