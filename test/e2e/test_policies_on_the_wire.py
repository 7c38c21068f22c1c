"""What outside hosts see of pods that have policies, and of their neighbours that have none."""

import json

import pytest
from harness.network import Outside, Pod, Watch, ask, give, make_bridge

PARTNERS = ["10.20.0.9", "fd00:20::9"]       # kept by the policy, and by nobody else
COMPANY = ["10.9.9.9", "fd00:9::9"]          # kept by the network
WORLD = ["203.0.113.9", "2001:db8:9::9"]
OWN = {4: "198.18.0.77", 6: "2001:db8:18::77"}  # the policy's snatTo
NODE = Outside.NODE
POLICY = {"name": "partner", "namespaces": ["payments"], "annotated": ["batch-*"], "snatTo": list(OWN.values()),
          "nonMasqueradeCIDRs": ["10.20.0.0/16", "fd00:20::/32"]}
NETWORK = {"nonMasqueradeCIDRs": ["10.9.0.0/16", "fd00:9::/32"]}


def family(address):
    return 6 if ":" in address else 4


class Site:
    """A node with three pods of one subnet, each in its namespace, and the world outside."""

    SPACES = {"pod-1": "payments", "pod-2": "default", "pod-3": "batch-1"}

    def __init__(self, node):
        self.node, self.file = node, node.folder / "file"
        make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
        self.outside = Outside(node, PARTNERS + COMPANY + WORLD, ["10.244.1.0/24", "fd00:10:244:1::/64"])
        give(node, "lo", f"{OWN[4]}/32", f"{OWN[6]}/128")
        for version, address in OWN.items():
            self.outside.namespace.run("ip", "route", "add", address, "via", NODE[version])
        self.pods = {}
        for number, name in enumerate(self.SPACES, 5):
            self.pods[name] = Pod(node, name, f"10.244.1.{number}/24", f"fd00:10:244:1::{number}/64")
            self.pods[name].route_through("10.244.1.1", "fd00:10:244:1::1")

    def write(self, *policies):
        self.file.write_text(json.dumps({**NETWORK, "policies": policies}))

    def conf(self, name, asks=None):
        more = {} if asks is None else {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"ip-masq/policy": asks}}}
        return self.node.netconf(ips=self.pods[name].addresses, configFile=str(self.file), **more)

    def call(self, command, name, asks=None):
        self.node.do(command, name, self.conf(name, asks), CNI_ARGS=f"K8S_POD_NAMESPACE={self.SPACES[name]};K8S_POD_NAME={name}")

    def seen(self, name):
        return ask(self.pods[name].namespace, *(f"{protocol}:{address}" for protocol in ("tcp", "udp", "icmp") for address in PARTNERS + COMPANY + WORLD))

    def expected(self, name, has_policy):
        pod = {family(address): address.split("/")[0] for address in self.pods[name].addresses}
        kept, as_whom = (PARTNERS, OWN) if has_policy else (COMPANY, NODE)
        return {f"{protocol}:{address}": (pod if address in kept else as_whom)[family(address)]
                for protocol in ("tcp", "udp", "icmp") for address in PARTNERS + COMPANY + WORLD}

    def close(self):
        for pod in self.pods.values():
            pod.close()
        self.outside.close()


@pytest.fixture
def site(node):
    made = Site(node)
    made.write(POLICY)
    yield made
    made.close()


def seen_alike(site, *with_policy):
    for name in site.pods:
        assert site.seen(name) == site.expected(name, name in with_policy), name


def test_a_namespace_leaves_with_its_own_address(site):
    site.call("ADD", "pod-1")
    site.call("ADD", "pod-2", "partner")  # which it may not have
    site.call("ADD", "pod-3", "partner")
    seen_alike(site, "pod-1", "pod-3")
    for name in site.pods:
        site.call("CHECK", name)
    for source, destination, fate in (("payments/pod-1", PARTNERS[0], "kept"), ("default/pod-2", PARTNERS[0], "masqueraded"),
                                      ("batch-1/pod-3", COMPANY[1], "masqueraded")):
        assert json.loads(site.node.tool("explain", source, destination, "-o", "json"))["fate"] == fate
    told = json.loads(site.node.tool("explain", "payments/pod-1", WORLD[0], "-o", "json"))
    assert (told["snatTo"], told["policy"]) == (OWN[4], "partner")


def test_pods_of_one_subnet_see_one_another(site):
    for name in site.pods:
        site.call("ADD", name)
    assert site.node.tool("explain", "payments/pod-1", "10.244.1.6").startswith("payments/pod-1 (10.244.1.5) -> 10.244.1.6: kept\n")


@pytest.mark.parametrize("by", ["sync", "ADD"])
def test_a_change_reaches_running_pods_and_disturbs_no_other(site, by):
    for name in ("pod-1", "pod-2"):
        site.call("ADD", name)
    watch = Watch(site.pods["pod-2"].namespace, f"tcp:{WORLD[0]}", f"tcp:{COMPANY[0]}")

    def change(*policies):
        site.write(*policies)
        if by == "sync":
            site.node.tool("sync")
        else:
            site.call("ADD", "pod-3")

    change({**POLICY, "name": "other", "snatTo": []})
    assert site.seen("pod-1")[f"tcp:{WORLD[0]}"] == NODE[4]
    assert site.seen("pod-1")[f"tcp:{PARTNERS[0]}"] == "10.244.1.5"
    change(POLICY)
    assert site.seen("pod-1") == site.expected("pod-1", True)
    change()
    assert site.seen("pod-1") == site.expected("pod-1", False)
    told = watch.end()
    assert (told[f"tcp:{WORLD[0]}"], told[f"tcp:{COMPANY[0]}"]) == ([NODE[4]], ["10.244.1.6"])
    assert told["rounds"] > 0


def test_the_policy_goes_with_its_pod(site):
    for name in site.pods:
        site.call("ADD", name)
    site.call("DEL", "pod-1")
    assert "/partner" not in site.node.save()
    assert site.seen("pod-2") == site.expected("pod-2", False)
    # Another pod gets the address, in another namespace.
    site.SPACES = {**site.SPACES, "pod-1": "default"}
    site.call("ADD", "pod-1")
    assert site.seen("pod-1") == site.expected("pod-1", False)


def test_a_pod_that_comes_to_the_address_of_one_whose_end_nobody_told(site):
    site.call("ADD", "pod-1")
    site.SPACES = {**site.SPACES, "pod-9": "default"}
    site.pods["pod-9"] = site.pods.pop("pod-1")
    site.call("ADD", "pod-9")
    assert site.seen("pod-9") == site.expected("pod-9", False)
    site.node.tool("sync")
    assert site.seen("pod-9") == site.expected("pod-9", False)
