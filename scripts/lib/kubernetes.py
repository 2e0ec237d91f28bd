# Judges rendered manifests: kubernetes.py NAME MANIFESTS FOLDER VERSION...
# Each object against the schema of each version of Kubernetes, strictly; then what no schema says. Configurations of
# guideway are written to FOLDER for `guideway check`. Called by scripts/test-kubernetes; exit status 1 with the reasons.
import json
import sys

import kubernetes_validate
import yaml

name, manifests, folder, versions = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
with open(manifests, encoding="utf-8") as file:
    objects = [one for one in yaml.safe_load_all(file) if one]
wrong = []


def demand(holds, words):
    if not holds:
        wrong.append(words)


def only(kind, called=None):
    found = [one for one in objects if one["kind"] == kind and called in (None, one["metadata"]["name"])]
    demand(len(found) == 1, f"{len(found)} objects {kind} {called or ''}, wanted 1")
    return found[0] if found else {}


# The custom resources of the Prometheus operator are not part of Kubernetes: their shape is demanded below.
custom = {"ServiceMonitor", "PrometheusRule"}
validated = 0
for one in objects:
    if one["kind"] in custom:
        continue
    for version in versions:
        try:
            kubernetes_validate.validate(one, version, strict=True)
            validated += 1
        except Exception as error:  # Each kind of error of the library says what is wrong where.
            wrong.append(f"{one['kind']} {one['metadata']['name']}, Kubernetes {version}: {error}")
# The oracle itself: a typing error is found.
broken = json.loads(json.dumps(only("DaemonSet")))
broken["spec"]["template"]["spec"]["hostNetwrok"] = True
try:
    kubernetes_validate.validate(broken, versions[-1], strict=True)
    wrong.append("the validator lets `hostNetwrok` pass")
except kubernetes_validate.ValidationError:
    pass

demand(all(one["metadata"].get("namespace") == "guideway" for one in objects if one["kind"] != "Namespace"), "an object is in another namespace")
pod = only("DaemonSet")["spec"]["template"]["spec"]
selector = only("DaemonSet")["spec"]["selector"]["matchLabels"]
labels = only("DaemonSet")["spec"]["template"]["metadata"]["labels"]
demand(selector.items() <= labels.items(), "the DaemonSet does not select its pods")
demand(only("Service")["spec"]["selector"].items() <= labels.items(), "the Service does not select the pods")
demand(pod["hostNetwork"] is True, "the packets would not be those of the node's NIC")
demand(pod["automountServiceAccountToken"] is False, "a token of the API server is mounted")
demand(pod["securityContext"]["runAsNonRoot"] is True, "runs as root")
demand(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp filter")
container = pod["containers"][0]
security = container["securityContext"]
demand(security["readOnlyRootFilesystem"] is True and security["privileged"] is False, "not least privilege")
demand(security["capabilities"]["drop"] == ["ALL"], "capabilities are not dropped")
hugepages = {"base": "1Gi", "lab": None}[name]
wanted = ["NET_ADMIN", "NET_RAW"] + (["IPC_LOCK", "SYS_NICE"] if hugepages else [])
demand(security["capabilities"]["add"] == wanted, f"capabilities {security['capabilities']['add']}, wanted {wanted}")
demand(container["resources"]["limits"].get("hugepages-2Mi") == hugepages, "hugepages are not as wanted")
if hugepages:
    demand(container["resources"]["limits"] == container["resources"]["requests"], "not of the class Guaranteed")
ports = {port["name"]: port["containerPort"] for port in container["ports"]}
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    get = container[probe]["httpGet"]
    demand(get["port"] in ports and get["path"] in ("/livez", "/readyz"), f"{probe} asks {get}")
mounted = {mount["name"] for mount in container["volumeMounts"]}
demand(mounted == {volume["name"] for volume in pod["volumes"]}, "volumes and mounts differ")

configuration = only("ConfigMap", "guideway")["data"]["guideway.yaml"]
listen = yaml.safe_load(configuration)["metrics"]["listen"]
demand(listen.rsplit(":", 1)[1] == str(ports["metrics"]), f"metrics.listen is {listen}, the port is {ports['metrics']}")
with open(f"{folder}/guideway.yaml", "w", encoding="utf-8") as file:
    file.write(configuration)
dashboard = only("ConfigMap", "guideway-dashboard")
demand(dashboard["metadata"]["labels"].get("grafana_dashboard") == "1", "Grafana does not find the dashboard")
json.loads(dashboard["data"]["guideway.json"])
if name == "base":
    monitor = only("ServiceMonitor")["spec"]
    demand(monitor["selector"]["matchLabels"].items() <= only("Service")["metadata"]["labels"].items(), "the ServiceMonitor does not select the Service")
    service_ports = {port["name"] for port in only("Service")["spec"]["ports"]}
    demand({end["port"] for end in monitor["endpoints"]} <= service_ports, "the ServiceMonitor scrapes no port")
    demand(len(only("PrometheusRule")["spec"]["groups"][0]["rules"]) > 10, "the alerts are missing")
else:
    demand(not custom & {one["kind"] for one in objects}, "custom resources in an overlay that does without")

for words in wrong:
    print(f"{name}: {words}")
print(f"    {len(objects)} objects, {validated} validations against Kubernetes {' and '.join(versions)}")
sys.exit(bool(wrong))
