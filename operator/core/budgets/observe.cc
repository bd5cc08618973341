#include "operator/core/budgets/observe.h"

#include "operator/core/budgets/budgets.h"

namespace spillway::core {

void OnSeen(const Context& context, Budgets& budgets, const api::Budget& object) {
  const std::string key = object.meta.key();
  const auto at = budgets.by_key.find(key);
  if (at != budgets.by_key.end() &&
      at->second.object.meta.resource_version >= object.meta.resource_version)
    return;
  const bool added = at == budgets.by_key.end() || at->second.object.meta.uid != object.meta.uid;
  BudgetState& budget = budgets.by_key[key];
  if (added) {
    budget = {};
    budget.object = object;
    TakeStatus(budget.writer, EncodeStatus(object.status));
  } else {
    budget.object.meta = object.meta;
    budget.object.spec = object.spec;
    SeeStatus(context, budget, object.status);
  }
  Account& account = budgets.accounts[object.meta.ns];
  account.budgets.insert(key);
  RetryHeld(account);
}

void OnBudgetGone(Budgets& budgets, const std::string& key) {
  const auto at = budgets.by_key.find(key);
  if (at == budgets.by_key.end()) return;
  Account& account = budgets.accounts[at->second.object.meta.ns];
  account.budgets.erase(key);
  RetryHeld(account);
  budgets.by_key.erase(at);
}

}  // namespace spillway::core
