// One watch of a process as bytes: the shipped state machine (kube/watch_machine) asks the model's
// API server and reads its answer in pieces that are cut anywhere, and the shipped decoders
// (runtime/feed_reader) make events of it. Connections end in the midst of a line, lists come in
// pages where they cannot be streamed, and a silent connection is given up after its time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/kube/watch_machine.h"
#include "operator/runtime/feed_reader.h"
#include "tests/simulation/random.h"
#include "tests/simulation/web_api.h"

namespace spillway::simulation {

// How connections fare in an episode.
struct WireOptions {
  uint64_t seed = 0;
  bool cuts = false;   // they end in the midst of a line, or by an error, now and then
  bool pages = false;  // lists are not streamed
  // They last for ever, and say nothing but what happens: an episode is the same as one in which
  // the events come without them.
  bool in_peace = true;
  // Is told of what goes wrong, by its name.
  std::function<void(const char*)> met = [](const char*) {};
  // Is told of an object that the decoders do not take.
  std::function<void(const std::string&)> unreadable = [](const std::string&) {};
};

class Wire {
 public:
  // push takes the events. The references must outlive this.
  Wire(Kind kind, ApiServer& api, const WireOptions& options, uint64_t seed,
       std::function<void(core::Event)> push);
  Wire(const Wire&) = delete;

  // More lines than there ever are.
  static constexpr size_t kAll = 1'000;

  // Hands over up to so many lines; false if there were none. Where it is all of them, the
  // connection is left in peace.
  bool Deliver(size_t most);
  // The history is gone: it is listed again.
  void Break();
  // The same, and that list breaks off halfway as well; false if there is no connection.
  bool BreakTwice();
  // The connection is dead until then, and nobody notices before it has been silent for too long.
  void Hang(Time until);
  bool hangs() const { return api_.now < hangs_until_; }
  // Connections work, and nobody waits any more before the next.
  void Recover();
  // The last event since the list.
  const std::optional<core::Event>& last() const { return last_; }
  // The version up to which events were handed over.
  int64_t delivered() const { return delivered_; }
  // Everything was listed and handed over.
  bool idle() const;

 private:
  kube::WatchSink Sink();
  bool Dead();
  // Makes the next request, if it is time; whether there is a connection, or an answer was taken.
  bool Connect(size_t& lines);
  kube::WatchMachine::Clock::time_point Now() const;
  // Takes what has come; false if there was nothing, or not all of it has come yet.
  bool Take(size_t most, size_t& lines);
  void TakePage(const kube::Request& request);
  // Ends the connection where the machine wants no more.
  void Feed(std::string_view bytes, size_t& lines);
  // The connection ends after these bytes, by what is no event, or somewhere in them.
  void Cut(std::string bytes, size_t& lines);
  void End(const Result<kube::Response>& answer);

  ApiServer& api_;
  const WireOptions& options_;
  WebApi web_;
  Random random_;
  const runtime::Feed feed_;
  runtime::FeedReader reader_;
  const kube::WatchSink sink_;
  const kube::WatchTarget target_;
  kube::WatchMachine machine_;
  std::optional<OpenWatch> watch_;
  std::string rest_;  // what has come and was not read yet
  Time waits_until_{}, hangs_until_{}, heard_{};
  bool listed_ = false;       // since the history was lost
  bool calm_ = true;          // connections are left in peace
  bool breaks_list_ = false;  // the next list breaks off
  int64_t delivered_ = 0;
  std::optional<core::Event> last_;
};

}  // namespace spillway::simulation
