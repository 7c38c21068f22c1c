"""conf/helm/ip-masq: what it makes of its values, and what is made from it."""

import itertools
import json
import re
import subprocess

import pytest
from harness.host import TOOLS
from harness.kubernetes import HELM
from harness.node import ROOT

CHART = ROOT / "conf/helm/ip-masq"
PYTHON = TOOLS / "python/bin/python"
VERSIONS = [f"1.{minor}.0" for minor in range(25, 38)]
FLAVOURS = ["kubeadm", "k3s", "rke2", "microk8s", "openshift", "crio", "podman"]
MONITORING = ["monitoring.podMonitor.enabled=true", "monitoring.rules.enabled=true", "monitoring.dashboard.enabled=true"]
APP_ARMOR = ["appArmorProfile.type=Localhost", "appArmorProfile.localhostProfile=ip-masq"]
OF_PROMETHEUS = ("PodMonitor", "PrometheusRule")  # Kubernetes has no schema of these

# Reads manifests, prints them as JSON; with versions behind it, validates each against Kubernetes' own schemas first.
READ = """
import json, sys, yaml, kubernetes_validate
documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for version in sys.argv[2:]:
    for document in documents:
        if document["kind"] not in sys.argv[1].split(","):
            kubernetes_validate.validate(document, version, strict=True)
print(json.dumps(documents))
"""
PARSE = """
import json, sys, promql_parser
for expression in json.load(sys.stdin):
    promql_parser.parse(expression)
"""

pytestmark = pytest.mark.usefixtures("helm", "python")


@pytest.fixture
def python():
    if not PYTHON.exists():
        pytest.skip("kubernetes-validate is not there: scripts/install-tools could not reach PyPI")


def template(*values, version="1.37.0", check=True):
    words = [word for value in values for word in ("--set", value)]
    return subprocess.run([HELM, "template", "ip-masq", CHART, "--namespace", "kube-system", "--kube-version", version, *words],
                          capture_output=True, text=True, check=check)


def documents(text, *versions):
    """Of a stream of YAML, valid for these versions of Kubernetes."""
    done = subprocess.run([PYTHON, "-c", READ, ",".join(OF_PROMETHEUS), *versions], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def made(*values):
    """{(kind, name): document}"""
    return {(each["kind"], each["metadata"]["name"]): each for each in documents(template(*values).stdout)}


def pod_of(documents):
    return documents["DaemonSet", "ip-masq"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_lint(version):
    done = subprocess.run([HELM, "lint", "--strict", "--kube-version", version, CHART], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^\[(WARNING|ERROR)\].*", done.stdout, re.MULTILINE) == []


def test_what_is_made_from_the_chart_is_in_step(tmp_path):
    """What scripts/manifest --write would write is there."""
    for path in ("conf", "scripts"):
        subprocess.run(["cp", "-r", ROOT / path, tmp_path], check=True)
    (tmp_path / "build/tools").mkdir(parents=True)
    (tmp_path / "build/tools/helm").symlink_to(HELM)
    subprocess.run([tmp_path / "scripts/manifest", "--write"], check=True)
    for path in ("kubernetes/ip-masq.yaml", "helm/ip-masq/values.schema.json"):
        assert (tmp_path / "conf" / path).read_text() == (ROOT / "conf" / path).read_text(), f"{path}: run scripts/manifest --write"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_version_of_kubernetes_knows_what_each_flavour_gets(flavour):
    text = template(f"flavour={flavour}", *MONITORING, *APP_ARMOR, "image.pullSecrets[0].name=key", "image.pullPolicy=Always").stdout
    before_1_30 = template(f"flavour={flavour}", *MONITORING, *APP_ARMOR, version="1.29.0").stdout
    assert documents(text, *VERSIONS[5:]) and documents(before_1_30, *VERSIONS[:5])


def test_the_versions_are_all_that_there_are_schemas_of():
    done = subprocess.run([PYTHON, "-c", "import kubernetes_validate; print(*kubernetes_validate.utils.latest_version().split('.')[:2])"],
                          capture_output=True, text=True, check=True)
    assert VERSIONS[-1].split(".")[:2] == done.stdout.split()


@pytest.mark.parametrize("flavour, bin_dir, conf_dir, after", [
    ("kubeadm", "/opt/cni/bin", "/etc/cni/net.d", "flannel"),
    ("k3s", "/var/lib/rancher/k3s/data/cni", "/var/lib/rancher/k3s/agent/etc/cni/net.d", "flannel"),
    ("podman", "/opt/cni/bin", "/etc/cni/net.d", "bridge"),
])
def test_the_folders_of_a_flavour(flavour, bin_dir, conf_dir, after):
    pod = pod_of(made(f"flavour={flavour}"))
    folders = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    assert (folders["plugins"], folders["conflists"]) == (bin_dir, conf_dir)
    assert [volume["hostPath"] for volume in pod["volumes"] if volume["name"] == "plugins"] == [{"path": bin_dir, "type": "Directory"}]
    assert pod["initContainers"][0]["args"] == ["install", "--wait", f"--bin-dir=/host{bin_dir}", f"--conf-dir={conf_dir}", f"--after={after}"]
    for container in (*pod["initContainers"], *pod["containers"]):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert (mounts["plugins"], mounts["conflists"]) == (f"/host{bin_dir}", conf_dir)


def test_the_flavours_are_those_of_the_program():
    """By name, and their folders are among those that it knows."""
    program = "".join(path.read_text() for path in sorted((ROOT / "lib/runtime").glob("*.?pp")))
    assert re.findall(r'return "(\w+)";', (ROOT / "lib/runtime/flavour.cpp").read_text()) == FLAVOURS
    table = re.findall(r"^(\w+): \{binDir: (\S+), confDir: (\S+), after: \w+\}$", (CHART / "templates/_helpers.tpl").read_text(), re.MULTILINE)
    assert [name for name, *_ in table] == FLAVOURS
    for _, *folders in table:
        # Those of k3s lie in the folder of its data, which its configuration may name.
        names = {folder: folder.removeprefix("/var/lib/rancher/k3s/") for folder in folders}
        assert [folder for folder in folders if f'"{folder}"' not in program and f'"{names[folder]}"' not in program] == []


def test_folders_that_are_given_stand_instead():
    pod = pod_of(made("flavour=k3s", "binDir=/b", "confDir=/c", "after=ptp"))
    assert pod["initContainers"][0]["args"] == ["install", "--wait", "--bin-dir=/host/b", "--conf-dir=/c", "--after=ptp"]


def test_other_folders_of_plugins_are_seen_by_helm_test():
    doctor = made("flavour=crio", "otherBinDirs={/usr/libexec/cni,/srv/cni}")["Pod", "ip-masq-doctor"]["spec"]
    container, = doctor["containers"]
    assert container["args"] == ["doctor", "--bin-dir=/opt/cni/bin", "--bin-dir=/usr/libexec/cni", "--bin-dir=/srv/cni", "--conf-dir=/etc/cni/net.d"]
    folders = {volume["name"]: volume["hostPath"]["path"] for volume in doctor["volumes"]}
    mounted = {mount["mountPath"]: folders[mount["name"]] for mount in container["volumeMounts"]}
    for folder in "/opt/cni/bin", "/usr/libexec/cni", "/srv/cni":
        assert mounted[folder] == folder


def test_a_folder_that_is_named_twice_is_mounted_once():
    """Kubernetes refuses a pod with two mounts at one path."""
    others = "otherBinDirs={/opt/cni/bin/,/usr/libexec/cni,/usr/libexec/cni/}"
    container = made(others)["Pod", "ip-masq-doctor"]["spec"]["containers"][0]
    assert [each for each in container["args"] if each.startswith("--bin-dir")] == ["--bin-dir=/opt/cni/bin", "--bin-dir=/usr/libexec/cni"]
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
@pytest.mark.parametrize("value", ["appArmorProfile=null", "enabled=true", "image.tag=null", "image.digest=null"])
def test_values_that_charts_above_give(value, version):
    assert template(value, version=version).stdout == template(version=version).stdout


@pytest.mark.parametrize("values", [["flavour=k3s"], ["binDir=/var/lib/rancher/k3s/data/current/bin"]])
def test_links_of_k3s_lead_where_helm_test_sees_them(values):
    doctor = made(*values)["Pod", "ip-masq-doctor"]["spec"]
    assert {"name": "k3s", "hostPath": {"path": "/var/lib/rancher/k3s/data", "type": "Directory"}} in doctor["volumes"]
    assert {"name": "k3s", "mountPath": "/var/lib/rancher/k3s/data", "readOnly": True} in doctor["containers"][0]["volumeMounts"]


def test_openshift_lets_it_run():
    assert made("flavour=openshift")["RoleBinding", "ip-masq"]["roleRef"]["name"] == "system:openshift:scc:privileged"
    assert sorted(made()) == [("ConfigMap", "ip-masq"), ("DaemonSet", "ip-masq"), ("Pod", "ip-masq-doctor")]


def test_where_the_agent_listens():
    """On the node's own address where Prometheus is to reach it, and the probes ask there."""
    for values, listen, host in (([], "127.0.0.1:9464", "127.0.0.1"), (MONITORING, "$(NODE_IP):9464", None),
                                 (["listen.address=[::1]", "listen.port=1"], "[::1]:1", "::1"),
                                 (["listen.address=[$(NODE_IP)]"], "[$(NODE_IP)]:9464", None), (["listen.address=0.0.0.0"], "0.0.0.0:9464", None)):
        agent = pod_of(made(*values))["containers"][0]
        assert agent["args"][-1] == f"--listen={listen}"
        assert [agent[f"{kind}nessProbe"]["httpGet"].get("host") for kind in ("readi", "live")] == [host, host]
        assert [env["name"] for env in agent.get("env", [])] == ["NODE_NAME", *(["NODE_IP"] if "NODE_IP" in listen else [])]


def test_app_armor_before_it_was_a_field():
    old, new = (documents(template(*APP_ARMOR, version=version).stdout) for version in ("1.29.3", "1.30.0"))
    template_of = next(each["spec"]["template"] for each in old if each["kind"] == "DaemonSet")
    assert template_of["metadata"]["annotations"] == {
        f"container.apparmor.security.beta.kubernetes.io/{name}": "localhost/ip-masq" for name in ("install", "agent")}
    template_of = next(each["spec"]["template"] for each in new if each["kind"] == "DaemonSet")
    assert "annotations" not in template_of["metadata"]
    assert template_of["spec"]["securityContext"]["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "ip-masq"}


DIGESTS = [f"sha256:{digit * 64}" for digit in "12"]


@pytest.mark.parametrize("values, image", [
    (["repository=registry.example:5000/net/ip-masq"], "registry.example:5000/net/ip-masq:{version}"),
    (["repository=registry.example:5000/ip-masq", "tag=v1"], "registry.example:5000/ip-masq:v1"),
    (["repository=registry.example:5000/ip-masq:v1"], "registry.example:5000/ip-masq:v1"),
    (["repository=registry.example/ip-masq:v1", "tag=v1"], "registry.example/ip-masq:v1"),
    (["repository=[fd00::1]:5000/ip-masq:v1"], "[fd00::1]:5000/ip-masq:v1"),
    ([f"repository=localhost/ip-masq@{DIGESTS[0]}"], f"localhost/ip-masq@{DIGESTS[0]}"),
    ([f"repository=registry.example:5000/ip-masq:v1@{DIGESTS[0]}"], f"registry.example:5000/ip-masq@{DIGESTS[0]}"),
    ([f"repository=ip-masq:v1@{DIGESTS[0]}", f"digest={DIGESTS[0]}", "tag=v1"], f"ip-masq@{DIGESTS[0]}"),
    (["tag=v1", f"digest={DIGESTS[0]}"], f"ip-masq@{DIGESTS[0]}"),
])
def test_the_image(values, image):
    of_chart = made(*(f"image.{value}" for value in values))
    version = re.search(r"^appVersion: (.*)", (CHART / "Chart.yaml").read_text(), re.MULTILINE)[1]
    pods = pod_of(of_chart), of_chart["Pod", "ip-masq-doctor"]["spec"]
    containers = [container for pod in pods for container in (*pod.get("initContainers", []), *pod["containers"])]
    assert [container["image"] for container in containers] == [image.format(version=version)] * 3


@pytest.mark.parametrize("values, message", [
    (["repository=ip-masq:v1", "tag=v2"], "image.repository has the tag v1, and image.tag is v2: leave one of them out"),
    ([f"repository=ip-masq@{DIGESTS[0]}", f"digest={DIGESTS[1]}"],
     f"image.repository has the digest {DIGESTS[0]}, and image.digest is {DIGESTS[1]}: leave one of them out"),
    (["repository=https://registry.example/ip-masq"], "at '/image/repository'"),
    (["repository=registry.example/ip-masq/"], "at '/image/repository'"),
    (["repository=registry.example/ip-masq:"], "at '/image/repository'"),
    (["repository=registry.example/ip-masq@sha256:1"], "at '/image/repository'"),
    (["repository="], "at '/image/repository'"),
])
def test_images_that_cannot_be_meant(values, message):
    done = template(*(f"image.{value}" for value in values), check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_config_map_of_somebody_else():
    documents = made("config=null", "existingConfigMap.name=mine", "existingConfigMap.key=list")
    assert ("ConfigMap", "ip-masq") not in documents
    sources = pod_of(documents)["volumes"][0]["projected"]["sources"]
    assert sources[0]["configMap"] == {"name": "mine", "optional": True, "items": [{"key": "list", "path": "mine"}]}
    assert "--config-from=/config/mine" in pod_of(documents)["containers"][0]["args"]


@pytest.mark.parametrize("value, message", [
    ("config.nonMasqueradeCIDRs={10.0.0.0}", "/config"),
    ("config.nonMasqueradeCIDR={10.0.0.0/8}", "/config"),
    ("config.resyncInterval=60", "/config"),
    ("flavour=k8s", "at '/flavour': value must be one of 'kubeadm', 'k3s', 'rke2', 'microk8s', 'openshift', 'crio', 'podman'"),
    ("binDir=opt", "at '/binDir': 'opt' does not match pattern"),
    ("confDir=/", "at '/confDir': '/' does not match pattern"),
    ("otherBinDirs={opt}", "at '/otherBinDirs/0': 'opt' does not match pattern"),
    ("otherBinDirs=/opt", "at '/otherBinDirs': got string, want array"),
    ("binDir=//", "at '/binDir': '//' does not match pattern"),
    ("binDir=/opt/../..", "at '/binDir'"),
    ("listen.address=localhost", "at '/listen/address': 'localhost' does not match pattern"),
    ("listen.address=::1", "at '/listen/address': '::1' does not match pattern"),
    ("listen.address=127.0.0.256", "at '/listen/address'"),
    ("updateStrategy.maxUnavailable=0%", "at '/updateStrategy/maxUnavailable'"),
    ("appArmorProfile.type=Localhost", "at '/appArmorProfile': missing property 'localhostProfile'"),
    ("existingConfigMap.name=ip-masq", "at '/existingConfigMap/name'"),
    ("nonsense=1", "additional properties 'nonsense' not allowed"),
])
def test_values_that_cannot_be_meant(value, message):
    done = template(value, check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_alerts_and_dashboard_ask_for_metrics_that_there_are():
    there = set(re.findall(r'"(ip_masq_\w+)"', (ROOT / "plugin/agent/agent_report.cpp").read_text()))
    rules = made(*MONITORING)["PrometheusRule", "ip-masq"]["spec"]["groups"][0]["rules"]
    board = json.loads(made(*MONITORING)["ConfigMap", "ip-masq-dashboard"]["data"]["ip-masq.json"])
    asked = [*(rule["expr"] for rule in rules), *(target["expr"] for panel in board["panels"] for target in panel["targets"])]
    assert len(asked) > 10
    assert set(itertools.chain(*(re.findall(r"ip_masq_\w+", each) for each in asked))) <= there
    told = [rule["annotations"].get("description", "") for rule in rules]
    assert [text for text in told if re.search(r"\d+\.\d+\.\d+", text)] == [], "where it listens is what was scraped, not what is the default"
    done = subprocess.run([PYTHON, "-c", PARSE], input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
