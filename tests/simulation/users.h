// Users and admins of the simulated cluster: they submit, edit, cancel, delete and re-apply, cordon
// servers and change pools, at any moment.
#pragma once

#include <map>
#include <string>

#include "tests/simulation/checks.h"

namespace spillway::simulation {

class Users {
 public:
  Users(ApiServer& api, Checks& checks) : api_(api), checks_(checks) {}

  // How many tasks there may be at once.
  void Bound(size_t tasks) { most_ = tasks; }
  // Some tasks ask for what only kube-scheduler decides.
  void LeaveToScheduler() { spreads_ = true; }
  void AddPool(const std::string& name, const std::string& cpu, int64_t priority,
               int64_t price_micros, const std::string& engine);
  void AddClass(const std::string& name, int64_t value);
  void Submit(Random& random);
  // Tasks that start together, or some of them.
  bool SubmitGroup(Random& random);
  bool Edit(Random& random);
  bool Delete(Random& random);
  // Deleted and applied again under the same name.
  bool Reapply(Random& random);
  bool DeletePod(Random& random);
  // A registration, or a purchase.
  bool DeleteServer(Random& random);
  // Someone's controller puts a finalizer on something, or takes it off.
  bool Finalize(Random& random);
  // Someone's controller marks a task, which changes nothing but its version.
  bool Annotate(Random& random);
  bool Cordon(Random& random);
  bool ChangePool(Random& random);
  // Priority classes come, go and change; namespaces get another weight.
  bool ChangeQueue(Random& random);
  // A namespace gets a budget, another one, or none.
  bool ChangeBudget(Random& random);
  // What still stands in the way is taken away: cordons, suspensions, limits of pools, and budgets
  // where no pool is without a price.
  void LetGo();
  void GiveUpGroups();
  // Removes finished tasks, so that a long run does not grow.
  bool Tidy();

 private:
  void Apply(const std::string& ns, const std::string& name, Random& random,
             const api::Json& group = nullptr);
  template <typename T>
  void Change(T object);

  ApiServer& api_;
  Checks& checks_;
  size_t submitted_ = 0, groups_ = 0, most_ = 14;
  bool spreads_ = false;
  std::map<std::string, api::Resources> sizes_;  // of pools, as they were added
};

}  // namespace spillway::simulation
