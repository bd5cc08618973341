// The decisions of a watch, as a state machine without I/O, threads or a clock: what is asked of
// the API server and when, what the bytes that it answers mean, and when all is listed again. The
// caller carries requests and sleeps (watcher.h does it with a thread, the simulator from a seed).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <variant>

#include "operator/kube/request.h"

namespace spillway::kube {

enum class WatchEvent { kListed, kUpsert, kDelete, kBookmark };

// Called while the machine is, in the caller's thread. What these throw passes through the machine,
// which is to be thrown away then.
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

// What is watched.
struct WatchTarget {
  Resource resource;
  std::string ns;         // empty: all namespaces
  bool optional = false;  // a resource that does not exist counts as an empty list
  int64_t page = 500;     // objects per page of a list, where lists cannot be streamed
};

// Not thread-safe.
class WatchMachine {
 public:
  using Clock = std::chrono::steady_clock;

  // A request to send. The body of a stream's answer, if its status is 200, goes to Feed as it
  // arrives; its end, and the answer to any other request, to End.
  struct Call {
    Request request;
    bool streams = false;
  };
  // How long to wait before Begin is called again.
  using Wait = std::chrono::milliseconds;

  // The references must outlive this. seed: any number; it spreads the waits, and the ends of
  // watches, of processes that began together.
  WatchMachine(const WatchTarget& target, const WatchSink& sink, uint32_t seed)
      : target_(target), sink_(sink), random_(seed) {}

  // What to do next. REQUIRES: the call before has ended.
  std::variant<Wait, Call> Begin(Clock::time_point now);
  // A piece of the stream that is under way: of any length, cut anywhere. False if nothing that
  // comes after it is worth reading: hang up, and call End.
  bool Feed(std::string_view piece);
  // How the call has ended. A stream that brought nothing for kStreamSilence ends with an Error.
  void End(const Result<Response>& answer, Clock::time_point now);

 private:
  Request NextStream();
  // What was wrong, if anything was.
  std::optional<Error> EndPage(const Result<Response>& answer);
  std::optional<Error> EndStream(const Result<Response>& answer);
  std::optional<Error> TakePage(const Json& page);
  std::optional<Error> TakeLine(std::string_view line);
  Error Garbled(std::string_view line);
  // Before the end of a streamed list.
  void TakeListed(const std::string& type, const Json& object);
  // Of a list, in pages or streamed.
  void BeginList();
  void AddListed(const Json& object);
  void CompleteList(std::string version);
  void Recovered();
  // A watch that lasted for so long is resumed.
  void Resume(Clock::duration lasted);
  void Backoff(const Error& error);

  const WatchTarget& target_;
  const WatchSink& sink_;
  std::string version_;         // empty: list first
  std::set<std::string> keys_;  // of a list that is under way
  bool streams_lists_ = true;   // until the API server refuses
  int failures_ = 0;
  int short_ = 0;    // watches in a row that did not last
  int garbled_ = 0;  // in a row, that sent what is no event
  Wait wait_{0};     // before the next call
  std::minstd_rand random_;
  // Of the list or watch that is under way.
  bool paging_ = false;
  std::string next_page_;
  Clock::time_point begin_{};
  LineSplitter lines_;
  std::optional<Error> failed_;  // what a line said
  bool heard_ = false;           // any line
};

}  // namespace spillway::kube
