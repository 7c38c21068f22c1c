"""Pods of a real kubelet, without an API server, whose runtime is containerd 2: another configuration than version 1 has, and
another libcni, which asks for STATUS."""

import json
import re

import pytest
from harness.containerd import VERSION_2, Containerd2Host
from harness.daemons import Daemon, wait_until
from harness.host import TOOLS
from harness.kubernetes import BUSYBOX, KUBELET, PROGRAMS, image
from harness.network import Outside, ask
from harness.node import BINARY, NamespaceOfProcess

LIST = "/etc/cni/net.d/10-bridge.conflist"
NETWORK = {"cniVersion": "1.1.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}]]}}]}
# On links of its own, as of storage.
SECOND = {"cniVersion": "1.0.0", "name": "storage", "plugins": [
    {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.33.0.0/24"}]]}}]}
# What containerd calls, told before it is called.
TELLING = """#!/bin/sh
echo "$CNI_COMMAND" >>FILE
exec PROGRAM
"""


class KubeletHost(Containerd2Host):
    PRIVATE = [*Containerd2Host.PRIVATE, "/opt/cni/bin", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"]

    def __init__(self, folder):
        super().__init__(folder)
        self.pods = self.folder / "pods"
        self.pods.mkdir()
        self.sysctl(net__ipv4__ip_forward=1)
        self.write("/var/lib/kubelet/config.yaml", json.dumps({**KUBELET, "registerNode": False, "staticPodPath": str(self.pods)}))
        self.run("cp", *(TOOLS / plugin for plugin in ("bridge", "host-local", "loopback")), "/opt/cni/bin")
        self.write(LIST, json.dumps(NETWORK))
        self.image = image(self.folder / "busybox.tar", BUSYBOX, {"bin/busybox": "/bin/busybox"}, ["/bin/busybox", "sleep", "infinity"])

    def start_kubelet(self):
        self.daemons["kubelet"] = Daemon(self, "kubelet", PROGRAMS / "kubelet", "--config", "/var/lib/kubelet/config.yaml", "--hostname-override=node", "--v=4")

    def start_pod(self, name, **annotations):
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never"}]}}
        (self.pods / f"{name}.json").write_text(json.dumps(manifest))

    def end_pod(self, name):
        (self.pods / f"{name}.json").unlink()

    def attachments(self):
        return {each["pod"]: each for network in json.loads(self.tool("show", "-o", "json"))["networks"] for each in network["attachments"]}

    def pod(self, name):
        """Its network namespace, once it runs."""
        self.until(lambda: f"shop/{name}-node" in self.attachments())
        sandbox = self.attachments()[f"shop/{name}-node"]["containerID"]

        def task():
            return [line.split()[1] for line in self.run(*self.ctr("tasks", "list"), env=self.env).splitlines() if line.startswith(sandbox)]

        self.until(task)
        return NamespaceOfProcess(task()[0])

    def until(self, condition):
        wait_until(condition, self.daemons["kubelet"].process, "the kubelet")

    def findings(self):
        said = json.loads(self.tool("doctor", "-o", "json", check=False))
        assert said["notLooked"] == []
        return {each["name"]: each for each in said["findings"]}

    def close(self):
        if "kubelet" in self.daemons:
            self.end("kubelet")
        super().close()


@pytest.fixture
def node(tools, tmp_path):
    if not (VERSION_2 / "ctr").exists() or not (PROGRAMS / "kubelet").exists():
        pytest.skip("containerd 2 and Kubernetes are not there: scripts/install-tools could not reach the Go module proxy")
    made = KubeletHost(tmp_path)
    outside = [Outside(made, [address], ["10.22.0.0/24"], number) for number, address in enumerate(("203.0.113.9", "10.9.9.9"))]
    yield made
    for each in (*outside, made):
        each.close()


def test_a_pod_comes_and_goes(node):
    node.start_containerd(node.image, cni='bin_dirs = ["/usr/local/libexec/cni", "/opt/cni/bin"]\n')
    config = "/etc/containerd/config.toml"
    done = node.run("sh", "-ec", f"{BINARY} install --after bridge 2>&1", env=node.env)
    assert done == (
        f"ip-masq: note: kubeadm: networks in /etc/cni/net.d (as containerd is built, {config} names none), plugins in /usr/local/libexec/cni or "
        f"/opt/cni/bin (bin_dirs in {config})\nput /opt/cni/bin/ip-masq\nput the entry into {LIST}\n")
    assert node.findings() == {}
    told, program, nothing = node.folder / "called", node.folder / "ip-masq", node.run("nft", "list", "ruleset")
    node.run("mv", "/opt/cni/bin/ip-masq", program)
    node.write("/opt/cni/bin/ip-masq", TELLING.replace("FILE", str(told)).replace("PROGRAM", str(program)))
    node.run("chmod", "755", "/opt/cni/bin/ip-masq")
    node.start_kubelet()
    node.start_pod("web")
    pod = node.pod("web")
    address = node.attachments()["shop/web-node"]["addresses"][0].split("/")[0]
    assert ask(pod, "tcp:10.9.9.9", "udp:10.9.9.9", "tcp:203.0.113.9") == {
        "tcp:10.9.9.9": address, "udp:10.9.9.9": address, "tcp:203.0.113.9": "198.18.0.1"}
    node.end_pod("web")
    node.until(lambda: not node.attachments())
    assert node.run("nft", "list", "ruleset") == nothing and "IP-MASQ" not in node.save()
    # A STATUS that fails takes the whole node out of service.
    installed = json.loads(node.run("cat", LIST))
    node.write(LIST, json.dumps({**installed, "plugins": [*installed["plugins"][:-1], {"type": "ip-masq", "nonMasqueradeCIDRs": ["x"]}]}))
    log = node.folder / "kubelet.log"
    node.until(lambda: re.search(r'NetworkReady=false reason:NetworkPluginNotReady message:.*nonMasqueradeCIDRs is \S*x', log.read_text()))
    called = told.read_text().split()
    assert {"ADD", "DEL", "STATUS"} <= set(called) and called[0] == "STATUS"


def test_a_pod_needs_the_programs_of_each_list_that_it_gets(node):
    """Of another list as well, of which ip-masq knows nothing."""
    node.write("/etc/cni/net.d/20-storage.conflist", json.dumps(SECOND))
    node.start_containerd(node.image, cni="max_conf_num = 2\n")
    node.tool("install", "--after", "bridge")
    found = node.findings()
    assert found == {"plugin-missing": {
        "name": "plugin-missing", "weight": "hurts",
        "does": "pods get that list as well, as max_conf_num in /etc/containerd/config.toml says: an ADD fails: no pod starts",
        "where": ["no program /opt/cni/bin/ptp, which /etc/cni/net.d/20-storage.conflist asks for"],
        "fix": found["plugin-missing"]["fix"]}}
    node.start_kubelet()
    node.start_pod("web")
    log = node.folder / "kubelet.log"
    node.until(lambda: 'failed to find plugin \\"ptp\\"' in log.read_text())
    node.run("cp", TOOLS / "ptp", "/opt/cni/bin")
    assert node.findings() == {}
    links = json.loads(node.pod("web").run("ip", "-j", "address"))
    assert {address["local"].rpartition(".")[0] for link in links for address in link["addr_info"] if address["family"] == "inet"} == {
        "127.0.0", "10.22.0", "10.33.0"}
