"""More pods with veths of their own (the ptp plugin's) than are asked about one by one: rules for the interface of one of them are told of
that one alone, by explain as well, and mended by what doctor prints."""

import json

import pytest
from harness.doctor import ELSEWHERE, EXEMPT, findings, put_rules
from harness.network import ask
from harness.node import Namespace

MANY = 18  # more than the sixteen interfaces that have ways of their own
WORLD = "where no route of its own leads"
PTP = {"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [
    {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.22.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "ip-masq"}]}
FINE, NONE = (True, True), (False, False)


class Crowd:
    """All pods, each with its address and the node's end of its veth."""

    def __init__(self, world, first):
        self.world, self.made = world, [Namespace("pod") for _ in range(MANY - 1)]
        self.pods = {}
        for each in (first, *self.made):
            world.cnitool("add", "bridge-net", each)
            address = json.loads(each.run("ip", "-j", "-4", "address", "show", "eth0"))[0]["addr_info"][0]["local"]
            self.pods[address] = (each, json.loads(world.run("ip", "-j", "route", "get", address))[0]["dev"])
        self.addresses = list(self.pods)

    def veth(self, number):
        return self.pods[self.addresses[number]][1]

    def heard(self, number):
        pod = self.pods[self.addresses[number]][0]
        return tuple(seen is not None for seen in ask(pod, f"tcp:{EXEMPT}", f"tcp:{ELSEWHERE}").values())

    def explained(self, number):
        """Whether explain says that nothing is in the way."""
        said = [json.loads(self.world.tool("explain", self.addresses[number], to, "-o", "json")) for to in (EXEMPT, ELSEWHERE)]
        return tuple("warnings" not in each for each in said)

    def told(self):
        return {name: (each["weight"], each["where"], each["fix"]) for name, each in findings(self.world).items()}

    def close(self):
        for each in self.made:
            each.close()


@pytest.fixture
def crowd(world, pod):
    world.cnitool("del", "bridge-net", pod)
    world.use_conflist(PTP)
    world.run("ip", "link", "del", "cni0")
    made = Crowd(world, pod)
    yield made
    made.close()


def test_rules_for_the_interface_of_one(world, crowd):
    one, other = 3, MANY - 1
    address, veth = crowd.addresses[one], crowd.veth(one)
    assert crowd.told() == {}
    assert [(crowd.heard(each), crowd.explained(each)) for each in (one, other)] == [(FINE, FINE)] * 2

    def check(name, where, *fixes, left={}):
        told = crowd.told()
        assert {found: each[:2] for found, each in told.items()} == {name: ("hurts", where)}
        assert [(crowd.heard(each), crowd.explained(each)) for each in (one, other)] == [(NONE, NONE), (FINE, FINE)]
        assert [line.removeprefix("# ") for line in told[name][2][1:]] == list(fixes)
        for fix in fixes:
            world.run("sh", "-ec", fix)
        assert {found: each[0] for found, each in crowd.told().items()} == left
        assert [(crowd.heard(each), crowd.explained(each)) for each in (one, other)] == [(FINE, FINE)] * 2

    rule = f"from all iif {veth} prohibit"
    world.run("ip", "rule", "add", "priority", "50", "iif", veth, "prohibit")
    check("pods-have-no-way", [f"from {address}/32 to {WORLD}: ip rule 50: {rule}"], f"ip rule del priority 50 {rule}")

    rule = "from all fwmark 0x1/0xffffffff blackhole"
    world.run("ip", "rule", "add", "priority", "50", "fwmark", "1", "blackhole")
    put_rules(world, "iptables-legacy", "mangle", [f"-A PREROUTING -i {veth} -j MARK --set-mark 1"])
    check("pods-have-no-way", [f"from {address}/32 to {WORLD}: ip rule 50: {rule}"], f"ip rule del priority 50 {rule}")
    put_rules(world, "iptables-legacy", "mangle", ["-F"])

    put_rules(world, "iptables-legacy", "filter", [f"-A FORWARD -i {veth} -j DROP"])
    accept = " && ".join(f"iptables-legacy -t filter -I FORWARD {end} {address}/32 -j ACCEPT" for end in ("-s", "-d"))
    told = crowd.told()["forward-drops-pods"]
    assert told[1] == [f"iptables-legacy -t filter -A FORWARD -i {veth} -j DROP ({address}/32 alone)"]
    check("forward-drops-pods", told[1], accept, left={"forward-drops-pods": "note"})
    put_rules(world, "iptables-legacy", "filter", ["-F"])
    assert crowd.told() == {}


def test_the_address_of_one_is_led_to_another(world, crowd):
    one, other = 3, MANY - 1
    address, veth, wrong = crowd.addresses[one], crowd.veth(one), crowd.veth(other)
    world.run("ip", "route", "replace", address, "dev", wrong)
    told = crowd.told()["pods-have-no-way"]
    assert told[:2] == ("hurts", [f"answers to {address}/32 by uplink0: led on to {wrong}, not to {veth}: ip route: {address}/32 dev {wrong}"])
    assert [(crowd.heard(each), crowd.explained(each)) for each in (one, other)] == [(NONE, NONE), (FINE, FINE)]
    world.run(*told[2][-1][2:].split())
    assert (crowd.told(), crowd.heard(one), crowd.explained(one)) == ({}, FINE, FINE)


def test_a_mark_by_the_interface_of_one(world, crowd):
    """Which our rules leave to others: the pod's own address goes out, and doctor names the rule."""
    one, other = 3, MANY - 1
    put_rules(world, "iptables-legacy", "mangle", [f"-A FORWARD -i {crowd.veth(one)} -j MARK --set-xmark 0x4000/0x4000"])
    seen = [ask(crowd.pods[crowd.addresses[each]][0], f"tcp:{ELSEWHERE}")[f"tcp:{ELSEWHERE}"] for each in (one, other)]
    assert seen == [crowd.addresses[one], world.right[1]]
    fates = [json.loads(world.tool("explain", crowd.addresses[each], ELSEWHERE, "-o", "json"))["fate"] for each in (one, other)]
    assert fates == ["left alone", "masqueraded"]
    told = crowd.told()
    assert list(told) == ["yield-mark-set"]
    assert told["yield-mark-set"][1] == [f"iptables-legacy -t mangle -A FORWARD -i {crowd.veth(one)} -j MARK --set-xmark 0x4000/0x4000"]
