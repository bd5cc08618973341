#include "tests/integration/cluster.h"

namespace spillway::test {
namespace {

struct Manifest {
  const char* name;
  std::string yaml;
  const char* message;  // part of what kubectl prints
};

std::string TaskYaml(const std::string& spec, const std::string& name = "bad",
                     const std::string& container = "{name: c, image: x}") {
  return "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: " + name +
         "}\nspec:\n  template: {spec: {containers: [" + container + "]}}\n" + spec;
}
// rest: of the pod's spec, such as "nodeName: a".
std::string PodYaml(const std::string& rest, const std::string& metadata = "",
                    const std::string& container = "name: c, image: x") {
  return "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: bad}\nspec: "
         "{template: {metadata: {" +
         metadata + "}, spec: {containers: [{" + container + "}]" + (rest.empty() ? "" : ", ") +
         rest + "}}}\n";
}
std::string RequirementYaml(const std::string& requirement) {
  return TaskYaml("  requirements: [" + requirement + "]\n");
}
std::string ServerYaml(const std::string& spec) {
  return "apiVersion: spillway.dev/v1alpha1\nkind: RegisteredServer\nmetadata: {name: bad}\nspec: "
         "{" +
         spec + "}\n";
}
std::string PoolYaml(const std::string& shape, const std::string& backend,
                     const std::string& rest = "") {
  return "apiVersion: spillway.dev/v1alpha1\nkind: ServerPool\nmetadata: {name: bad}\nspec: "
         "{template: {" +
         shape + "}, backend: {" + backend + "}" + rest + "}\n";
}
std::string BudgetYaml(const std::string& spec) {
  return "apiVersion: spillway.dev/v1alpha1\nkind: Budget\nmetadata: {name: bad}\nspec: {" + spec +
         "}\n";
}
constexpr char kShape[] = "resources: {cpu: '4', memory: 8Gi}";
constexpr char kKarpenter[] = "karpenter: {nodeClassRef: {group: g, kind: K, name: cls}}";

const std::vector<Manifest>& BadManifests() {
  static const std::vector<Manifest> kManifests{
      {"no template",
       "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: bad}\nspec: {}\n",
       "spec.template: Required value"},
      {"no containers",
       "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: bad}\nspec: "
       "{template: {spec: {}}}\n",
       "containers: Required value"},
      {"empty containers",
       "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: bad}\nspec: "
       "{template: {spec: {containers: []}}}\n",
       "should have at least 1 items"},
      {"typo in the template", TaskYaml("", "bad", "{name: c, imge: x}"),
       "unknown field \"spec.template.spec.containers[0].imge\""},
      {"typo in the spec", TaskYaml("  prioritty: 5\n"), "unknown field \"spec.prioritty\""},
      {"status of another type", TaskYaml("  exclusive: maybe\n"),
       "exclusive in body must be of type boolean"},
      {"container without name", TaskYaml("", "bad", "{image: x}"), "name: Required value"},
      {"restart policy",
       "apiVersion: spillway.dev/v1alpha1\nkind: TaskRequest\nmetadata: {name: bad}\nspec: "
       "{template: {spec: {restartPolicy: Always, containers: [{name: c}]}}}\n",
       "must be Never: a task that fails is run again by spec.retry"},
      {"quantity", TaskYaml("", "bad", "{name: c, resources: {requests: {cpu: lots}}}"),
       "such as 2, 500m or 4Gi"},
      {"quantity suffix", TaskYaml("", "bad", "{name: c, resources: {requests: {memory: 4GB}}}"),
       "such as 2, 500m or 4Gi"},
      {"negative quantity", TaskYaml("", "bad", "{name: c, resources: {limits: {cpu: '-1'}}}"),
       "must be a quantity that is not negative"},
      {"negative number", TaskYaml("", "bad", "{name: c, resources: {limits: {cpu: -1}}}"),
       "should be greater than or equal to 0"},
      {"a truth as a quantity", TaskYaml("", "bad", "{name: c, resources: {limits: {cpu: true}}}"),
       "cpu: Unsupported value: true: supported values: \"a quantity such as 2, 500m or 4Gi\""},
      {"a list as a quantity", TaskYaml("", "bad", "{name: c, resources: {limits: {cpu: [1]}}}"),
       "cpu: Too many"},
      {"an object as a quantity",
       TaskYaml("", "bad", "{name: c, resources: {limits: {cpu: {cores: 1}}}}"), "cpu: Too many"},
      {"our labels", PodYaml("", "labels: {spillway.dev/exclusive: 'true'}"),
       "labels that begin with spillway.dev/ are set by Spillway alone"},
      {"our annotations", PodYaml("", "annotations: {spillway.dev/node-name: node-1}"),
       "annotations that begin with spillway.dev/ are set by Spillway alone"},
      {"finalizers", PodYaml("", "finalizers: [a/b]"), "a task's pod has no finalizers of its own"},
      {"owners", PodYaml("", "ownerReferences: [{kind: A}]"), "remove ownerReferences"},
      {"gates", PodYaml("schedulingGates: [{name: a}]"), "use spec.suspend to hold it back"},
      {"node", PodYaml("nodeName: a"), "the node is chosen by Spillway; remove nodeName"},
      {"scheduler", PodYaml("schedulerName: volcano"), "remove schedulerName"},
      {"ephemeral containers", PodYaml("ephemeralContainers: [{name: e}]"),
       "remove ephemeralContainers"},
      {"on failure", PodYaml("restartPolicy: OnFailure"),
       "must be Never: a task that fails is run again by spec.retry"},
      {"volumes of one name", PodYaml("volumes: [{name: a}, {name: a}]"), "Duplicate value"},
      {"a Job's backoff", TaskYaml("  backoffLimit: 4\n"),
       "write spec.retry.limit instead of backoffLimit"},
      {"a Job's completions", TaskYaml("  completions: 5\n"), "a TaskRequest is one run"},
      {"a Job's parallelism", TaskYaml("  parallelism: 5\n"), "a TaskRequest is one run"},
      {"a Job's mode", TaskYaml("  completionMode: Indexed\n"), "a TaskRequest has no index"},
      {"a Job's policy", TaskYaml("  podFailurePolicy: {rules: []}\n"),
       "write spec.retry.onExitCodes instead of podFailurePolicy"},
      {"a Job's selector", TaskYaml("  selector: {matchLabels: {a: b}}\n"), "remove selector"},
      {"loss limit", TaskYaml("  retry: {lossLimit: 1001}\n"),
       "should be less than or equal to 1000"},
      {"long name", TaskYaml("", std::string(64, 'a')), "may have at most 63 characters"},
      {"priority", TaskYaml("  priority: 2000000000\n"),
       "should be less than or equal to 1000000000"},
      {"policy", TaskYaml("  placement: {policy: Anywhere}\n"),
       "supported values: \"PreferLocal\", \"LocalOnly\", \"CloudOnly\""},
      {"burst", TaskYaml("  placement: {burstAfterSeconds: -1}\n"),
       "must be a number of seconds from 0 to 604800, or auto"},
      {"price", TaskYaml("  placement: {maxPricePerHour: cheap}\n"),
       "must be an amount such as \"1.20\""},
      {"pools of a local task", TaskYaml("  placement: {policy: LocalOnly, pools: [a]}\n"),
       "pools has no meaning with policy LocalOnly"},
      {"empty pools", TaskYaml("  placement: {pools: []}\n"), "should have at least 1 items"},
      {"start deadline", TaskYaml("  startDeadlineSeconds: 0\n"),
       "should be greater than or equal to 1"},
      {"active deadline", TaskYaml("  activeDeadlineSeconds: 99999999999\n"),
       "should be less than or equal to 31536000"},
      {"retry limit", TaskYaml("  retry: {limit: 1000}\n"), "should be less than or equal to 100"},
      {"retry on success", TaskYaml("  retry: {onExitCodes: [0]}\n"),
       "should be greater than or equal to 1"},
      {"backoff", TaskYaml("  retry: {backoffSeconds: 9999}\n"),
       "should be less than or equal to 3600"},
      {"ttl", TaskYaml("  ttlSecondsAfterFinished: -5\n"), "should be greater than or equal to 0"},
      {"operator", RequirementYaml("{key: k, operator: Equals, values: [a]}"),
       "supported values: \"In\""},
      {"values of Exists", RequirementYaml("{key: k, operator: Exists, values: [a]}"),
       "Exists and DoesNotExist take none"},
      {"no values of In", RequirementYaml("{key: k, operator: In}"), "need values"},
      {"two values of Gt", RequirementYaml("{key: k, operator: Gt, values: ['1', '2']}"),
       "exactly one value, an integer"},
      {"word for Lt", RequirementYaml("{key: k, operator: Lt, values: [few]}"),
       "exactly one value, an integer"},
      {"version", RequirementYaml("{key: k, operator: Version, values: [newest]}"),
       "such as \">=550.54 <600\""},
      {"version operator", RequirementYaml("{key: k, operator: Version, values: ['=>1.0']}"),
       "such as \">=550.54 <600\""},
      {"requirement key", RequirementYaml("{key: 'a b', operator: Exists}"), "should match"},
      {"server without node", ServerYaml("cordoned: true"), "spec.nodeName: Required value"},
      {"origin", ServerYaml("nodeName: node-a, origin: Moon"),
       "supported values: \"Local\", \"Cloud\""},
      {"no tasks", ServerYaml("nodeName: node-a, limits: {maxTasks: 0}"),
       "should be greater than or equal to 1"},
      {"pool of a local server", ServerYaml("nodeName: node-a, poolName: p"),
       "poolName belongs to servers of origin Cloud"},
      {"price of a server", ServerYaml("nodeName: node-a, pricePerHour: '-1'"),
       "must be an amount such as \"0.40\""},
      {"pool without backend", PoolYaml(kShape, ""), "exactly one backend must be set"},
      {"pool without resources", PoolYaml("labels: {}", kKarpenter), "resources: Required value"},
      {"pool without memory", PoolYaml("resources: {cpu: '4'}", kKarpenter),
       "template.resources.memory: Required value"},
      {"pool quantity", PoolYaml("resources: {cpu: '4', memory: many}", kKarpenter),
       "such as 2, 500m or 4Gi"},
      {"pool with a truth as a quantity",
       PoolYaml("resources: {cpu: yes, memory: 8Gi}", kKarpenter), "cpu: Unsupported value: true"},
      {"pool with a negative number", PoolYaml("resources: {cpu: -4, memory: 8Gi}", kKarpenter),
       "should be greater than or equal to 0"},
      {"pool with our labels",
       PoolYaml(std::string(kShape) + ", labels: {spillway.dev/x: a}", kKarpenter),
       "not yours to set"},
      {"pool class", PoolYaml(kShape, "karpenter: {nodeClassRef: {name: cls}}"),
       "nodeClassRef.group: Required value"},
      {"pool size", PoolYaml(kShape, kKarpenter, ", maxServers: -1"),
       "should be greater than or equal to 0"},
      {"pool minimum", PoolYaml(kShape, kKarpenter, ", minServers: 3, maxServers: 2"),
       "minServers must not be greater than maxServers"},
      {"budget without amount", BudgetYaml(""), "spec.amount: Required value"},
      {"budget amount", BudgetYaml("amount: '-5'"), "must be an amount such as \"250\""},
      {"budget period", BudgetYaml("amount: '5', period: Year"),
       "supported values: \"Day\", \"Week\", \"Month\""},
      {"budget action", BudgetYaml("amount: '5', action: Stop"),
       "supported values: \"Warn\", \"Hold\", \"Deny\""},
      {"budget warning", BudgetYaml("amount: '5', warnPercent: 0"),
       "should be greater than or equal to 1"},
      {"taint effect",
       PoolYaml(std::string(kShape) + ", taints: [{key: k, effect: Never}]", kKarpenter),
       "supported values: \"NoSchedule\""},
  };
  return kManifests;
}

// Whatever a Job accepts in its template.
const std::vector<Manifest>& GoodManifests() {
  static const std::vector<Manifest> kManifests{
      {"numbers as quantities",
       PodYaml("", "",
               "name: c, resources: {requests: {cpu: 0.5, memory: 1e9}, limits: {cpu: 1, memory: "
               "'1.000000000000000000000000000000Gi'}}"),
       ""},
      {"numbers elsewhere",
       PodYaml("volumes: [{name: v, emptyDir: {sizeLimit: 1.5}}], overhead: {cpu: 0.1}"), ""},
      {"metadata that programs write",
       PodYaml("", "creationTimestamp: null, name: x, namespace: z, generateName: x-"), ""},
      {"annotations of simulated nodes",
       PodYaml("",
               "annotations: {spillway.dev/run-for: 1s, spillway.dev/exit-code: '3', "
               "spillway.dev/output: x}"),
       ""},
      {"nulls",
       PodYaml("volumes: null, securityContext: null, nodeSelector: null, "
               "tolerations: null, schedulingGates: null, nodeName: null",
               "labels: null, annotations: null, finalizers: null",
               "name: c, env: null, ports: null, command: null, resources: {}, "
               "securityContext: null, livenessProbe: null"),
       ""},
      {"a variable twice",
       PodYaml("", "", "name: c, env: [{name: A, value: '1'}, {name: A, value: '2'}]"), ""},
      {"a port by both protocols, and twice",
       PodYaml("", "",
               "name: c, ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}, "
               "{containerPort: 53}]"),
       ""},
      {"an address twice",
       PodYaml("hostAliases: [{ip: 10.0.0.1, hostnames: [a]}, {ip: 10.0.0.1, hostnames: [b]}]"),
       ""},
      {"a pull secret twice", PodYaml("imagePullSecrets: [{name: a}, {name: a}]"), ""},
      {"empty words",
       PodYaml("tolerations: [{key: a, operator: '', effect: ''}], nodeName: '', "
               "dnsPolicy: ''"),
       ""},
      {"what the API server has filled in",
       PodYaml("schedulerName: default-scheduler, dnsPolicy: ClusterFirst, securityContext: {}, "
               "terminationGracePeriodSeconds: 30, restartPolicy: Never"),
       ""},
      {"a pool's numbers as quantities",
       PoolYaml("resources: {cpu: 3.5, memory: 32e9, nvidia.com/gpu: 1, ephemeral-storage: "
                "'100.0000000000000000000000000000000000000000000000Gi'}",
                kKarpenter),
       ""},
      {"what is the same for a task",
       TaskYaml("  completions: 1\n  parallelism: 1\n  completionMode: NonIndexed\nstatus: {}\n"),
       ""},
  };
  return kManifests;
}

using ManifestTest = ClusterTest;

TEST_F(ManifestTest, WhatAJobTakesATaskTakes) {
  for (const Manifest& manifest : GoodManifests()) {
    const auto [code, text] =
        cluster.Kubectl("-n " + ns + " apply --dry-run=server -f -", manifest.yaml);
    EXPECT_EQ(code, 0) << manifest.name << ": " << text;
  }
}

TEST_F(ManifestTest, ATemplateWithNumbersIsImmutableToo) {
  const std::string yaml =
      PodYaml("", "creationTimestamp: null", "name: c, resources: {requests: {cpu: 0.5}}");
  EXPECT_EQ(cluster.Kubectl("-n " + ns + " apply -f -", yaml).first, 0);
  EXPECT_EQ(cluster.Kubectl("-n " + ns + " apply -f -", yaml).first, 0);
  const auto [code, text] = cluster.Kubectl(
      "-n " + ns +
      R"( patch tq bad --type json -p '[{"op":"replace","path":"/spec/template/spec/containers/0/resources/requests/cpu","value":0.6}]')");
  EXPECT_NE(text.find("the template is immutable"), std::string::npos) << text;
}

TEST_F(ManifestTest, EveryFieldOfServersAndPoolsIsTaken) {
  const std::string server = ServerYaml(
      "nodeName: node-a, capabilities: {gpu-model: a100, driver: '550.54.15'}, limits: {maxTasks: "
      "8, "
      "cpuUtilizationPercent: 80, memoryUtilizationPercent: 85}, metricsPolicy: Require, cordoned: "
      "false, pricePerHour: '0'");
  const std::string pool = PoolYaml(
      "capabilities: {a: b}, labels: {c: d}, taints: [{key: k, value: v, effect: NoSchedule}], "
      "resources: {cpu: '8', memory: 32Gi}",
      kKarpenter,
      ", priority: 10, minServers: 0, maxServers: 50, warmSpares: 0, pricePerHour: '0.40', "
      "billingQuantumSeconds: 3600, "
      "idleSecondsBeforeRelease: 300, provisionTimeoutSeconds: 900");
  for (const std::string& manifest : {server, pool}) {
    const auto [code, text] = cluster.Kubectl("apply --dry-run=server -f -", manifest);
    EXPECT_EQ(code, 0) << text;
  }
}

TEST_F(ManifestTest, BadOnesAreRefusedWithAUsefulMessage) {
  ASSERT_GE(BadManifests().size(), 25u);
  for (const Manifest& manifest : BadManifests()) {
    const auto [code, text] = cluster.Kubectl("-n " + ns + " apply -f -", manifest.yaml);
    EXPECT_NE(code, 0) << manifest.name;
    EXPECT_NE(text.find(manifest.message), std::string::npos) << manifest.name << ": " << text;
  }
}

TEST_F(ManifestTest, TheSpecIsImmutableButForThreeFields) {
  Json task = Task("t");
  task["spec"]["suspend"] = true;
  cluster.Create(task);
  const struct {
    const char* patch;
    const char* message;  // empty: accepted
  } kChanges[] = {
      {R"({"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}})", "the template is immutable"},
      {R"({"spec":{"requirements":null}})", "requirements are immutable"},
      {R"({"spec":{"exclusive":true}})", "exclusive is immutable"},
      {R"({"spec":{"placement":{"policy":"CloudOnly"}}})", "placement is immutable"},
      {R"({"spec":{"startDeadlineSeconds":5}})", "startDeadlineSeconds is immutable"},
      {R"({"spec":{"activeDeadlineSeconds":5}})", "activeDeadlineSeconds is immutable"},
      {R"({"spec":{"retry":{"limit":5}}})", "retry is immutable"},
      {R"({"spec":{"ttlSecondsAfterFinished":5}})", "ttlSecondsAfterFinished is immutable"},
      {R"({"spec":{"podTTLSeconds":5}})", "podTTLSeconds is immutable"},
      {R"({"spec":{"priority":7}})", ""},
      {R"({"spec":{"cancel":true}})", ""},
      {R"({"spec":{"cancel":false}})", "a cancelled task stays cancelled"},
      {R"({"spec":{"suspend":false}})", ""},
  };
  for (const auto& change : kChanges) {
    const auto [code, text] =
        cluster.Kubectl("-n " + ns + " patch tq t --type merge -p '" + change.patch + "'");
    EXPECT_EQ(code == 0, std::string(change.message).empty()) << change.patch << ": " << text;
    EXPECT_NE(text.find(change.message), std::string::npos) << change.patch << ": " << text;
  }
}

TEST_F(ManifestTest, ReadsWellInExplainAndGet) {
  const auto [explained, placement] = cluster.Kubectl("explain tq.spec.placement");
  EXPECT_EQ(explained, 0);
  EXPECT_NE(placement.find("How long to wait for a local server"), std::string::npos) << placement;
  EXPECT_NE(cluster.Kubectl("explain tq.spec.template.spec").second.find("initContainers"),
            std::string::npos);
  EXPECT_EQ(cluster.Kubectl("get tq,rsv,pool,scr -A").first, 0);
}

}  // namespace
}  // namespace spillway::test
