"""What an outside host sees of a connection whose entry in conntrack is gone: never a pod's address where it is to be hidden,
and all of it where pods keep theirs."""

import pytest
from harness.agents import Agent
from harness.held import Held, Seen
from harness.network import Outside, Pod, Witness, ask, connect, give, make_bridge
from harness.node import Namespace
from harness.texts import in_order

KEPT = {4: "10.9.9.9", 6: "fd00:9::9"}
MASQUERADED = {4: "203.0.113.9", 6: "2001:db8:9::9"}
POD = {4: "10.244.1.5", 6: "fd00:10:244:1::5"}
NODE = Outside.NODE
ACTIONS = ["data", "fin", "rst", "error"]


class Site:
    def __init__(self, node, length=(24, 64)):
        self.node = node
        make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
        self.outside = Outside(node, [*KEPT.values(), *MASQUERADED.values()], ["10.244.1.0/24", "fd00:10:244:1::/64"])
        self.pod = Pod(node, "pod-1", f"{POD[4]}/24", f"{POD[6]}/64")
        self.pod.route_through("10.244.1.1", "fd00:10:244:1::1")
        self.ips = [f"{POD[4]}/{length[0]}", f"{POD[6]}/{length[1]}"]

    def after_loss(self, action, address):
        """The sources that the host sees of a connection that loses its entry, and then does this."""
        held = Held(self.pod.namespace, address)
        self.node.run("conntrack", "-F")
        seen = Seen(self.outside.namespace)
        try:
            assert held(action) == "done"
            ask(self.pod.namespace, f"udp:{address}")  # what was sent before has passed when this was answered
            return seen.end()[address]
        finally:
            held.end()

    def of_a_connection(self, action, address):
        """The sources that the host sees of a connection that lives and does this."""
        held = Held(self.pod.namespace, address)
        seen = Seen(self.outside.namespace)
        try:
            assert held(action) == "done"
            ask(self.pod.namespace, f"udp:{address}")
            return seen.end()[address]
        finally:
            held.end()

    def close(self):
        self.pod.close()
        self.outside.close()


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


@pytest.mark.parametrize("loose", [1, 0])
@pytest.mark.parametrize("family", [4, 6])
def test_nothing_leaves_with_the_address_of_a_pod_that_is_masqueraded(site, family, loose):
    site.node.add(ips=site.ips)
    site.node.sysctl(net__netfilter__nf_conntrack_tcp_loose=loose)
    assert {action: site.after_loss(action, MASQUERADED[family]) for action in ACTIONS} == dict.fromkeys(ACTIONS, [NODE[family]])


@pytest.mark.parametrize("liberal", [0, 1])
@pytest.mark.parametrize("family", [4, 6])
def test_a_segment_beyond_the_window_of_a_connection_that_lives(site, family, liberal):
    """Which conntrack calls invalid unless the node has it be liberal: then it is translated as any other."""
    site.node.add(ips=site.ips, dropInvalid=False)
    site.node.sysctl(net__netfilter__nf_conntrack_tcp_be_liberal=liberal)
    leaves = [NODE[family]] if liberal else sorted([POD[family], NODE[family]])
    assert site.of_a_connection("beyond", MASQUERADED[family]) == leaves
    assert site.of_a_connection("beyond", KEPT[family]) == [POD[family]]
    site.node.add(ips=site.ips)
    assert site.of_a_connection("beyond", MASQUERADED[family]) == [NODE[family]]
    assert site.of_a_connection("beyond", KEPT[family]) == [POD[family]]


@pytest.mark.parametrize("family", [4, 6])
def test_a_liberal_conntrack_calls_what_has_no_entry_invalid_all_the_same(site, family):
    site.node.add(ips=site.ips)
    site.node.sysctl(net__netfilter__nf_conntrack_tcp_be_liberal=1)
    assert {action: site.after_loss(action, MASQUERADED[family]) for action in ACTIONS} == dict.fromkeys(ACTIONS, [NODE[family]])


@pytest.mark.parametrize("family", [4, 6])
def test_pods_with_addresses_of_their_own(node, family):
    site = Site(node, (32, 128))
    try:
        node.add("pod-0", ips=["10.244.1.9/32", "fd00:10:244:1::9/128"])
        node.add(ips=site.ips)
        assert {action: site.after_loss(action, MASQUERADED[family]) for action in ACTIONS} == dict.fromkeys(ACTIONS, [NODE[family]])
    finally:
        site.close()


@pytest.mark.parametrize("keys", [{"snatTo": ["198.18.0.1", "2001:db8:18::1"]}, {"exemption": "return"},
                                  {"catchAll": False, "masqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}], ids=lambda keys: next(iter(keys)))
def test_whatever_masquerades_them(site, keys):
    site.node.add(ips=site.ips, **keys)
    for family in (4, 6):
        assert site.after_loss("fin", MASQUERADED[family]) == [NODE[family]]
        assert site.after_loss("fin", KEPT[family]) == [POD[family]]


@pytest.mark.parametrize("dropped_of", ["policy", "network"])
@pytest.mark.parametrize("has_policy", [True, False])
def test_a_policy_says_it_of_its_pods_alone(site, has_policy, dropped_of):
    """Of networks that the other keeps, as well."""
    policy = {"name": "other", "namespaces": ["asked-for"], "dropInvalid": dropped_of == "policy", "nonMasqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}
    keys = {"dropInvalid": dropped_of == "network", "policies": [policy]}
    spaces = ["asked-for", "else"] if has_policy else ["else", "asked-for"]
    for pod, space, ips in zip(("pod-1", "pod-2"), spaces, (site.ips, ["10.244.1.6/24", "fd00:10:244:1::6/64"])):
        site.node.do("ADD", pod, site.node.netconf(ips=ips, **keys), CNI_ARGS=f"K8S_POD_NAMESPACE={space};K8S_POD_NAME={pod}")
    kept, masqueraded = (MASQUERADED, KEPT) if has_policy else (KEPT, MASQUERADED)
    is_dropped = dropped_of == ("policy" if has_policy else "network")
    for family in (4, 6):
        assert site.after_loss("fin", masqueraded[family]) == ([NODE[family]] if is_dropped else sorted([POD[family], NODE[family]]))
        assert site.after_loss("fin", kept[family]) == [POD[family]]


@pytest.mark.parametrize("family", [4, 6])
def test_where_it_is_switched_off_they_leave_as_they_are(site, family):
    """So the other tests can fail."""
    site.node.add(ips=site.ips, dropInvalid=False)
    for action in ("fin", "rst", "error"):
        assert site.after_loss(action, MASQUERADED[family]) == sorted([POD[family], NODE[family]])
    site.node.add("pod-2", ips=["10.244.1.6/24", "fd00:10:244:1::6/64"])
    assert site.after_loss("fin", MASQUERADED[family]) == [NODE[family]]


@pytest.mark.parametrize("comes", ["iptables", "nftables"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_wider_network_that_comes_later_drops_none_of_another_s(site, family, comes):
    site.node.add(ips=site.ips, dropInvalid=False)
    leaves = sorted([POD[family], NODE[family]])
    site.node.add("pod-2", ips=["10.244.200.6/16", "fd00:10:244:200::6/48"], name="wide", backend=comes)
    assert site.after_loss("fin", MASQUERADED[family]) == leaves


@pytest.mark.parametrize("family", [4, 6])
def test_what_no_list_names_without_the_catch_all(site, family):
    site.node.add(ips=site.ips, catchAll=False, masqueradeCIDRs=["10.1.2.0/24", "fd00:1:2::/48"])
    assert site.after_loss("fin", MASQUERADED[family]) == [POD[family]]


@pytest.mark.parametrize("loose", [1, 0])
@pytest.mark.parametrize("family", [4, 6])
def test_a_kept_connection_goes_on_without_its_entry(site, family, loose):
    site.node.add(ips=site.ips)
    site.node.sysctl(net__netfilter__nf_conntrack_tcp_loose=loose)
    held = Held(site.pod.namespace, KEPT[family])
    site.node.run("conntrack", "-F")
    assert [held("data"), held("wait"), held("fin")] == ["done", POD[family], "done"]
    held.end()


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_connection_over_an_asymmetric_route_goes_on_where_pods_keep_their_addresses(site, is_kept):
    """What comes to the pod takes a router of its own: conntrack here sees but the answers, which it calls invalid."""
    router = Namespace("router")
    try:
        connect(router, "to-pod", site.pod.namespace, "eth1")
        give(router, "to-pod", "198.18.8.1/24")
        give(site.pod.namespace, "eth1", "198.18.8.2/24")
        router.run("ip", "route", "add", POD[4], "via", "198.18.8.2")
        site.pod.namespace.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__eth1__rp_filter=0)
        connect(router, "to-outside", site.outside.namespace, "to-router")
        give(router, "to-outside", "198.18.9.1/24")
        give(site.outside.namespace, "to-router", "198.18.9.2/24")
        site.outside.namespace.run("ip", "route", "replace", "10.244.1.0/24", "via", "198.18.9.1")
        router.sysctl(net__ipv4__ip_forward=1)
        site.node.add(ips=site.ips, nonMasqueradeCIDRs=["198.18.9.0/24"] if is_kept else [])
        in_pod = Witness(site.pod.namespace, [POD[4]])
        question = f"tcp:{POD[4]}"
        assert ask(site.outside.namespace, question) == {question: "198.18.9.2" if is_kept else None}
        in_pod.close()
        shown = [line.split("\t") for line in site.node.tool("show").splitlines() if "-invalid: " in line]
        counted = {rule.split("counter ")[1] for packets, _, rule in shown if int(packets)}
        assert counted == {"return" if is_kept else "drop"}
    finally:
        router.close()


@pytest.mark.parametrize("damage", [["delete", "table", "inet", "ip-masq"], ["flush", "chain", "inet", "ip-masq", "forward"],
                                    ["flush", "map", "inet", "ip-masq", "invalid-pod-subnets"]], ids=" ".join)
def test_an_agent_mends_at_once_what_somebody_breaks(site, daemons, damage):
    site.node.add(ips=site.ips, resyncInterval="24h")
    right = in_order(site.node.nft("-s", "list", "ruleset"))
    assert "chain forward" in right
    daemons.append(Agent(site.node))
    daemons[0].until_it_runs()
    site.node.nft(*damage)
    daemons[0].until(lambda: in_order(site.node.nft("-s", "list", "ruleset")) == right)
    daemons[0].until_it_says("(nftables changed)")
    assert site.after_loss("fin", MASQUERADED[4]) == [NODE[4]]
