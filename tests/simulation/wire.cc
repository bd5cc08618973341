#include "tests/simulation/wire.h"

#include <algorithm>
#include <utility>

#include "operator/runtime/decode.h"

namespace spillway::simulation {
namespace {

// So small that a list of the model has several.
constexpr int64_t kPage = 3;

kube::WatchTarget TargetOf(const runtime::Feed& feed) {
  kube::WatchTarget target = feed.watch;
  target.page = kPage;
  return target;
}

}  // namespace

Wire::Wire(Kind kind, ApiServer& api, const WireOptions& options, uint64_t seed,
           std::function<void(core::Event)> push)
    : api_(api),
      options_(options),
      web_(api),
      random_(seed),
      feed_(runtime::FeedOf(kind)),
      reader_(feed_,
              [this, push = std::move(push)](core::Event event) {
                const bool seen = std::holds_alternative<core::Seen>(event) ||
                                  std::holds_alternative<core::Gone>(event);
                if (seen && listed_) last_ = event;
                push(std::move(event));
              }),
      sink_(Sink()),
      target_(TargetOf(feed_)),
      machine_(target_, sink_, static_cast<uint32_t>(random_.Next())) {}

kube::WatchSink Wire::Sink() {
  kube::WatchSink sink;
  sink.event = [this](kube::WatchEvent what, const api::Json& object) {
    if (const auto wrong = reader_.Take(what, object)) options_.unreadable(wrong->message);
    if (what != kube::WatchEvent::kListed)
      delivered_ = std::max(delivered_, api::DecodeMeta(object).resource_version);
  };
  sink.listed = [this](int64_t version, std::set<std::string> keys) {
    reader_.Listed(version, std::move(keys));
    delivered_ = std::max(delivered_, version);
    listed_ = true;
  };
  sink.listing = [this] {
    listed_ = false;
    last_.reset();
    reader_.Behind();
  };
  sink.trouble = [this](const std::optional<Error>& error) {
    if (error) {
      reader_.Behind();
    } else {
      reader_.Recovered();
    }
  };
  return sink;
}

kube::WatchMachine::Clock::time_point Wire::Now() const {
  return kube::WatchMachine::Clock::time_point(api_.now.time_since_epoch());
}

void Wire::End(const Result<kube::Response>& answer) {
  watch_.reset();
  rest_.clear();
  machine_.End(answer, Now());
}

// A connection that is silent for too long is given up; the next one works.
bool Wire::Dead() {
  if (api_.now >= hangs_until_) return false;
  if (watch_ && api_.now - heard_ >= kube::kStreamSilence) {
    options_.met("silent watch given up");
    hangs_until_ = Time{};
    End(Error{ErrorKind::kUnavailable, "timed out", std::nullopt});
    return false;
  }
  return true;
}

bool Wire::Connect(size_t& lines) {
  if (watch_) return true;
  if (api_.now < waits_until_) return false;
  const auto next = machine_.Begin(Now());
  if (const auto* wait = std::get_if<kube::WatchMachine::Wait>(&next)) {
    waits_until_ = api_.now + *wait;
    return false;
  }
  const auto& [request, streams] = std::get<kube::WatchMachine::Call>(next);
  if (!streams) {
    ++lines;
    TakePage(request);
    return true;
  }
  const bool lists = request.path.find("sendInitialEvents") != std::string::npos;
  if (lists && options_.pages) {
    machine_.End(kube::Response{422, "{}", std::nullopt}, Now());
    return true;
  }
  const kube::Response answer = web_.Open(request, watch_);
  if (watch_ && options_.in_peace) {
    watch_->bookmarks = false;
    watch_->ends = kNever;
  }
  if (!watch_) machine_.End(answer, Now());
  heard_ = api_.now;
  return true;
}

void Wire::TakePage(const kube::Request& request) {
  const bool first = request.path.find("&continue=") == std::string::npos;
  if (!first && std::exchange(breaks_list_, false)) {
    machine_.End(Error{ErrorKind::kUnavailable, "connection reset by peer", std::nullopt}, Now());
  } else {
    machine_.End(web_.Handle(request), Now());
  }
}

bool Wire::Deliver(size_t most) {
  calm_ = !options_.cuts || most >= kAll;
  if (watch_ && api_.Denies(feed_.kind)) End(kube::Response{200, "", std::nullopt});
  size_t lines = 0;
  // Whoever is refused again and again waits between two tries.
  while (lines < most && !Dead() && Connect(lines)) {
    if (watch_ && !Take(most - lines, lines)) break;
  }
  return lines > 0;
}

bool Wire::Take(size_t most, size_t& lines) {
  if (std::exchange(breaks_list_, false) && !listed_) {
    Cut(web_.Read(watch_, std::max<size_t>(1, watch_->first.size() / 2)), lines);
    return true;
  }
  if (rest_.empty() && !web_.HasNews(*watch_)) return false;
  std::string bytes = std::exchange(rest_, "") + web_.Read(watch_, most);
  heard_ = api_.now;
  if (!watch_) {
    if (!bytes.empty()) Feed(bytes, lines);
    End(kube::Response{200, "", std::nullopt});
    return true;
  }
  if (bytes.empty()) return true;  // nothing of its namespace
  if (!calm_ && random_.OneIn(40)) {
    Cut(std::move(bytes), lines);
    return true;
  }
  if (!calm_ && random_.OneIn(4)) {
    rest_ = bytes.substr(bytes.size() - random_.Pick(std::min<size_t>(bytes.size(), 200)));
    bytes.resize(bytes.size() - rest_.size());
  }
  Feed(bytes, lines);
  return rest_.empty();
}

void Wire::Feed(std::string_view bytes, size_t& lines) {
  lines += static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\n'));
  while (!bytes.empty()) {
    const size_t size = options_.cuts ? 1 + random_.Pick(2'000) : bytes.size();
    if (!machine_.Feed(bytes.substr(0, size)))
      return End(Error{ErrorKind::kCancelled, "hung up", std::nullopt});
    bytes.remove_prefix(std::min(size, bytes.size()));
  }
}

void Wire::Cut(std::string bytes, size_t& lines) {
  const size_t how = random_.Pick(8);
  if (how < 2) {
    options_.met("watch ends with an error");
    bytes += R"({"type":"ERROR","object":{"code":500,"message":"leader changed"}})"
             "\n";
  } else if (how < 4) {
    options_.met("watch sends what is no event");
    bytes += "<html>bad gateway</html>\n";
  } else {
    options_.met("watch ends in the midst of a line");
    bytes.resize(random_.Pick(bytes.size()));
  }
  Feed(bytes, lines);
  if (!watch_) return;
  if (random_.OneIn(2)) return End(kube::Response{200, "", std::nullopt});
  End(Error{ErrorKind::kUnavailable, "connection reset by peer", std::nullopt});
}

void Wire::Break() {
  if (!watch_) return;
  size_t ignored = 0;
  Feed(std::exchange(rest_, "") + R"({"type":"ERROR","object":{"code":410,"message":"too old"}})"
                                  "\n",
       ignored);
  listed_ = false;
  last_.reset();
}

bool Wire::BreakTwice() {
  if (!watch_ || Dead()) return false;
  Break();
  return breaks_list_ = true;
}

void Wire::Hang(Time until) {
  hangs_until_ = until;
  heard_ = api_.now;
}

void Wire::Recover() { hangs_until_ = waits_until_ = Time{}; }

bool Wire::idle() const { return listed_ && watch_ && rest_.empty() && !web_.HasNews(*watch_); }

}  // namespace spillway::simulation
