#include "operator/runtime/ask_engine.h"

#include <atomic>

#include "operator/runtime/answers.h"

namespace spillway::runtime {
namespace {

using Op = core::AskCloud::Op;

Error NoEngine(const std::string& name) {
  return Invalid("this operator has no engine \"" + name + "\"");
}

void Ensure(cloud::Engine& engine, const core::AskCloud& ask, std::stop_token stop,
            core::Outcome& outcome) {
  auto answer = engine.Ensure(ask.request_name, ask.request_uid, ask.pool, stop);
  if (!answer) {
    outcome.error = answer.error();
  } else if (const auto* refusal = std::get_if<cloud::Refusal>(&*answer)) {
    outcome.error = Error{ErrorKind::kInvalid, refusal->message, refusal->retry_after};
    outcome.error_class = refusal->error;
  } else {
    auto& server = std::get<api::CloudServer>(*answer);
    server.engine = ask.engine();
    if (engine.traits().polled) server.resource_version = NextObservation();
    outcome.object = core::Object(std::move(server));
  }
}

}  // namespace

int64_t NextObservation() {
  static std::atomic<int64_t> last{0};
  return ++last;
}

Asked Ask(const cloud::Engines& engines, const core::AskCloud& ask, std::stop_token stop) {
  cloud::Engine* engine = engines.Find(ask.engine());
  if (ask.op == Op::kDiagnose) {
    const cloud::Refusal why = engine != nullptr ? engine->Diagnose(ask.server, stop)
                                                 : cloud::Refusal{api::CloudError::kTransient,
                                                                  NoEngine(ask.engine()).message};
    return {{}, core::CloudDiagnosis{ask.request_uid, why.error, why.message}};
  }
  core::Outcome outcome = OutcomeOf(ask);
  if (engine == nullptr) {
    outcome.error = NoEngine(ask.engine());
  } else if (ask.op == Op::kEnsure) {
    Ensure(*engine, ask, stop, outcome);
  } else if (const auto released = engine->Release(ask.server, stop); !released) {
    outcome.error = released.error();
  }
  std::optional<Error> error = outcome.error;
  return {std::move(error), std::move(outcome)};
}

}  // namespace spillway::runtime
