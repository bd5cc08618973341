// The composition root: flags, wiring, signals.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <thread>

#include "operator/base/time.h"
#include "operator/cloud/cluster_api.h"
#include "operator/cloud/engines.h"
#include "operator/cloud/karpenter.h"
#include "operator/cloud/pending_pod.h"
#include "operator/cloud/rest.h"
#include "operator/kube/config.h"
#include "operator/kube/tls.h"
#include "operator/kube/transport.h"
#include "operator/runtime/await_task.h"
#include "operator/runtime/counting_transport.h"
#include "operator/runtime/leader.h"
#include "operator/runtime/log.h"
#include "operator/runtime/loop.h"
#include "operator/runtime/metrics.h"
#include "operator/runtime/probes.h"
#include "operator/runtime/secure_metrics.h"

namespace {

using namespace spillway;

constexpr char kVersion[] = "v0.1.0";

struct Flags {
  std::string kubeconfig;
  bool leader_elect = false;
  std::string leader_election_namespace = "spillway-system";
  std::string leader_election_id = "spillway.dev";
  std::string lease_duration = "15s", renew_deadline = "10s", retry_period = "2s";
  std::string metrics_address = ":8080";
  bool metrics_secure = false;
  std::string metrics_cert_path;
  std::string probe_address = ":8081";
  std::string log_level = "info";
  int verbosity = runtime::kDefaultVerbosity;
  int workers = 64;
  // Of the subcommand await.
  std::string await_namespace = "default", await_task;
  int await_seconds = 120;
};

// Kubernetes' own programs take -v=4 as well as -v 4.
std::string WithoutEquals(const std::string& text) {
  return text.starts_with('=') ? text.substr(1) : text;
}

void Define(CLI::App& app, Flags& flags) {
  app.add_option("--kubeconfig", flags.kubeconfig,
                 "Path of a kubeconfig; default: $KUBECONFIG, then the pod's service account.");
  app.add_flag("--leader-elect", flags.leader_elect,
               "Act only while holding a Lease, so that several replicas may run.");
  app.add_option("--leader-election-namespace,--leader-elect-resource-namespace",
                 flags.leader_election_namespace,
                 "Namespace of that Lease, and of the Secrets that pools name.")
      ->capture_default_str();
  app.add_option("--leader-election-id,--leader-elect-resource-name", flags.leader_election_id,
                 "Name of that Lease.")
      ->capture_default_str();
  app.add_option("--leader-elect-lease-duration", flags.lease_duration,
                 "How long another waits for the Lease's holder to renew it, such as 15s.")
      ->capture_default_str();
  app.add_option("--leader-elect-renew-deadline", flags.renew_deadline,
                 "How long the holder may go without renewing it until it ends itself.")
      ->capture_default_str();
  app.add_option("--leader-elect-retry-period", flags.retry_period,
                 "How often it is renewed, or asked for.")
      ->capture_default_str();
  app.add_option("--metrics-bind-address", flags.metrics_address,
                 "Where /metrics is served; 0 means not at all.")
      ->capture_default_str();
  app.add_flag("--metrics-secure", flags.metrics_secure,
               "Serve /metrics over TLS, to those whom the API server allows to get that path.");
  app.add_option("--metrics-cert-path", flags.metrics_cert_path,
                 "Directory of its tls.crt and tls.key, read again every ten seconds; without it a "
                 "certificate is made.");
  app.add_option("--health-probe-bind-address", flags.probe_address,
                 "Where /healthz and /readyz are served; 0 means not at all.")
      ->capture_default_str();
  app.add_option("-v,--v", flags.verbosity,
                 "How much is logged: 0 what must be seen, 1 purchases, 2 what tasks do, 4 every "
                 "write, 6 every request.")
      ->transform(WithoutEquals)
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level,
                 "The least that is logged: info, warn or error; or debug, which is -v 4.")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--workers", flags.workers,
                 "Writes to the API server that may be in flight at once.")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.set_version_flag("--version", kVersion);
}

CLI::App* DefineAwait(CLI::App& app, Flags& flags) {
  CLI::App* await = app.add_subcommand(
      "await", "Waits until a TaskRequest has ended; exits with 0 if it succeeded.");
  await->add_option("task", flags.await_task, "Its name.")->required();
  await->add_option("-n,--namespace", flags.await_namespace, "Its namespace.")
      ->capture_default_str();
  await->add_option("--timeout", flags.await_seconds, "Seconds until it must have ended.")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  return await;
}

std::string Identity() {
  char host[256] = "spillway";
  (void)gethostname(host, sizeof host - 1);
  return std::string(host) + "_" + std::to_string(getpid()) + "_" +
         std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
}

// Until the API server answers. A refusal of our credentials does not pass with time.
Result<Unit> WaitForServer(kube::Transport& transport, std::stop_token stop) {
  std::string last;
  for (std::chrono::milliseconds wait{500}; !stop.stop_requested();
       wait = std::min(wait * 2, std::chrono::milliseconds(10'000))) {
    const auto version = kube::Call(transport, {"GET", "/version", "", ""}, stop);
    if (version) return Unit{};
    if (version.error().kind == ErrorKind::kUnauthenticated) {
      return Error{ErrorKind::kUnauthenticated,
                   "the API server refused the credentials: " + version.error().message,
                   std::nullopt};
    }
    if (!version.error().retryable()) return Unit{};  // it answered
    if (version.error().message != last)
      runtime::Fail("the API server cannot be reached, trying again",
                    {{"error", version.error().message}});
    last = version.error().message;
    for (auto left = wait; left.count() > 0 && !stop.stop_requested();
         left -= std::chrono::milliseconds(100)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  return Unit{};
}

int Refuse(const Error& error) {
  runtime::Fail("cannot start", {{"error", error.message}});
  return EXIT_FAILURE;
}

int Await(const Flags& flags, std::stop_token stop) {
  const auto config = kube::LoadConfig(flags.kubeconfig);
  if (!config) return Refuse(config.error());
  const auto transport = kube::MakeTransport(*config);
  if (!transport) return Refuse(transport.error());
  const auto fields = [&](const runtime::AwaitedTask& task) {
    return runtime::Fields{{"namespace", flags.await_namespace},
                           {"task", flags.await_task},
                           {"uid", task.uid},
                           {"attempt", task.attempt}};
  };
  const auto [succeeded, task] = runtime::AwaitTask(
      **transport,
      {flags.await_namespace, flags.await_task, std::chrono::seconds(flags.await_seconds)},
      [&](const std::string& line, const runtime::AwaitedTask& seen) {
        runtime::Info(line, fields(seen));
      },
      stop);
  if (succeeded) return *succeeded ? EXIT_SUCCESS : EXIT_FAILURE;
  runtime::Fields last = fields(task);
  last.push_back({"error", succeeded.error().message});
  runtime::Fail("not waited for", last);
  return EXIT_FAILURE;
}

// Null where they are served plainly or not at all.
Result<std::unique_ptr<runtime::SecureMetrics>> ServeMetrics(const Flags& flags,
                                                             runtime::Metrics& metrics,
                                                             runtime::ScrapeAccess& access) {
  if (!flags.metrics_secure || flags.metrics_address == "0") {
    const auto served = metrics.Serve(flags.metrics_address);
    if (!served) return served.error();
    return std::unique_ptr<runtime::SecureMetrics>();
  }
  return runtime::ServeSecureMetrics({flags.metrics_address, flags.metrics_cert_path}, access,
                                     [&metrics] { return metrics.Text(); });
}

Result<runtime::LeaseOptions> LeaseOptions(const Flags& flags, const std::string& identity) {
  runtime::LeaseOptions options{flags.leader_election_namespace, flags.leader_election_id,
                                identity};
  const auto read = [](const char* flag, const std::string& text,
                       std::chrono::milliseconds& out) -> std::optional<Error> {
    const auto duration = ParseDuration(text);
    if (!duration) return Invalid(std::string(flag) + " " + text + ": is not a duration like 15s");
    out = *duration;
    return std::nullopt;
  };
  if (auto error =
          read("--leader-elect-lease-duration", flags.lease_duration, options.lease_duration))
    return *error;
  if (auto error =
          read("--leader-elect-renew-deadline", flags.renew_deadline, options.renew_deadline))
    return *error;
  if (auto error = read("--leader-elect-retry-period", flags.retry_period, options.retry_period))
    return *error;
  if (const auto checked = runtime::CheckTimings(options); !checked) return checked.error();
  return options;
}

// Without the scheme, as client-go names the host.
std::string HostOf(const std::string& url) {
  const size_t scheme = url.find("://");
  const std::string rest = scheme == std::string::npos ? url : url.substr(scheme + 3);
  return rest.substr(0, rest.find('/'));
}

int Run(const Flags& flags, std::stop_source& stop) {
  const std::string identity = Identity();
  const auto leadership = LeaseOptions(flags, identity);
  if (!leadership) return Refuse(leadership.error());
  const auto config = kube::LoadConfig(flags.kubeconfig);
  if (!config) return Refuse(config.error());
  kube::ReadAuthoritiesOnce();
  const auto transport = kube::MakeTransport(*config);
  if (!transport) return Refuse(transport.error());
  runtime::Metrics metrics(kVersion);
  runtime::CountingTransport server(**transport, metrics, HostOf(config->server));
  runtime::ScrapeAccess access(server);
  const auto served = ServeMetrics(flags, metrics, access);
  if (!served) return Refuse(served.error());
  cloud::Engines engines;
  engines.Add(std::make_unique<cloud::Karpenter>(server));
  engines.Add(std::make_unique<cloud::ClusterApi>(server));
  engines.Add(std::make_unique<cloud::PendingPod>(server, leadership->ns));
  engines.Add(std::make_unique<cloud::Rest>(cloud::Installation{
      server, leadership->ns, [](const kube::Config& of) { return kube::MakeTransport(of); }}));
  runtime::Loop loop(server, engines, metrics, {.workers = flags.workers, .identity = identity});
  std::atomic<bool> leading{!flags.leader_elect};
  const auto probes = runtime::ServeProbes(
      flags.probe_address, [&] { return !loop.ready() || loop.healthy(); },
      [&] { return !leading || loop.ready(); });
  if (!probes) return Refuse(probes.error());

  runtime::Info("starting", {{"version", kVersion}, {"server", config->server}});
  if (const auto answered = WaitForServer(server, stop.get_token()); !answered)
    return Refuse(answered.error());
  runtime::Leader leader(server, *leadership);
  std::jthread keeper;
  metrics.SetLeading(leadership->name, !flags.leader_elect);
  if (flags.leader_elect) {
    if (!leader.Acquire(stop.get_token())) return EXIT_SUCCESS;
    leading = true;
    metrics.SetLeading(leadership->name, true);
    keeper = std::jthread([&](std::stop_token ended) {
      // Another may act from here on: nothing of ours may be carried out any more.
      if (!leader.Hold(ended)) std::_Exit(EXIT_FAILURE);
    });
  }
  const bool all_answered = loop.Run(stop.get_token());
  if (flags.leader_elect) {
    keeper.request_stop();
    keeper.join();
    // What may still arrive is ours: the next leader waits until the lease has run out.
    if (all_answered) leader.Release();
  }
  runtime::Info("stopped");
  return loop.must_begin_anew() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Spillway: local servers first; the cloud takes the overflow."};
  Flags flags;
  Define(app, flags);
  const CLI::App* await = DefineAwait(app, flags);
  CLI11_PARSE(app, argc, argv);
  // Objects are decoded in one thread and kept by another: many arenas would only be many holes.
  mallopt(M_ARENA_MAX, 2);
  runtime::InitLog(flags.log_level, flags.verbosity);

  // Signals are taken by one thread; every other one inherits the mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::stop_source stop;
  std::thread([signals, stop]() mutable {
    int signal = 0;
    sigwait(&signals, &signal);
    stop.request_stop();
    // Whatever still hangs then is not worth waiting for: all state is in the API server.
    std::this_thread::sleep_for(std::chrono::seconds(10));
    std::_Exit(EXIT_FAILURE);
  }).detach();
  return *await ? Await(flags, stop.get_token()) : Run(flags, stop);
}
