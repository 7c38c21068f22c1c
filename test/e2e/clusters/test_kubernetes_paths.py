"""Who sees which source address in a Kubernetes whose flanneld masquerades, as flannel leaves it and with ip-masq chained;
and that it stays so, whatever is restarted. With kube-proxy in each of its modes."""

import json

import pytest
from harness.daemons import wait_until
from harness.kubernetes import EXEMPT, MASQUERADED, OUTSIDE, PROGRAMS, Cluster, pod_manifest
from harness.network import Witness, ask
from harness.node import BINARY

PORT, HOST_PORT = 7007, 8007
CLUSTER, OTHER_CLUSTER, LOCAL = 30001, 30002, 30003  # node ports: policy Cluster of a1 and of b1, policy Local of a1
FLANNEL_FLAGS = ("--ip-masq",)


def service(name, pod, **spec):
    port = {"port": PORT, **({"nodePort": spec.pop("port")} if "port" in spec else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": pod}, "ports": [port], **spec}}


SERVICES = [service("a1", "a1"), service("b1", "b1"),
            service("cluster", "a1", type="NodePort", externalTrafficPolicy="Cluster", port=CLUSTER),
            service("other-cluster", "b1", type="NodePort", externalTrafficPolicy="Cluster", port=OTHER_CLUSTER),
            service("local", "a1", type="NodePort", externalTrafficPolicy="Local", port=LOCAL)]

# Who is seen, by (who asks, whom).
EXPECTED = {
    ("a1", "a2"): "a1",
    ("a1", "b1"): "a1",
    ("a1", "listed"): "a1",
    ("a1", "others"): "node1",
    ("a1", "service b1"): "a1",
    ("a1", "service a1"): "node1's bridge",  # back to itself: kube-proxy must masquerade
    ("a1", f"node1:{CLUSTER}"): "node1's bridge",
    ("a1", f"node1:{OTHER_CLUSTER}"): "node1's vxlan",
    ("a1", f"node1:{LOCAL}"): "node1's bridge",
    ("a1", f"node2:{CLUSTER}"): "node2's vxlan",
    ("a1", f"node2:{OTHER_CLUSTER}"): "node2's bridge",
    ("a1", f"node2:{LOCAL}"): "node2's vxlan",
    ("a1", f"node1:{HOST_PORT}"): "node1's bridge",  # portmap masquerades its own pod subnet
    ("b1", f"node1:{HOST_PORT}"): "b1",
    ("b1", f"node1:{CLUSTER}"): "node1's bridge",
    ("b1", f"node1:{LOCAL}"): "b1",
    ("b1", f"node2:{LOCAL}"): "b1",
    ("h", f"node1:{HOST_PORT}"): "node1's bridge",
    ("outside", "a1"): "outside",
    ("outside", "b1"): "outside",
    ("outside", f"node1:{CLUSTER}"): "node1's bridge",
    ("outside", f"node1:{OTHER_CLUSTER}"): "node1's vxlan",
    ("outside", f"node1:{LOCAL}"): "outside",
    ("outside", f"node2:{LOCAL}"): None,  # no pod of it there
    ("outside", f"node1:{HOST_PORT}"): "outside",
}

# The same without ip-masq.
AS_FLANNEL_LEAVES_IT = {
    **EXPECTED,
    ("a1", "listed"): "node1",
    ("a1", f"node2:{LOCAL}"): None,  # hidden: it is taken for somebody outside
    ("b1", f"node1:{HOST_PORT}"): "node2",
    ("b1", f"node1:{LOCAL}"): "node2",
}


class Site:
    """Pods a1, a2 and h (with a host port) on the first node, b1 on the second."""

    def __init__(self, cluster, mode):
        self.cluster, self.mode = cluster, mode
        self.witnesses = []
        cluster.start(mode, FLANNEL_FLAGS)
        cluster.apply(*SERVICES)
        self.start_pods()
        self.as_flannel_leaves_it = self.seen(AS_FLANNEL_LEAVES_IT)
        self.end_pods()
        for node in cluster.nodes:
            node.run(BINARY, "install")
        self.start_pods()

    def start_pods(self):
        first, second = self.cluster.nodes
        pods = self.cluster.run_pods(pod_manifest("a1", first), pod_manifest("a2", first), pod_manifest("b1", second),
                                     pod_manifest("h", first, ports=[{"containerPort": PORT, "hostPort": HOST_PORT}]))
        self.pods = {pod.name: pod for pod in pods}
        self.serve()

    def serve(self):
        """A witness in each pod, at its address."""
        for witness in self.witnesses:
            witness.close()
        self.witnesses = [Witness(pod, [pod.address]) for pod in self.pods.values()]

    def end_pods(self):
        self.cluster.kubectl("delete", "pod", "--all")

    def until(self, condition):
        wait_until(condition, self.cluster.nodes[0].daemons["kubelet"].process, "the kubelet")

    def addresses(self):
        """By name."""
        first, second = self.cluster.nodes
        prefix = [node.run("sh", "-c", ". /run/flannel/subnet.env; echo ${FLANNEL_SUBNET%.*}").strip() for node in (first, second)]
        return {**{name: pod.address for name, pod in self.pods.items()}, "node1": first.address, "node2": second.address,
                "listed": EXEMPT, "others": MASQUERADED, "outside": OUTSIDE,
                "node1's bridge": f"{prefix[0]}.1", "node1's vxlan": f"{prefix[0]}.0",
                "node2's bridge": f"{prefix[1]}.1", "node2's vxlan": f"{prefix[1]}.0",
                **{f"service {name}": self.cluster.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}") for name in ("a1", "b1")}}

    def seen(self, expected):
        """{(who, whom): who was seen}, once it is as expected, or after some time as it is. Node ports and endpoints take a
        moment to be programmed."""
        addresses = self.addresses()
        names = {address: name for name, address in addresses.items()}
        askers = {**self.pods, "outside": self.cluster.outside}

        def look():
            found = {}
            for who in dict.fromkeys(who for who, _ in expected):
                questions = {}
                for asker, whom in expected:
                    if asker == who:
                        host, *port = whom.split(":")
                        questions[f"tcp:{addresses[host]}" + (f":{port[0]}" if port else "")] = whom
                for question, source in ask(askers[who], *questions).items():
                    found[who, questions[question]] = names.get(source, source)
            return found

        for _ in range(20):
            found = look()
            if found == expected:
                break
        return found

    def expect(self):
        assert self.seen(EXPECTED) == EXPECTED

    def attachments(self):
        """Pods recorded on each node."""
        return [sorted(each["pod"] for network in json.loads(node.run(BINARY, "show", "-o", "json"))["networks"] for each in network["attachments"])
                for node in self.cluster.nodes]

    def close(self):
        for witness in self.witnesses:
            witness.close()
        self.cluster.close()


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def site(request, tmp_path_factory):
    if not (PROGRAMS / "kubelet").exists():
        pytest.skip("Kubernetes is not there: scripts/install-tools could not reach the Go module proxy")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made = Site(cluster, request.param)
    except BaseException:
        cluster.close()
        raise
    yield made
    made.close()


def test_who_sees_which_source(site):
    assert site.as_flannel_leaves_it == AS_FLANNEL_LEAVES_IT
    site.expect()


def test_thirty_pods_at_once(site):
    names = [f"many-{number}" for number in range(30)]
    pods = site.cluster.run_pods(*(pod_manifest(name, site.cluster.nodes[number % 2]) for number, name in enumerate(names)))
    for pod in pods:
        assert ask(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}") == {f"tcp:{EXEMPT}": pod.address, f"tcp:{MASQUERADED}": pod.node.address}
    site.cluster.kubectl("delete", "pod", *names)
    site.until(lambda: site.attachments() == [["default/a1", "default/a2", "default/h"], ["default/b1"]])
    site.expect()


@pytest.mark.parametrize("program", ["containerd", "kubelet", "kube-proxy", "flanneld"])
def test_a_restart_changes_nothing(site, program):
    for node in site.cluster.nodes:
        node.end(program)
        {"containerd": node.start_containerd, "kubelet": node.start_kubelet, "kube-proxy": lambda node=node: node.start_kube_proxy(site.mode),
         "flanneld": lambda node=node: node.start_flanneld(*FLANNEL_FLAGS)}[program]()
    late, = site.cluster.run_pods(pod_manifest("late", site.cluster.nodes[0]))
    assert ask(late, f"tcp:{EXEMPT}") == {f"tcp:{EXEMPT}": late.address}
    site.cluster.kubectl("delete", "pod", "late")
    site.until(lambda: site.attachments() == [["default/a1", "default/a2", "default/h"], ["default/b1"]])
    site.expect()


def test_a_node_is_rebooted(site):
    node = site.cluster.nodes[0]
    before = {name: pod.address for name, pod in site.pods.items() if pod.node is node}
    node.power_off()
    assert node.run("nft", "list", "tables") == ""
    node.start(site.mode, FLANNEL_FLAGS)

    def is_up():
        pods = json.loads(site.cluster.kubectl("get", "pods", "-o", "json"))["items"]
        statuses = [pod["status"] for pod in pods if pod["metadata"]["name"] in before]
        return all(status["containerStatuses"][0]["ready"] and status["containerStatuses"][0]["restartCount"] > 0 for status in statuses)

    site.until(is_up)
    site.pods = {name: site.cluster.pod(name) for name in site.pods}
    site.serve()
    site.expect()
    assert site.attachments() == [["default/a1", "default/a2", "default/h"], ["default/b1"]]


def test_a_sandbox_whose_namespace_is_gone(site):
    node = site.cluster.nodes[1]
    lost, = site.cluster.run_pods(pod_manifest("lost", node))
    name = node.run("sh", "-c", f"for n in /run/netns/cni-*; do nsenter --net=$n ip -4 -o address | grep -q ' {lost.address}/' && echo $n; done; true").strip()
    assert name
    node.run("umount", name)
    node.run("rm", name)
    site.cluster.kubectl("delete", "pod", "lost")
    site.until(lambda: site.attachments()[1] == ["default/b1"])
    site.expect()


def test_nothing_is_left_after_the_last_pod(site):
    site.end_pods()
    for node in site.cluster.nodes:
        site.until(lambda node=node: "inet ip-masq" not in node.run("nft", "list", "tables"))
        assert node.run("find", "/run/cni/ip-masq", "-mindepth", "1", "-printf", "%P\n") == "lock\n"
