"""Rules and routes that lead packets of pods nowhere, and answers that conntrack does not find again."""

import json

import pytest
from harness.doctor import ALL, ELSEWHERE, EXEMPT, NONE, carry_out, configure, doctor, findings, heard, put_chain, put_rules, weights
from harness.network import Witness, give

KEPT_DEAD, OTHERS_DEAD = (False, True, False, True), (True, False, True, False)

# Rules that nodes have of VPNs and meshes, before all others: no ordinary packet of a pod is theirs.
OF_OTHERS = ["fwmark 0x80000/0xff0000 lookup main", "not fwmark 0/0xca6c lookup main", "tos 0x10 lookup main", "ipproto udp dport 53 lookup main", "oif uplink0 blackhole"]

# What leads what pods send, or the answers to it, nowhere: what still answers, what doctor says, what it says to do about it.
NO_WAY = {
    "a rule for the pods": (["rule add priority 59 from 10.22.0.0/16 prohibit"], NONE,
                            ["from 10.22.0.0/24 to where no route of its own leads: ip rule 59: from 10.22.0.0/16 prohibit"],
                            "ip rule del priority 59 from 10.22.0.0/16 prohibit"),
    "a rule of one interface": (["rule add iif cni0 priority 50 blackhole"], NONE,
                                ["from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all iif cni0 blackhole"],
                                "ip rule del priority 50 from all iif cni0 blackhole"),
    "a rule for a part of a list": (["rule add priority 50 to 10.9.9.0/24 iif cni0 prohibit"], KEPT_DEAD,
                                    [f"from 10.22.0.0/24 to {EXEMPT}/32: ip rule 50: from all to 10.9.9.0/24 iif cni0 prohibit"],
                                    "ip rule del priority 50 from all to 10.9.9.0/24 iif cni0 prohibit"),
    "a rule for everything": (["rule add priority 50 blackhole"], NONE,
                              ["from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all blackhole",
                               "answers to 10.22.0.0/24: ip rule 50: from all blackhole"], "ip rule del priority 50 from all blackhole"),
    "a rule for all but others": (["rule add priority 50 not from 10.99.0.0/16 prohibit"], NONE,
                                  ["from 10.22.0.0/24 to where no route of its own leads: ip rule 50: not from 10.99.0.0/16 prohibit",
                                   "answers to 10.22.0.0/24: ip rule 50: not from 10.99.0.0/16 prohibit"],
                                  "ip rule del priority 50 not from 10.99.0.0/16 prohibit"),
    "one protocol": (["rule add priority 50 iif cni0 ipproto udp blackhole"], (True, True, False, False),
                     ["from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all iif cni0 ipproto udp blackhole (UDP alone)"],
                     "ip rule del priority 50 from all iif cni0 ipproto udp blackhole"),
    **{kind: ([f"route add {kind} {EXEMPT}/32 table 100"], KEPT_DEAD,
              [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: {kind} {EXEMPT}/32 table 100"], f"ip route del {kind} {EXEMPT}/32 table 100")
       for kind in ("blackhole", "unreachable", "prohibit")},
    "a route, and the same behind the one that answers": (
        [f"route add unreachable {EXEMPT}/32 table 100", "rule add priority 40000 unreachable", f"route add unreachable {EXEMPT}/32 table 77"], KEPT_DEAD,
        [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: unreachable {EXEMPT}/32 table 100"], f"ip route del unreachable {EXEMPT}/32 table 100"),
    "a route wider than another's": (
        ["route add blackhole 10.9.9.0/24 table 100", f"route add blackhole {EXEMPT}/32 table 77"], KEPT_DEAD,
        [f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: blackhole 10.9.9.0/24 table 100"], "ip route del blackhole 10.9.9.0/24 table 100"),
    "answers, by a rule": (["rule add priority 50 iif uplink0 to 10.22.0.0/24 blackhole"], OTHERS_DEAD,
                           ["answers to 10.22.0.0/24 by uplink0: ip rule 50: from all to 10.22.0.0/24 iif uplink0 blackhole"],
                           "ip rule del priority 50 from all to 10.22.0.0/24 iif uplink0 blackhole"),
    "answers, by a route": (["route add blackhole 10.22.0.0/25"], NONE,
                            ["answers to 10.22.0.2/32: ip route: blackhole 10.22.0.0/25"], "ip route del blackhole 10.22.0.0/25"),
    "answers, by a route of an uplink's table": (
        ["rule add priority 50 iif uplink0 lookup 77", "route add blackhole 10.22.0.0/16 table 77"], OTHERS_DEAD,
        ["answers to 10.22.0.0/24 by uplink0: ip route: blackhole 10.22.0.0/16 table 77"], "ip route add 10.22.0.0/24 dev cni0 table 77"),
    "answers, back to the router": (
        ["rule add priority 50 iif uplink0 lookup 77", "route add default via 198.18.0.254 table 77"], OTHERS_DEAD,
        ["answers to 10.22.0.0/24 by uplink0: led on to uplink0, not to cni0: ip route: 0.0.0.0/0 dev uplink0 table 77 "
         "(ip rule 50: from all iif uplink0 lookup 77)"], "ip route add 10.22.0.0/24 dev cni0 table 77"),
    "answers, out by an uplink": (
        ["route add 10.22.0.0/25 dev uplink0"], NONE,
        ["answers to 10.22.0.2/32 by uplink0: led on to uplink0, not to cni0: ip route: 10.22.0.0/25 dev uplink0"], "ip route del 10.22.0.0/25 dev uplink0"),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_no_way(world, pod, name):
    commands, answered, where, fix = NO_WAY[name]
    for rule in OF_OTHERS:
        world.run("ip", "rule", "add", "priority", "40", *rule.split())
    world.run("ip", "rule", "add", "priority", "60", "lookup", "100")
    assert findings(world) == {}
    for command in commands:
        world.run("ip", *command.split())
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "hurts"}
    assert found["pods-have-no-way"]["where"] == where
    intro, *fixes = found["pods-have-no-way"]["fix"]
    assert fixes == [f"# {fix}"]
    world.run(*fix.split())
    assert findings(world) == {}
    assert heard(world, pod) == ALL


# Where some packets alone are led nowhere, or it cannot be told whether any are: what others mark, and by which rule.
SOME = {
    "a port": ("", "iif cni0 ipproto tcp dport 1 prohibit", "iif cni0 ipproto tcp dport 1 prohibit"),
    "a type of service": ("", "iif cni0 tos 0x10 blackhole", "tos 0x10 iif cni0 blackhole"),
    "a mark that some get": ("-A PREROUTING -i cni0 -p tcp --dport 1 -j MARK --set-xmark 0x9/0xf", "iif cni0 fwmark 0x9/0xf blackhole",
                             "fwmark 0x9/0xf iif cni0 blackhole"),
}


@pytest.mark.parametrize("name", SOME)
def test_some_have_no_way(world, pod, name):
    marks, rule, told = SOME[name]
    alone = " (TCP alone)" if marks else ""
    world.run("ip", "rule", "add", "priority", "50", *rule.split())
    if marks:
        assert findings(world) == {}
        put_rules(world, "iptables-legacy", "mangle", [marks])
    assert heard(world, pod) == ALL
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "note"}
    assert found["pods-have-no-way"]["where"] == [f"from 10.22.0.0/24 to where no route of its own leads: some of them: ip rule 50: from all {told}{alone}"]


def test_marked_packets_have_no_way(world, pod):
    world.run("ip", "rule", "add", "priority", "50", "fwmark", "0x9/0xf", "blackhole")
    put_rules(world, "iptables-legacy", "mangle", ["-A PREROUTING -i cni0 -j MARK --set-xmark 0x9/0xf"])
    assert heard(world, pod) == NONE
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "hurts"}
    assert found["pods-have-no-way"]["where"] == [
        "from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all fwmark 0x9/0xf blackhole"]


def test_answers_that_the_reverse_path_filter_drops(world, pod):
    """Pods' packets, which have a mark, leave by an uplink that the node itself does not use."""
    world.run("ip", "rule", "add", "priority", "50", "fwmark", "0x9/0xf", "lookup", "77")
    world.run("ip", "route", "add", "default", "via", "198.18.1.254", "table", "77")
    put_rules(world, "iptables-legacy", "mangle", ["-A PREROUTING -i cni0 -j MARK --set-xmark 0x9/0xf"])
    give(world.outside[1].namespace, "lo", f"{ELSEWHERE}/32")
    witness = Witness(world.outside[1].namespace, [ELSEWHERE])
    assert (heard(world, pod), findings(world)) == (ALL, {})
    world.sysctl(net__ipv4__conf__uplink1__rp_filter=1)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "hurts", "rp-filter-strict": "note"}
    assert found["pods-have-no-way"]["where"] == [
        "answers to 10.22.0.0/24 by uplink1: rp_filter of uplink1: it is not the interface that this node's own way to 192.0.2.1 is by"]
    assert heard(world, pod) == OTHERS_DEAD
    world.run(*found["pods-have-no-way"]["fix"][-1][2:].split())
    assert heard(world, pod) == ALL
    assert "pods-have-no-way" not in findings(world)
    witness.close()


def test_no_default_route_is_a_note_where_others_lead_on(world, pod):
    world.run("ip", "route", "del", "default")
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "note"}
    assert found["pods-have-no-way"]["where"] == ["from 10.22.0.0/24 to where no route of its own leads: no route leads there"]


@pytest.mark.parametrize("command", ["link set {} down", "address flush dev {}"])
def test_a_node_that_is_cut_off(world, pod, command):
    """As explain says it."""
    for uplink in ("uplink0", "uplink1"):
        world.run("ip", *command.format(uplink).split())
    assert heard(world, pod) == NONE
    explained = json.loads(world.tool("explain", "10.22.0.2", ELSEWHERE, "-o", "json"))
    assert any("no route leads there" in line for line in explained["warnings"])
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "note"}
    assert "from 10.22.0.0/24 to where no route of its own leads: no route leads there" in found["pods-have-no-way"]["where"]


def test_no_route_to_what_a_list_names(world, pod):
    configure(world, pod, nonMasqueradeCIDRs=["10.9.0.0/16", "172.31.0.0/16"])
    assert findings(world) == {}
    world.run("ip", "route", "del", "default")
    hurting, note = doctor(world)[1]["findings"]
    assert (hurting["weight"], hurting["where"], hurting["fix"][1:]) == (
        "hurts", ["from 10.22.0.0/24 to 172.31.0.0/16: no route leads there"], ["# ip route add 172.31.0.0/16 via ROUTER"])
    assert (note["weight"], note["fix"][1:]) == ("note", ["# ip route add default via ROUTER"])


@pytest.mark.parametrize("route", [["blackhole", "10.22.0.0/16"], ["unreachable", "203.0.113.77"]])
def test_routes_that_refuse_what_pods_do_not_miss(world, route):
    world.run("ip", "route", "add", *route)
    assert findings(world) == {}


# Answers to masqueraded pods that conntrack does not find again.
@pytest.mark.parametrize("program, rule", [
    ("nft", "iifname cni0 ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } ct reply zone set 7"),
    ("iptables-legacy", "-i uplink+ -j CT --zone-reply 7"), ("nft", "iifname { uplink0, uplink1 } ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } notrack"),
    ("iptables-legacy", "-i cni0 -j CT --zone 7"), ("iptables-legacy", "-i uplink+ -j CT --notrack"),
    ("iptables-nft", "-i cni0 -j CT --zone 7"), ("iptables-nft", "-i uplink+ -j NOTRACK")])
def test_answers_that_are_not_found_again(world, pod, program, rule):
    if program == "nft":
        put_chain(world, "inet", "prerouting priority raw", rule)
    else:
        put_rules(world, program, "raw", [f"-A PREROUTING {rule}"])
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


@pytest.mark.parametrize("program, rule", [("nft", "iifname cni0 ct reply zone set 7"), ("iptables-legacy", "-i cni0 -j CT --zone-reply 7")])
def test_answers_that_clash_with_what_they_answer(world, pod, program, rule):
    if program == "nft":
        put_chain(world, "inet", "prerouting priority raw", rule)
    else:
        put_rules(world, program, "raw", [f"-A PREROUTING {rule}"])
    assert heard(world, pod) == NONE
    assert weights(world) == {"forward-drops-pods": "hurts", "connections-not-inserted": "note"}
    carry_out(world, findings(world)["forward-drops-pods"])
    assert heard(world, pod) == ALL
    assert "forward-drops-pods" not in weights(world)


@pytest.mark.parametrize("rules", [
    ["iifname { cni0, uplink0, uplink1 } ct zone set 7"], ["iifname cni0 ct original zone set 7"], ["iifname { uplink0, uplink1 } ct original zone set 7"],
    ["iifname cni0 ct reply zone set 7", "iifname { uplink0, uplink1 } ct zone set 7"], ["iifname cni0 ct zone set 0"],
    ["iifname cni0 ct zone set 7", "iifname { uplink0, uplink1 } ct zone set 7"]])
def test_zones_that_both_ways_share(world, pod, rules):
    put_chain(world, "inet", "prerouting priority raw", *rules)
    assert heard(world, pod) == ALL
    assert findings(world) == {}


# What loses the answers of one host, told by its address, may lose some of what comes back to pods.
@pytest.mark.parametrize("program, rule, told", [
    ("iptables-legacy", f"-s {ELSEWHERE} -j NOTRACK", f"iptables-legacy -t raw -A PREROUTING -s {ELSEWHERE}/32 -j CT --notrack"),
    ("iptables-legacy", f"-s {ELSEWHERE} -j CT --zone 7", f"iptables-legacy -t raw -A PREROUTING -s {ELSEWHERE}/32 -j CT --zone 7"),
    ("iptables-legacy", f"-d {ELSEWHERE} -j CT --zone-reply 7", f"iptables-legacy -t raw -A PREROUTING -d {ELSEWHERE}/32 -j CT --zone-reply 7")])
def test_answers_of_one_host_that_are_not_found_again(world, pod, program, rule, told):
    put_rules(world, program, "raw", [f"-A PREROUTING {rule}"])
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {"forward-drops-pods": ("note", [told])}
