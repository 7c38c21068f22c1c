"""Rules, routes and drops that hold for one pod alone, or that take pods' packets into the node: each told of those that it is about,
by explain as well, and mended by what doctor prints."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.doctor import ELSEWHERE, EXEMPT, configure, findings, weights
from harness.network import ask
from harness.node import Namespace

FIRST, SECOND = "10.22.0.2", "10.22.0.3"
PTP = {"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [
    {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.22.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "ip-masq"}]}
WORLD = "where no route of its own leads"

# Who is heard: the first pod by the listed host and by the other one, and the second pod.
ALL, NONE, FIRST_ALONE = (True,) * 4, (False,) * 4, (True, True, False, False)
KEPT_DEAD, ONE_KEPT_DEAD = (False, True, False, True), (True, True, False, True)
OTHERS_DEAD, ONE_OTHER_DEAD = (True, False, True, False), (True, True, True, False)


@pytest.fixture
def second():
    made = Namespace("pod")
    yield made
    made.close()


class Pods:
    """Both pods, and what is said of them."""

    def __init__(self, world, *pods):
        self.world, self.pods = world, dict(zip((FIRST, SECOND), pods))

    def heard(self):
        for pod in self.pods.values():
            pod.run("ip", "neighbour", "flush", "all")  # the node may not answer who it is
        with ThreadPoolExecutor() as at_once:
            questions = [(pod, f"tcp:{to}") for pod in self.pods.values() for to in (EXEMPT, ELSEWHERE)]
            return tuple(seen[to] is not None for seen, (_, to) in zip(at_once.map(lambda each: ask(*each), questions), questions))

    def explained(self):
        """Whether explain says that nothing is in the way."""
        said = [json.loads(self.world.tool("explain", pod, to, "-o", "json")) for pod in self.pods for to in (EXEMPT, ELSEWHERE)]
        return tuple("warnings" not in each for each in said)

    def check(self, commands, heard, where, *fixes, name="pods-have-no-way", left={}):
        for command in commands:
            self.world.run("sh", "-ec", command)
        found = findings(self.world)
        assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {name: ("hurts", where)}
        assert (self.heard(), self.explained()) == (heard, heard)
        assert found[name]["fix"][1:] == [f"# {fix}" for fix in fixes] or found[name]["fix"][1:] == list(fixes)
        for fix in fixes:
            self.world.run("sh", "-ec", fix)
        assert weights(self.world) == left
        assert self.heard() == ALL
        self.world.run("sh", "-c", "ip rule del priority 50; ip route flush table 77; iptables-legacy -t mangle -F; iptables-legacy -F; nft delete table ip theirs; sysctl -qw net.ipv4.conf.all.rp_filter=0")


RULE = "ip rule add priority 50 "
MARKED = RULE + "fwmark 1 "
MARK = "iptables-legacy -t mangle -A PREROUTING {} -j MARK --set-mark 1"
NFT = ("nft add table ip theirs && nft add chain ip theirs base '{{ type filter hook prerouting priority mangle; }}' && "
       "nft add rule ip theirs base '{}'")
LOCAL = "ip route add local default dev lo table 77"

ON_A_BRIDGE = {
    "from one pod": ([RULE + f"from {SECOND} blackhole"], FIRST_ALONE, [f"from {SECOND}/32 to {WORLD}: ip rule 50: from {SECOND}/32 blackhole"],
                     f"ip rule del priority 50 from {SECOND}/32 blackhole"),
    "from one pod to a listed host": (
        [RULE + f"from {SECOND} to {EXEMPT} prohibit"], ONE_KEPT_DEAD,
        [f"from {SECOND}/32 to {EXEMPT}/32: ip rule 50: from {SECOND}/32 to {EXEMPT}/32 prohibit"],
        f"ip rule del priority 50 from {SECOND}/32 to {EXEMPT}/32 prohibit"),
    "answers of a listed host": (
        [RULE + f"from {EXEMPT} to {SECOND} prohibit"], ONE_KEPT_DEAD,
        [f"answers from {EXEMPT}/32 to {SECOND}/32 by uplink1: ip rule 50: from {EXEMPT}/32 to {SECOND}/32 prohibit"],
        f"ip rule del priority 50 from {EXEMPT}/32 to {SECOND}/32 prohibit"),
    "a table of one pod": ([RULE + f"from {SECOND} lookup 77", f"ip route add unreachable {EXEMPT} table 77"], ONE_KEPT_DEAD,
                           [f"from {SECOND}/32 to {EXEMPT}/32: ip route: unreachable {EXEMPT}/32 table 77"],
                           f"ip route del unreachable {EXEMPT}/32 table 77"),
    "what the node itself sends, where packets need a way back": (["sysctl -qw net.ipv4.conf.all.rp_filter=2", RULE + f"to {SECOND} iif lo unreachable"], FIRST_ALONE,
                                   [f"answers to {SECOND}/32: ip rule 50: from all to {SECOND}/32 iif lo unreachable"],
                                   f"ip rule del priority 50 from all to {SECOND}/32 iif lo unreachable"),
    "an address of the node as well": ([f"ip address add {SECOND} dev lo"], FIRST_ALONE, [f"answers to {SECOND}/32: ip address: {SECOND}/32 dev lo"],
                                       f"ip address del {SECOND}/32 dev lo"),
    "marks of one pod": ([MARKED + "blackhole", MARK.format(f"-s {SECOND}")], FIRST_ALONE,
                         [f"from {SECOND}/32 to {WORLD}: ip rule 50: from all fwmark 0x1/0xffffffff blackhole"],
                         "ip rule del priority 50 from all fwmark 0x1/0xffffffff blackhole"),
    "marks of one pod, by a set": ([MARKED + "blackhole", NFT.format(f"ip saddr {{ {SECOND}, 10.22.0.77 }} meta mark set 1")], FIRST_ALONE,
                                   [f"from {SECOND}/32 to {WORLD}: ip rule 50: from all fwmark 0x1/0xffffffff blackhole"],
                                   "ip rule del priority 50 from all fwmark 0x1/0xffffffff blackhole"),
    "marks of some pods, by ranges": (
        [MARKED + "blackhole", "nft add table ip theirs && nft add set ip theirs some '{ type ipv4_addr; flags interval; elements = { 10.22.0.3-10.22.0.9 }; }'",
         NFT.format("ip saddr @some meta mark set 1")], FIRST_ALONE,
        [f"from {SECOND}/32 to {WORLD}: ip rule 50: from all fwmark 0x1/0xffffffff blackhole"],
        "ip rule del priority 50 from all fwmark 0x1/0xffffffff blackhole"),
    "marks of one pod, by a map of verdicts": (
        [MARKED + "blackhole", "nft add table ip theirs && nft add chain ip theirs marks && nft add rule ip theirs marks meta mark set 1",
         NFT.format(f"ip saddr vmap {{ {SECOND} : jump marks }}")], FIRST_ALONE,
        [f"from {SECOND}/32 to {WORLD}: ip rule 50: from all fwmark 0x1/0xffffffff blackhole"],
        "ip rule del priority 50 from all fwmark 0x1/0xffffffff blackhole"),
    "marks of what goes to a listed host": ([MARKED + "blackhole", MARK.format(f"-d {EXEMPT}")], KEPT_DEAD,
                                            [f"from 10.22.0.0/24 to {EXEMPT}/32: ip rule 50: from all fwmark 0x1/0xffffffff blackhole"],
                                            "ip rule del priority 50 from all fwmark 0x1/0xffffffff blackhole"),
    "marks of TCP, taken in": ([MARKED + "lookup 77", LOCAL, MARK.format("-i cni0 -p tcp")], NONE,
                               [f"from 10.22.0.0/24 to {WORLD}: ip route: local 0.0.0.0/0 table 77 "
                                "(ip rule 50: from all fwmark 0x1/0xffffffff lookup 77) (TCP alone)"], "ip route del local 0.0.0.0/0 table 77"),
    "all taken in": ([RULE + "iif cni0 lookup 77", LOCAL], NONE, [f"from 10.22.0.0/24 to {WORLD}: ip route: local 0.0.0.0/0 table 77"],
                     "ip route del local 0.0.0.0/0 table 77"),
    "a network taken in": (["ip route add local 10.9.9.0/24 dev lo"], KEPT_DEAD,
                           [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: local 10.9.9.0/24 table local"],
                           "ip route del local 10.9.9.0/24 table local"),
    "thrown out of its table": ([f"ip route change {EXEMPT} via 198.18.1.254 metric 7 2>/dev/null || ip route add {EXEMPT} via 198.18.1.254 metric 7",
                                 f"ip route del {EXEMPT} metric 0", f"ip route add throw {EXEMPT}"], KEPT_DEAD,
                                [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: throw {EXEMPT}/32"], f"ip route del throw {EXEMPT}/32"),
    "a next hop that is none": (["ip nexthop add id 5 blackhole", f"ip route add {EXEMPT} nhid 5"], KEPT_DEAD,
                                [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: blackhole {EXEMPT}/32 nhid 5"], f"ip route del {EXEMPT}/32 nhid 5"),
    "on to where it ends": ([f"ip route add {EXEMPT} dev lo"], KEPT_DEAD,
                            [f"from 10.22.0.0/24 to {EXEMPT}/32: led to lo, where it ends: ip route: {EXEMPT}/32 dev lo"],
                            f"ip route del {EXEMPT}/32 dev lo"),
    "answers to one pod, by another bridge": (["ip link add br9 type bridge && ip link set br9 up", f"ip route add {SECOND} dev br9"], FIRST_ALONE,
                                              [f"answers to {SECOND}/32 by uplink0: led on to br9, not to cni0: ip route: {SECOND}/32 dev br9"],
                                              f"ip route del {SECOND}/32 dev br9"),
    "answers to one pod, to where they end": ([f"ip route add {SECOND} dev lo"], FIRST_ALONE,
                                              [f"answers to {SECOND}/32 by uplink0: led on to lo, not to cni0: ip route: {SECOND}/32 dev lo"],
                                              f"ip route del {SECOND}/32 dev lo"),
    "answers, where several next hops lead there": (
        ["ip route replace default nexthop via 198.18.0.254 dev uplink0 nexthop via 198.18.0.254 dev uplink0 weight 2",
         RULE + "iif uplink0 to 10.22.0.0/24 blackhole"], OTHERS_DEAD,
        ["answers to 10.22.0.0/24 by uplink0: ip rule 50: from all to 10.22.0.0/24 iif uplink0 blackhole"],
        "ip rule del priority 50 from all to 10.22.0.0/24 iif uplink0 blackhole"),
}


def test_pods_on_a_bridge(world, pod, second):
    world.cnitool("add", "bridge-net", second)
    pods = Pods(world, pod, second)
    assert (findings(world), pods.heard(), pods.explained()) == ({}, ALL, ALL)
    for name, case in ON_A_BRIDGE.items():
        print(name)
        pods.check(*case)
    print("what is dropped of one pod")
    world.run("iptables-legacy", "-A", "FORWARD", "-s", SECOND, "-j", "DROP")
    pods.check([], FIRST_ALONE, [f"iptables-legacy -t filter -A FORWARD -s {SECOND}/32 -j DROP ({SECOND}/32 alone)"],
               f"iptables-legacy -t filter -I FORWARD -s {SECOND}/32 -j ACCEPT && iptables-legacy -t filter -I FORWARD -d {SECOND}/32 -j ACCEPT",
               name="forward-drops-pods", left={"forward-drops-pods": "note"})
    for name, rule in {"set": f"ip saddr {{ {SECOND}, 10.22.0.77 }} drop", "map": f"ip saddr vmap {{ {SECOND} : drop }}"}.items():
        print("what is dropped of one pod, by a", name)
        world.run("nft", "-f", "-", input="table ip theirs {\nchain base { type filter hook forward priority filter;\n" + rule + "\n}\n}\n")
        told = "-s @__set0 -j DROP" if name == "set" else "vmap @__map0"
        pods.check([], FIRST_ALONE, [f"nft ip theirs base handle 3: {told} ({SECOND}/32 alone)"],
                   f"nft insert rule ip theirs base ip saddr {SECOND}/32 accept && nft insert rule ip theirs base ip daddr {SECOND}/32 accept",
                   name="forward-drops-pods", left={"forward-drops-pods": "note"})


def test_what_is_led_to_where_pods_are(world, pod, second):
    """Somebody there may have the address, and hand it on."""
    world.cnitool("add", "bridge-net", second)
    pods = Pods(world, pod, second)
    world.run("sh", "-ec", f"ip route del {EXEMPT}; ip route add {EXEMPT} via 198.18.1.254 metric 7")
    for to, expected in ((EXEMPT, KEPT_DEAD), (ELSEWHERE, OTHERS_DEAD)):
        world.run("ip", "route", "add", to, "dev", "cni0")
        route = f"back to cni0, where pods are: ip route: {to}/32 dev cni0"
        found = findings(world)
        assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {
            "pods-have-no-way": ("note", [f"from 10.22.0.0/24 to {to}/32: led {route}"])}
        assert json.loads(world.tool("explain", FIRST, to, "-o", "json"))["warnings"] == [f"it may be that this node leads it {route}"]
        assert (pods.heard(), pods.explained()) == (expected, expected)
        world.run(*found["pods-have-no-way"]["fix"][-1][2:].split())
        assert (findings(world), pods.heard(), pods.explained()) == ({}, ALL, ALL)


def test_a_pod_that_the_reverse_path_filter_takes_for_somebody_elses(world, pod, second):
    world.cnitool("add", "bridge-net", second)
    world.run("sh", "-ec", f"ip link add br9 type bridge; ip link set br9 up; ip route add {SECOND} dev br9; sysctl -qw net.ipv4.conf.all.rp_filter=1")
    found = findings(world)["pods-have-no-way"]
    assert (found["weight"], found["where"][0]) == (
        "hurts", f"from {SECOND}/32 to {WORLD}: rp_filter of cni0: it is not the interface that this node's own way to {SECOND} is by")
    pods = Pods(world, pod, second)
    assert (pods.heard(), pods.explained()) == (FIRST_ALONE, FIRST_ALONE)


def test_what_the_node_alone_cannot_send_is_a_note(world, pod):
    world.sysctl(net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__cni0__rp_filter=0)
    world.run("ip", "rule", "add", "priority", "50", "to", FIRST, "iif", "lo", "unreachable")
    assert all(world.seen())
    rule = f"ip rule 50: from all to {FIRST}/32 iif lo unreachable"
    found = findings(world)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {
        "pods-have-no-way": ("note", [f"answers to {FIRST}/32: some of them: {rule}"])}
    assert json.loads(world.tool("explain", FIRST, EXEMPT, "-o", "json"))["warnings"] == [
        f"it may be that this node does not forward answers to {FIRST}: {rule}"]


def test_pods_with_interfaces_of_their_own(world, pod, second):
    world.cnitool("del", "bridge-net", pod)
    world.use_conflist(PTP)
    world.run("ip", "link", "del", "cni0")
    for each in (pod, second):
        world.cnitool("add", "bridge-net", each)
    addresses = {each: json.loads(each.run("ip", "-j", "-4", "address", "show", "eth0"))[0]["addr_info"][0]["local"] for each in (pod, second)}
    one, other = addresses.values()
    veth, other_veth = (json.loads(world.run("ip", "-j", "route", "get", each))[0]["dev"] for each in (one, other))
    pods = Pods(world)
    pods.pods = {one: pod, other: second}
    assert (findings(world), pods.heard(), pods.explained()) == ({}, ALL, ALL)
    for rule in (f"from {other} blackhole", f"iif {other_veth} prohibit"):
        told = f"from {other}/32 blackhole" if "from" in rule else f"from all {rule}"
        pods.check([RULE + rule], FIRST_ALONE, [f"from {other}/32 to {WORLD}: ip rule 50: {told}"], f"ip rule del priority 50 {told}")
    pods.check([RULE + f"iif uplink0 to {other} blackhole"], ONE_OTHER_DEAD,
               [f"answers to {other}/32 by uplink0: ip rule 50: from all to {other}/32 iif uplink0 blackhole"],
               f"ip rule del priority 50 from all to {other}/32 iif uplink0 blackhole")
    led_on = "answers to {} by uplink0: led on to {}, not to {}: ip route: {} dev {} table 77 (ip rule 50: from all iif uplink0 lookup 77)"
    by_own = [f"ip route add {each}/32 dev {interface} table 77" for each, interface in ((one, veth), (other, other_veth))]
    pods.check([RULE + "iif uplink0 lookup 77", f"ip route add 10.22.0.0/24 dev {veth} table 77"], ONE_OTHER_DEAD,
               [led_on.format(f"{other}/32", veth, other_veth, "10.22.0.0/24", veth)], by_own[1])
    pods.check([RULE + "iif uplink0 lookup 77", "ip route add default via 198.18.0.254 table 77"], OTHERS_DEAD,
               [led_on.format(f"{one}/32", "uplink0", veth, "0.0.0.0/0", "uplink0"),
                led_on.format(f"{other}/32", "uplink0", other_veth, "0.0.0.0/0", "uplink0")], *by_own)


# What leads to the second pod instead of its own veth, and what each pod then gets.
ASTRAY = {"the other pod's": "{veth}", "one that ends here": "lo", "a bridge": "br9"}


def test_a_pod_whose_address_is_led_to_another_veth(world, pod, second):
    world.cnitool("del", "bridge-net", pod)
    world.use_conflist(PTP)
    world.run("sh", "-ec", "ip link del cni0; ip link add br9 type bridge; ip link set br9 up")
    for each in (pod, second):
        world.cnitool("add", "bridge-net", each)
    one, other = (json.loads(each.run("ip", "-j", "-4", "address", "show", "eth0"))[0]["addr_info"][0]["local"] for each in (pod, second))
    veth, other_veth = (json.loads(world.run("ip", "-j", "route", "get", each))[0]["dev"] for each in (one, other))
    pods = Pods(world)
    pods.pods = {one: pod, other: second}
    assert (findings(world), pods.heard(), pods.explained()) == ({}, ALL, ALL)
    for name, where in ASTRAY.items():
        print(name)
        where = where.format(veth=veth)
        route = f"ip route: {other}/32 dev {where}"
        pods.check([f"ip route replace {other} dev {where}"], FIRST_ALONE,
                   [f"answers to {other}/32 by uplink0: led on to {where}, not to {other_veth}: {route}"],
                   f"ip route replace {other}/32 dev {other_veth}")
    world.run("ip", "route", "replace", other, "dev", veth)
    (said,) = json.loads(world.tool("explain", one, other, "-o", "json"))["warnings"]
    assert said == f"this node leads it to {veth}, not to {other_veth}, where that pod is: ip route: {other}/32 dev {veth}"
    world.run("ip", "route", "del", other)
    found = findings(world)["pods-have-no-way"]
    assert found["weight"] == "hurts" and pods.heard() == FIRST_ALONE == pods.explained()
    world.run(*found["fix"][-1][2:].split())
    assert (findings(world), pods.heard(), pods.explained()) == ({}, ALL, ALL)


def test_what_is_refused_beside_a_part_that_is_led(world, pod):
    """A note where no list names it: aggregates that are announced have such routes."""
    refused = "from 10.22.0.0/24 to 10.9.0.0/16: some of them: ip route: unreachable 10.9.0.0/16"
    world.run("ip", "route", "add", "unreachable", "10.9.0.0/16")
    for keys, weight in (({}, "note"), ({"nonMasqueradeCIDRs": ["10.9.0.0/16"]}, "hurts")):
        configure(world, pod, **keys)
        found = findings(world)
        assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {"pods-have-no-way": (weight, [refused])}
        assert found["pods-have-no-way"]["fix"][1:] == ["# ip route del unreachable 10.9.0.0/16"]
    assert [bool(seen) for seen in ask(pod, f"tcp:{EXEMPT}", "tcp:10.9.8.8").values()] == [True, False]


def test_several_next_hops_are_asked_each(world, pod):
    world.run("ip", "route", "replace", "default", "nexthop", "via", "198.18.0.254", "dev", "uplink0", "nexthop", "via", "198.18.1.254", "dev", "uplink1")
    assert findings(world) == {}
    world.run("ip", "rule", "add", "priority", "50", "iif", "uplink1", "to", "10.22.0.0/16", "blackhole")
    rule = "ip rule 50: from all to 10.22.0.0/16 iif uplink1 blackhole"
    assert findings(world)["pods-have-no-way"]["where"] == [f"answers to 10.22.0.0/24 by uplink1: {rule}"]
    assert json.loads(world.tool("explain", FIRST, ELSEWHERE, "-o", "json"))["warnings"] == [
        f"it may be that this node does not forward answers to {FIRST}: {rule}"]


@pytest.mark.parametrize("listed", [["ff00::/8", "fe80::/10"], ["224.0.0.0/4", "0.0.0.0/8", "127.0.0.0/8", "255.255.255.255/32"]])
def test_what_no_router_forwards_is_not_asked_about(world, pod, listed):
    """The kernel takes no question about IPv6 multicast."""
    conf = {"type": "bridge", "bridge": "cni6", "isGateway": True, "ipam": {"type": "host-local", "ranges": [
        [{"subnet": "10.22.7.0/24"}], [{"subnet": "fd00:22:7::/64"}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}
    world.cnitool("del", "bridge-net", pod)
    world.use_conflist({"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [conf, {"type": "ip-masq", "nonMasqueradeCIDRs": listed}]})
    world.cnitool("add", "bridge-net", pod)
    assert findings(world) == {}
    for source, to in (("fd00:22:7::2", "ff02::fb"), ("fd00:22:7::2", "ff0e::1"), ("10.22.7.2", "224.0.0.251")):
        said = json.loads(world.tool("explain", source, to, "-o", "json"))
        assert (said["fate"], "warnings" in said) == ("kept", False)
    world.run("ip", "rule", "add", "priority", "50", "from", "10.22.7.0/24", "blackhole")
    assert findings(world)["pods-have-no-way"]["where"] == [f"from 10.22.7.0/24 to {WORLD}: ip rule 50: from 10.22.7.0/24 blackhole"]
