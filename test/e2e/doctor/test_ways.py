"""Rules and routes that lead packets of pods nowhere, and answers that conntrack does not find again."""

import pytest
from harness.doctor import ALL, EXEMPT, NONE, carry_out, configure, doctor, findings, heard, put_chain, put_rules

# Rules and routes that lead what pods send nowhere: what still answers, and what doctor says.
NO_WAY = {
    "a rule for the pods": (["rule", "add", "from", "10.22.0.0/16", "prohibit"], NONE,
                            "from 10.22.0.0/24 to where no route of its own leads: ip rule 59: from 10.22.0.0/16 prohibit"),
    "a rule of one interface": (["rule", "add", "iif", "cni0", "priority", "50", "blackhole"], NONE,
                                "from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all iif cni0 blackhole"),
    "a route inside a list": (["route", "add", "blackhole", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                              f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: blackhole {EXEMPT}/32 table 100"),
    "unreachable": (["route", "add", "unreachable", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                    f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: unreachable {EXEMPT}/32 table 100"),
    "prohibit": (["route", "add", "prohibit", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                 f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: prohibit {EXEMPT}/32 table 100"),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_no_way(world, pod, name):
    command, answered, where = NO_WAY[name]
    world.run("ip", "rule", "add", "priority", "60", "lookup", "100")
    world.run("ip", *command)
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "hurts"}
    assert found["pods-have-no-way"]["where"] == [where]
    intro, fix = found["pods-have-no-way"]["fix"]
    assert fix.startswith("# ")
    world.run(*fix[2:].split())
    assert findings(world) == {}
    assert heard(world, pod) == ALL


def test_no_default_route_is_a_note_where_others_lead_on(world, pod):
    world.run("ip", "route", "del", "default")
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "note"}
    assert found["pods-have-no-way"]["where"] == ["from 10.22.0.0/24 to where no route of its own leads: no route leads there"]


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
    ("nft", "iifname cni0 ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } notrack"),
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


@pytest.mark.parametrize("rules", [
    ["iifname { cni0, uplink0, uplink1 } ct zone set 7"], ["iifname cni0 ct original zone set 7"], ["iifname cni0 ct zone set 0"],
    ["iifname cni0 ct zone set 7", "iifname { uplink0, uplink1 } ct zone set 7"]])
def test_zones_that_both_ways_share(world, pod, rules):
    put_chain(world, "inet", "prerouting priority raw", *rules)
    assert heard(world, pod) == ALL
    assert findings(world) == {}
