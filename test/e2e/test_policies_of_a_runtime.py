"""Policies of pods that a real kubelet starts, whose containerd (Debian's, of version 1) tells namespaces and annotations."""

import json

import pytest
from harness.containerd import Containerd2Host, ContainerdHost
from harness.kubernetes import PROGRAMS
from harness.network import Outside, ask
from test_containerd_2 import LIST, NETWORK, KubeletHost


class Containerd1Host(KubeletHost):
    start_containerd, import_image = ContainerdHost.start_containerd, ContainerdHost.import_image

    def use_iptables(self, kind):
        super(Containerd2Host, self).use_iptables(kind)


@pytest.fixture
def node(tools, tmp_path):
    if not (PROGRAMS / "kubelet").exists():
        pytest.skip("Kubernetes is not there: scripts/install-tools could not reach the Go module proxy")
    made = Containerd1Host(tmp_path)
    outside = [Outside(made, [address], ["10.22.0.0/24"], number) for number, address in enumerate(("203.0.113.9", "10.9.9.9"))]
    yield made
    for each in (*outside, made):
        each.close()


def test_pods_get_the_policies_of_their_namespace_and_their_annotations(node):
    node.start_containerd(node.image)
    node.write(LIST, json.dumps({**NETWORK, "cniVersion": "1.0.0"}))  # its libcni knows no later one
    node.write("/etc/config/ip-masq-agent", json.dumps({"nonMasqueradeCIDRs": [], "policies": [
        {"name": "kept", "annotated": ["sh?p"], "nonMasqueradeCIDRs": ["10.9.0.0/16"]}, {"name": "other", "annotated": ["else"]}]}))
    node.tool("install", "--after", "bridge")
    node.start_kubelet()
    asked = {"plain": {}, "asking": {"ip-masq/policy": "kept"}, "hoping": {"ip-masq/policy": "other"}}
    for name, annotations in asked.items():
        node.start_pod(name, **annotations)
    pods = {name: node.pod(name) for name in asked}
    address = {name: node.attachments()[f"shop/{name}-node"]["addresses"][0].split("/")[0] for name in asked}
    seen = {name: ask(pod, "tcp:10.9.9.9")["tcp:10.9.9.9"] for name, pod in pods.items()}
    assert seen == {"plain": "198.18.1.1", "asking": address["asking"], "hoping": "198.18.1.1"}
    told = node.attachments()
    assert told["shop/asking-node"]["policy"] == {"name": "kept", "by": "asked for"}
    assert told["shop/hoping-node"]["refused"] == "neither annotated nor namespaces of policy other holds namespace shop"
    assert json.loads(node.tool("explain", "shop/asking-node", "10.9.9.9", "-o", "json"))["policy"] == "kept"
    # What the runtime recorded tells it again.
    node.run("rm", "-r", "/run/cni/ip-masq")
    node.tool("adopt")
    assert node.attachments()["shop/asking-node"]["policy"] == {"name": "kept", "by": "asked for"}
    assert ask(pods["asking"], "tcp:10.9.9.9") == {"tcp:10.9.9.9": address["asking"]}
