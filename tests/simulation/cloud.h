// A model of what sells servers: engines behind the seam, each in its own manner. What they have
// stands in the API server's model, each as one object whose name is made of its request's uid:
// there the checks find it, and the watch of an engine that is watched.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "operator/cloud/engines.h"
#include "operator/cloud/karpenter.h"
#include "tests/simulation/api_server.h"
#include "tests/simulation/random.h"

namespace spillway::simulation {

struct Manner {
  const char* engine;
  const char* kind;     // of its objects
  bool polled = false;  // it is asked at intervals what it has; else it is watched
  // A machine that goes has a successor at once, under the same request.
  bool replaces = false;
  // Else a request that cannot be met just waits, without a word.
  bool refuses = true;
};

class Cloud {
 public:
  // What the engine does with requests of a pool at the moment.
  enum class Mood {
    kGood,
    kNoCapacity,
    kStuck,
    kRefuses,
    kUnauthenticated,
    kUseless,  // they are sold, and an agent that is broken keeps its taint there
  };

  // Adds its engines. happened: is told what each of them does.
  Cloud(ApiServer& api, cloud::Engines& engines, std::function<void(const std::string&)> happened);

  static const char* AnyEngine(Random& random);
  // All that it may tell of.
  static std::vector<std::string> Names();

  // As engines are asked (operator/cloud/engine.h).
  Result<cloud::Ensured> Ensure(const Manner& manner, const std::string& request_uid,
                                const api::ServerPool& pool);
  Result<Unit> Release(const api::CloudServer& server);
  cloud::Refusal Diagnose(const Manner& manner, const api::CloudServer& server) const;
  Result<std::vector<api::CloudServer>> List(const std::string& engine) const;

  // Servers come with a taint that is taken away later, and with less room than promised.
  void ComeSlowly() { slow_ = true; }
  void SetMood(const std::string& pool, Mood mood) { moods_[pool] = mood; }
  // Moves one server on: a node, readiness, refusal, the end of a release. False if none can move.
  bool Move(Random& random);
  // One that is in use will be taken away, soon or at a time that it says.
  bool Announce(Random& random);
  // Someone deletes one behind everyone's back.
  bool DeleteAny(Random& random);
  // It answers nothing that it is asked.
  void Silence(const std::string& engine) { silent_ = engine; }
  // Everything is in a good mood again.
  void Calm() {
    moods_.clear();
    silent_.clear();
  }
  // Whether the request ever led to a server, or to a refusal.
  bool Answered(const std::string& request_uid) const;
  bool AllAnswer() const { return silent_.empty(); }
  // Whether its machine goes, and has a successor.
  bool IsDying(const std::string& node) const;

 private:
  void Delete(const api::CloudServer& server);
  void Provide(const api::CloudServer& claim);
  bool Arrive(const api::CloudServer& claim);
  bool Refuse(const api::CloudServer& claim);
  void GiveUpAtOnce(const api::CloudServer& claim, size_t one_of);
  void TakeAway(const api::CloudServer& claim);
  void Replace(const api::CloudServer& claim, bool at_once);
  bool EndDying(const api::CloudServer& claim);
  void RemoveNode(const std::string& name);

  ApiServer& api_;
  std::function<void(const std::string&)> happened_;
  std::map<std::string, Mood> moods_;
  std::map<std::string, std::string> pool_of_;     // by the name of the claim, made or refused
  std::map<std::string, api::Resources> size_of_;  // by the name of the claim: as it was asked for
  std::map<std::string, std::string> dying_;       // the node of the machine before, by claim
  std::set<std::string> replaced_;                 // claims
  std::string silent_;                             // the engine that is so
  size_t nodes_ = 0;
  bool slow_ = false;
};

}  // namespace spillway::simulation
