#include "tests/simulation/replica.h"

#include <algorithm>

#include "operator/cloud/karpenter.h"
#include "operator/core/servers/load.h"
#include "operator/runtime/answers.h"
#include "operator/runtime/ask_engine.h"
#include "operator/runtime/feed.h"
#include "operator/runtime/send_write.h"

namespace spillway::simulation {
namespace {

// A request that gets no answer is given up after so long.
constexpr Duration kTimeout = std::chrono::seconds(30);

Error Timeout() { return {ErrorKind::kUnavailable, "the request timed out", std::nullopt, true}; }
Error TooMany() { return {ErrorKind::kUnavailable, "too many requests", std::chrono::seconds(1)}; }

// One engine is watched.
std::string EngineOf(Kind kind) { return kind == Kind::kCloudServer ? cloud::kKarpenter : ""; }

core::Event EventOf(Kind kind, const Change& change) {
  if (change.object == nullptr)
    return core::Gone{kind, change.key, change.uid, change.version, EngineOf(kind)};
  return core::Seen{*change.object};
}

// The pod that the event tells of; null if it tells of none.
const api::Pod* PodIn(const core::Event& event) {
  if (const auto* seen = std::get_if<core::Seen>(&event))
    return std::get_if<api::Pod>(&seen->object);
  const auto* outcome = std::get_if<core::Outcome>(&event);
  return outcome == nullptr || !outcome->object ? nullptr
                                                : std::get_if<api::Pod>(&*outcome->object);
}

// The attempt of a task that must not run twice, if the event tells of one.
std::optional<Record> RecordIn(const core::Event& event) {
  const auto* seen = std::get_if<core::Seen>(&event);
  const auto* task = seen == nullptr ? nullptr : std::get_if<api::TaskRequest>(&seen->object);
  if (task == nullptr || task->spec.retry.loss_limit != 0 || !task->status.assignment)
    return std::nullopt;
  return RecordOf(*task);
}

core::Event FailureOf(const core::AskCloud& ask, const Error& error) {
  core::Event report = *runtime::CouldNotSend(ask, error.message).report;
  if (auto* outcome = std::get_if<core::Outcome>(&report)) outcome->error = error;
  return report;
}

core::Outcome WriteObject(ApiServer& api, const core::Write& write) {
  core::Outcome outcome = runtime::OutcomeOf(write);
  auto answer = api.Carry(write);
  if (answer) {
    outcome.object = std::move(*answer);
    return outcome;
  }
  outcome.error = answer.error();
  const auto& all = api.All(write.kind);
  if (const auto at = all.find(write.key());
      at != all.end() && outcome.error->kind == ErrorKind::kAlreadyExists)
    outcome.object = *at->second;  // as the executor reads it
  return outcome;
}

// As the executor does it.
core::Outcome WriteBytes(ApiServer& api, const core::Write& write) {
  WriteTransport transport(api, write);
  return runtime::SendWrite(write, transport, {});
}

}  // namespace

Record RecordOf(const api::TaskRequest& task) {
  const api::Assignment& told = *task.status.assignment;
  return {task.meta.uid, told.server, told.pod_name, FormatTime(told.assigned_at)};
}

Replica::Replica(int id, const World& world)
    : id_(id), world_(world), core_(world.engines.traits()), machine_(world.workers) {
  Read();
  born_ = world.api.now;
  for (const api::EngineTraits& traits : world.engines.traits()) {
    if (traits.polled) polled_.push_back({traits.name});
  }
  inbox_.push_back(core::Measured{});  // metrics.k8s.io does not answer yet
  if (world_.wires != nullptr) LayWires();
}

void Replica::LayWires() {
  for (size_t i = 0; i < core::kKinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind == Kind::kCloudServer) continue;  // each engine reads its own
    const uint64_t seed = world_.wires->seed + static_cast<uint64_t>(id_) * core::kKinds + i;
    wires_[i] =
        std::make_unique<Wire>(kind, world_.api, *world_.wires, seed,
                               [this](core::Event event) { inbox_.push_back(std::move(event)); });
  }
}

Time Replica::Read() {
  return now_ = clock_.Read(world_.api.now + clock_ahead_, world_.api.now.time_since_epoch());
}

void Replica::List(Kind kind, Stream& stream) {
  inbox_.push_back(core::Behind{kind, EngineOf(kind)});
  core::Listed listed{kind, world_.api.version(), {}, EngineOf(kind)};
  for (const auto& [key, object] : world_.api.All(kind)) {
    if (core::EngineOf(*object) != EngineOf(kind)) continue;
    stream.pages.push_back(core::Seen{*object, true});
    listed.keys.insert(key);
  }
  stream.list_version = listed.resource_version;
  stream.pages.push_back(std::move(listed));
  stream.next = world_.api.end(kind);
  stream.listed = true;
  stream.last.reset();  // of the watch before
}

bool Replica::Deliver(Kind kind, size_t most) {
  if (Wire* wire = WireOf(kind)) return !dead_ && wire->Deliver(most);
  Stream& stream = streams_[static_cast<size_t>(kind)];
  const bool told = kind == Kind::kCloudServer && DeliverPolled(most);
  if (dead_ || world_.api.now < stream.hangs_until) return told;
  if (world_.api.Denies(kind)) {
    if (stream.listed) Break(kind);
    return told;
  }
  if (!stream.listed || (stream.pages.empty() && stream.next < world_.api.first(kind)))
    List(kind, stream);
  size_t count = 0;
  for (; count < most && !stream.pages.empty(); ++count) {
    if (stream.pages.size() == stream.breaks_at) return Break(kind), true;
    inbox_.push_back(std::move(stream.pages.front()));
    stream.pages.pop_front();
    if (stream.pages.empty()) stream.delivered = stream.list_version;
  }
  if (stream.next < world_.api.first(kind)) return count > 0;  // the next call lists again
  while (count < most && stream.pages.empty() && stream.next < world_.api.end(kind)) {
    const Change& change = world_.api.at(kind, stream.next++);
    stream.delivered = change.version;
    if (change.engine != EngineOf(kind)) continue;
    stream.last = EventOf(kind, change);
    inbox_.push_back(*stream.last);
    ++count;
  }
  if (count > 0) stream.told = world_.api.now;
  return SendBookmark(kind, stream) || told || count > 0;
}

// The watch of an engine that has nothing to tell says so once in a while: whether it hangs is
// known by that.
bool Replica::SendBookmark(Kind kind, Stream& stream) {
  if (kind != Kind::kCloudServer || !stream.pages.empty() ||
      world_.api.now < stream.told + kBookmarkEvery)
    return false;
  inbox_.push_back(core::Bookmark{kind, world_.api.version(), EngineOf(kind)});
  stream.told = world_.api.now;
  return true;
}

// What is said together may still be taken in parts.
bool Replica::DeliverPolled(size_t most) {
  bool any = false;
  for (Polled& polled : polled_) {
    for (size_t count = 0; count < most && !polled.said.empty() && !dead_; ++count) {
      inbox_.push_back(std::move(polled.said.front()));
      polled.said.pop_front();
      if (polled.said.empty()) polled.delivered = polled.listed;
      any = true;
    }
  }
  return any;
}

bool Replica::Look(size_t which, Sight sight) {
  if (dead_ || polled_.empty()) return false;
  Polled& polled = polled_[which % polled_.size()];
  if (!polled.said.empty() || world_.api.now < polled.next) return false;
  auto poll = std::get<cloud::Poll>(world_.engines.Find(polled.engine)->source());
  auto answer = poll.list({});
  if (!answer) sight = Sight::kFails;
  auto now = answer ? std::move(*answer) : polled.last;
  // What was made since it keeps no longer.
  const auto is_known = [&](const api::CloudServer& server) {
    return std::any_of(polled.last.begin(), polled.last.end(),
                       [&](const auto& each) { return each.uid == server.uid; });
  };
  if (sight == Sight::kOld &&
      (polled.stirred || !std::all_of(now.begin(), now.end(), is_known) || now == polled.last))
    return false;
  poll.list = [&](std::stop_token) -> spillway::Result<std::vector<api::CloudServer>> {
    if (sight == Sight::kFails) return Timeout();
    return sight == Sight::kOld ? polled.last : now;
  };
  polled.next = world_.api.now + poll.every;
  auto said = runtime::AskAll(polled.engine, poll, {});
  if (sight == Sight::kFails && !said) return true;
  polled.said.assign(said->begin(), said->end());
  if (sight != Sight::kNow) return true;
  polled.listed = world_.api.version();
  polled.last = std::move(now);
  polled.stirred = false;
  return true;
}

bool Replica::LookAround() {
  bool any = false;
  for (size_t i = 0; i < polled_.size(); ++i) any = Look(i, Sight::kNow) || any;
  return any;
}

void Replica::Stir(const std::string& engine) {
  for (Polled& polled : polled_) polled.stirred = polled.stirred || polled.engine == engine;
}

bool Replica::HasListed(Kind kind) const {
  if (const Wire* wire = WireOf(kind)) return wire->delivered() > 0;
  return streams_[static_cast<size_t>(kind)].delivered > 0;
}

bool Replica::HasSeen(Kind kind, int64_t version) const {
  if (const Wire* wire = WireOf(kind)) return wire->delivered() >= version;
  return streams_[static_cast<size_t>(kind)].delivered >= version &&
         (kind != Kind::kCloudServer ||
          std::all_of(polled_.begin(), polled_.end(),
                      [&](const Polled& polled) { return polled.delivered >= version; }));
}

void Replica::Break(Kind kind) {
  if (Wire* wire = WireOf(kind)) return wire->Break();
  Stream& stream = streams_[static_cast<size_t>(kind)];
  stream.listed = false;
  stream.breaks_at.reset();
  stream.pages.clear();
  stream.last.reset();
  inbox_.push_back(core::Behind{kind, EngineOf(kind)});
}

bool Replica::BreakTwice(Kind kind) {
  if (Wire* wire = WireOf(kind)) return !dead_ && wire->BreakTwice();
  Stream& stream = streams_[static_cast<size_t>(kind)];
  if (dead_ || world_.api.now < stream.hangs_until) return false;
  Break(kind);
  List(kind, stream);
  if (stream.pages.size() < 3) return false;
  stream.breaks_at = stream.pages.size() / 2;
  return true;
}

void Replica::Hang(Kind kind, Duration time) {
  if (Wire* wire = WireOf(kind)) return wire->Hang(world_.api.now + time);
  streams_[static_cast<size_t>(kind)].hangs_until = world_.api.now + time;
}

void Replica::Recover() {
  for (Stream& stream : streams_) stream.hangs_until = Time{};
  for (const auto& wire : wires_) {
    if (wire != nullptr) wire->Recover();
  }
}

bool Replica::Double(Kind kind) {
  const Wire* wire = WireOf(kind);
  const Stream& stream = streams_[static_cast<size_t>(kind)];
  const auto& last = wire == nullptr ? stream.last : wire->last();
  if (!last || (wire == nullptr ? world_.api.now < stream.hangs_until : wire->hangs()))
    return false;
  inbox_.push_back(*last);
  return true;
}

void Replica::Note(const core::Measured& measured, Time now) {
  for (const api::NodeMetrics& metrics : measured.nodes) {
    Load& known = loads_[metrics.node];
    const Time observed = known.said.observed;
    const auto* node = world_.api.Get<api::Node>(metrics.node);
    const bool old = node == nullptr || now >= known.MadeAt(node->meta.created) + core::kLoadKept;
    if (metrics.observed > observed || (metrics.observed < observed && old))
      known = {metrics, now, known.arrived};
  }
}

size_t Replica::Turn() {
  const std::vector<core::Event> events = std::exchange(inbox_, {});
  const Time now = Read();
  for (const core::Event& event : events) {
    if (const auto* pod = PodIn(event)) {
      met_.emplace(pod->meta.uid, turned_);
      if (pod->terminal()) met_ended_.insert(pod->meta.uid);
      if (pod->terminal() && !pod->meta.deleted && !pod->asked_to_end)
        met_ended_first_.insert(pod->meta.uid);
      if (pod->phase == api::PodPhase::kRunning) met_running_.insert(pod->meta.uid);
    }
    if (const auto record = RecordIn(event)) told_.try_emplace(*record, world_.api.now);
    if (const auto* measured = std::get_if<core::Measured>(&event)) Note(*measured, now);
  }
  core::StepResult result = core_.Step(events, now);
  turned_ = now_;
  if (core_.world().ready()) listed_ = std::min(listed_, world_.api.now);
  wake_ = result.wake;
  for (core::Effect& effect : result.effects) {
    world_.decided(*this, effect);
    machine_.Push(std::move(effect), now_);
  }
  world_.turned(*this);
  return result.effects.size();
}

bool Replica::Begin() {
  if (dead_) return false;
  auto job = machine_.Next(Read());
  if (!job) return false;
  Flight flight{std::move(*job)};
  world_.tried(*this, flight.job.effect);
  flight.sent = world_.api.now;
  const auto* write = std::get_if<core::Write>(&flight.job.effect);
  flight.hangs = write != nullptr && !write->ns.empty() && write->ns == world_.hung &&
                 world_.api.now < world_.hung_until;
  flight.arrives = world_.api.now + (flight.hangs ? kTimeout : world_.latency);
  dead_ = world_.ends(flight.job.effect, false);
  flights_.push_back(std::move(flight));
  return true;
}

bool Replica::Carry(size_t which, Fate fate) {
  for (size_t i = 0; i < flights_.size() && !dead_; ++i) {
    Flight& flight = flights_[(which + i) % flights_.size()];
    if (flight.arrived || world_.api.now < flight.arrives) continue;
    Send(flight, flight.hangs ? Fate::kLost : fate);
    if (!flight.tried.error) dead_ = world_.ends(flight.job.effect, true);
    return true;
  }
  return false;
}

void Replica::Send(Flight& flight, Fate fate) {
  flight.arrived = true;
  flight.tried = {};
  const auto* late = fate == Fate::kLater ? std::get_if<core::Write>(&flight.job.effect) : nullptr;
  if (late != nullptr) world_.delayed(*late);
  barred_.erase(flight.job.key);
  if (fate == Fate::kRefused) {
    Fail(flight, TooMany());
  } else if (fate == Fate::kLost || fate == Fate::kLater) {
    Fail(flight, Timeout());
  } else if (const auto* ask = std::get_if<core::AskCloud>(&flight.job.effect)) {
    runtime::Asked asked = runtime::Ask(world_.engines, *ask, {});
    Stir(ask->engine());
    flight.tried = {std::move(asked.error), std::move(asked.report)};
  } else if (const auto* write = std::get_if<core::Write>(&flight.job.effect)) {
    world_.before(*this, *write);
    if (world_.api.RuleFor(*write) != nullptr) barred_.insert(flight.job.key);
    core::Outcome outcome =
        world_.wires == nullptr ? WriteObject(world_.api, *write) : WriteBytes(world_.api, *write);
    if (!outcome.error) world_.after(*this, *write);
    flight.tried.error = outcome.error;
    flight.tried.report = std::move(outcome);
  }
  if (fate == Fate::kAnswerLost) Fail(flight, Timeout());
}

void Replica::Fail(Flight& flight, Error error) {
  flight.tried.report.reset();
  if (const auto* write = std::get_if<core::Write>(&flight.job.effect)) {
    core::Outcome outcome = runtime::OutcomeOf(*write);
    outcome.error = error;
    flight.tried.report = std::move(outcome);
  } else if (const auto* ask = std::get_if<core::AskCloud>(&flight.job.effect)) {
    flight.tried.report = FailureOf(*ask, error);
  }
  flight.tried.error = std::move(error);
}

bool Replica::Answer(size_t which) {
  for (size_t i = 0; i < flights_.size() && !dead_; ++i) {
    const size_t at = (which + i) % flights_.size();
    Flight& flight = flights_[at];
    if (!flight.arrived) continue;
    const Time now = Read();
    auto verdict =
        machine_.Judge(flight.job, std::move(flight.tried), world_.api.now - flight.sent, now);
    if (verdict.error && !verdict.again) world_.failed(*this, flight.job.effect);
    if (verdict.report) inbox_.push_back(std::move(*verdict.report));
    const uint64_t random = std::hash<std::string>{}(flight.job.key);
    machine_.Land(std::move(flight.job), verdict, now, random);
    flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(at));
    return true;
  }
  return false;
}

std::vector<core::Effect> Replica::Unsent() const {
  std::vector<core::Effect> out;
  for (const Flight& flight : flights_) {
    if (!flight.arrived) out.push_back(flight.job.effect);
  }
  return out;
}

std::vector<std::string> Replica::Unanswered(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const Flight& flight : flights_) {
    const auto* write = std::get_if<core::Write>(&flight.job.effect);
    if (write != nullptr && write->kind == Kind::kPod && write->verb == core::Verb::kCreate &&
        write->key().starts_with(prefix))
      out.push_back(write->key());
  }
  return out;
}

bool Replica::Idle() {
  if (!inbox_.empty() || !flights_.empty() || machine_.ready(Read()) ||
      (machine_.waiting() > 0 && barred_.empty()))
    return false;
  for (size_t kind = 0; kind < core::kKinds; ++kind) {
    if (const Wire* wire = WireOf(static_cast<Kind>(kind))) {
      if (!wire->idle()) return false;
      continue;
    }
    const Stream& stream = streams_[kind];
    if (!stream.listed || !stream.pages.empty() ||
        stream.next < world_.api.end(static_cast<Kind>(kind)))
      return false;
  }
  return HasSeen(Kind::kCloudServer, world_.api.changed(Kind::kCloudServer));
}

}  // namespace spillway::simulation
