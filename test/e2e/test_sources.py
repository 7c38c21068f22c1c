"""What the other side sees of a pod: the source addresses of real packets, beside other programs' masquerade rules."""

import re

import pytest
from harness.masquerades import HIDING, PLACES, kube_proxy, portmap, put
from harness.network import Outside, Pod, Watch, Witness, ask, make_bridge

POD = {4: "10.244.1.5", 6: "fd00:10:244:1::5"}
NODE = Outside.NODE
NEIGHBOUR = {4: "10.244.1.6", 6: "fd00:10:244:1::6"}

KEPT = ["10.9.9.9", "172.20.1.1", "192.168.7.7", "10.244.2.9", "169.254.77.7", "fd00:9::9", "fd00:10:244:2::9"]
MASQUERADED = ["203.0.113.9", "10.1.2.9", "100.64.0.9", "2001:db8:9::9", "fd00:1:2::9"]
KEYS = {"masqueradeCIDRs": ["10.1.2.0/24", "fd00:1:2::/48"]}
PROTOCOLS = ["tcp", "udp", "icmp"]


def family(address):
    return 6 if ":" in address else 4


class Site:
    """A node with two pods of one subnet, and the world outside."""

    def __init__(self, node):
        self.node = node
        make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
        self.outside = Outside(node, KEPT + MASQUERADED, ["10.244.1.0/24", "fd00:10:244:1::/64"])
        self.pod = Pod(node, "pod-1", "10.244.1.5/24", "fd00:10:244:1::5/64")
        self.neighbour = Pod(node, "pod-2", "10.244.1.6/24", "fd00:10:244:1::6/64")
        for pod in (self.pod, self.neighbour):
            pod.route_through("10.244.1.1", "fd00:10:244:1::1")

    def put(self, *programs):
        """Rules of other programs: in all the places where the back end must hold against them, at once."""
        put(self.node, *programs, places=PLACES[self.node.backend])

    def add(self, **keys):
        self.node.add("pod-1", ips=self.pod.addresses, **{**KEYS, **keys})
        self.node.add("pod-2", ips=self.neighbour.addresses, **{**KEYS, **keys})

    def seen(self, addresses, protocols=PROTOCOLS):
        return ask(self.pod.namespace, *(f"{protocol}:{address}" for protocol in protocols for address in addresses))

    def close(self):
        self.pod.close()
        self.neighbour.close()
        self.outside.close()


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


def expected(kept, masqueraded, protocols=PROTOCOLS):
    return {f"{protocol}:{address}": source[family(address)]
            for protocol in protocols
            for addresses, source in ((kept, POD), (masqueraded, NODE)) for address in addresses}


def test_without_any_rule_everybody_sees_the_pod(site):
    assert site.seen(KEPT + MASQUERADED) == expected(KEPT + MASQUERADED, [])


@pytest.mark.parametrize("program", HIDING)
def test_each_of_them_hides_pods_without_ip_masq(site, program):
    site.put(HIDING[program])
    spared = {"flannel": ["10.244.2.9", "fd00:10:244:2::9"], "ip-masq-agent": ["192.168.7.7"]}.get(program, [])
    hidden = [address for address in KEPT if address not in spared]
    assert site.seen(hidden, ["tcp"]) == expected([], hidden, ["tcp"])


@pytest.mark.parametrize("order", ["before", "after", "above"])
@pytest.mark.parametrize("program", [*HIDING, "all"])
def test_listed_networks_see_the_pod_and_others_the_node(site, program, order):
    programs = [*HIDING.values(), kube_proxy, portmap] if program == "all" else [HIDING[program]]
    if order == "before":
        site.put(*programs)
        site.add()
    elif order == "after":
        site.add()
        site.put(*programs)
    else:
        site.add()
        site.put(*programs)
        for place in PLACES[site.node.backend]:
            if place != "nft":
                site.node.run(place, "-t", "nat", "-I", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE")
                site.node.run(place.replace("ip", "ip6", 1), "-t", "nat", "-I", "POSTROUTING", "-s", "fd00::/8", "-j", "MASQUERADE")
        site.node.tool("sync")
    assert site.seen(KEPT + MASQUERADED) == expected(KEPT, MASQUERADED)


def test_exemption_return_lets_other_rules_apply(site):
    site.add(exemption="return")
    assert site.seen(KEPT + MASQUERADED, ["tcp"]) == expected(KEPT, MASQUERADED, ["tcp"])
    site.put(HIDING["docker"])
    assert site.seen(KEPT, ["tcp"]) == expected([], KEPT, ["tcp"])


def test_without_the_catch_all_other_rules_decide(site):
    site.add(catchAll=False)
    holes = ["10.1.2.9", "fd00:1:2::9"]
    rest = [address for address in MASQUERADED if address not in holes]
    assert site.seen(KEPT + MASQUERADED, ["tcp"]) == expected(KEPT + rest, holes, ["tcp"])
    site.put(HIDING["flannel"])
    assert site.seen(KEPT + MASQUERADED, ["tcp"]) == expected(KEPT, MASQUERADED, ["tcp"])


def test_snat_to_an_address(site):
    site.node.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    site.node.run("ip", "address", "add", "2001:db8:18::77/64", "dev", "uplink0", "nodad")
    site.add(snatTo=["198.18.0.77", "2001:db8:18::77"])
    seen = {4: "198.18.0.77", 6: "2001:db8:18::77"}
    assert site.seen(MASQUERADED) == {f"{protocol}:{address}": seen[family(address)]
                                      for protocol in PROTOCOLS for address in MASQUERADED}


def test_source_ports_come_from_the_ranges(site):
    site.add(toPorts="21000-21009,23000-23009")
    for _ in range(4):
        site.seen(["203.0.113.9"], ["tcp", "udp"])
    # Of a connection conntrack prints both directions; the second one's destination is what the outside saw.
    connections = [line for line in site.node.run("conntrack", "-L", "--src-nat").splitlines() if "dport=7007" in line]
    assert {line.split()[0] for line in connections} == {"tcp", "udp"}
    ports = [int(re.findall(r"dport=(\d+)", line)[1]) for line in connections]
    assert all(21000 <= port <= 21009 or 23000 <= port <= 23009 for port in ports)


def test_pods_of_one_subnet_see_each_other(site):
    witness = Witness(site.neighbour.namespace, NEIGHBOUR.values())
    try:
        site.put(*HIDING.values())
        for bridged in ("0", "1"):
            site.node.sysctl(**{"net__bridge__bridge-nf-call-iptables": bridged, "net__bridge__bridge-nf-call-ip6tables": bridged})
            site.add(nonMasqueradeCIDRs=[], masqueradeCIDRs=[])
            assert site.seen(NEIGHBOUR.values(), ["tcp", "icmp"]) == expected(NEIGHBOUR.values(), [], ["tcp", "icmp"])
    finally:
        witness.close()


@pytest.mark.parametrize("first, second", [("cbr0", "renamed"), ("renamed", "cbr0")])
def test_networks_that_have_a_pod_subnet_in_common(site, first, second):
    """Each pod goes by its own network's lists, whoever came first, and nothing stays."""
    node = site.node
    before = [node.rules(number) for number in (4, 6)]
    other = {"nonMasqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}
    node.add("pod-1", name=first, ips=site.pod.addresses, **KEYS)
    node.add("pod-2", name=second, ips=site.neighbour.addresses, **other)

    def check_packets():
        addresses = ["10.9.9.9", "203.0.113.9", "fd00:9::9", "2001:db8:9::9"]
        kept, masqueraded = ["10.9.9.9", "fd00:9::9"], ["203.0.113.9", "2001:db8:9::9"]
        assert site.seen(addresses, ["tcp"]) == expected(kept, masqueraded, ["tcp"])
        assert ask(site.neighbour.namespace, *(f"tcp:{address}" for address in addresses)) == {
            **{f"tcp:{address}": NODE[family(address)] for address in kept},
            **{f"tcp:{address}": NEIGHBOUR[family(address)] for address in masqueraded}}

    check_packets()
    assert node.check("pod-1", name=first, ips=site.pod.addresses, **KEYS) is None
    assert f"network {second} (" in node.tool("explain", NEIGHBOUR[4], "10.9.9.9")
    node.run("nft", "flush", "ruleset")
    for family_of in (4, 6):
        node.iptables("-F", family=family_of)
    assert node.check("pod-1", name=first, ips=site.pod.addresses, **KEYS) is not None
    node.tool("sync")
    check_packets()
    node.delete("pod-1", name=first)
    node.delete("pod-2", name=second)
    assert [node.rules(number) for number in (4, 6)] == before


@pytest.mark.parametrize("mark, program", [("0x4000/0x4000", kube_proxy), ("0x2000/0x2000", portmap)])
def test_marked_packets_are_left_to_who_must_masquerade_them(site, mark, program):
    site.put(program)
    site.add()
    for number in (4, 6):
        site.node.run("iptables-legacy" if number == 4 else "ip6tables-legacy", "-w", "-t", "mangle", "-A", "FORWARD",
                      "-i", "cni0", "-p", "tcp", "-j", "MARK", "--set-xmark", mark)
    assert site.seen(KEPT, ["tcp"]) == expected([], KEPT, ["tcp"])
    assert site.seen(KEPT, ["udp"]) == expected(KEPT, [], ["udp"])


def test_a_pod_notices_nothing_of_a_move_to_the_other_back_end(site):
    """To and fro, beside a masquerade rule that would hide it for a moment without rules of ours."""
    put(site.node, HIDING["docker"])
    kept, masqueraded = ["10.9.9.9", "fd00:9::9"], ["203.0.113.9", "2001:db8:9::9"]
    site.add()
    other = {"iptables": "nftables", "nftables": "iptables"}[site.node.backend]
    watch = Watch(site.pod.namespace, *(f"tcp:{address}" for address in kept + masqueraded))
    moves = 100
    for number in range(moves):
        site.node.backend = other if number % 2 == 0 else {"iptables": "nftables", "nftables": "iptables"}[other]
        site.node.add("pod-2", ips=site.neighbour.addresses, **KEYS)
    seen = watch.end()
    assert seen.pop("rounds") > moves / 2
    assert seen == {question: [source] for question, source in expected(kept, masqueraded, ["tcp"]).items()}
