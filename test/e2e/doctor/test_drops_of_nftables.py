"""What drops packets of pods in nftables, at every hook: told, mended, and silent where it spares them."""

import pytest
from harness.doctor import ALL, NONE, TCP_DEAD, UDP_DEAD, carry_out, doctor, findings, heard, put_chain, weights


@pytest.mark.parametrize("state", ["ct state established,related accept", "ct state vmap { established : accept, related : accept, invalid : drop }"])
def test_an_nft_forward_chain_with_policy_drop(world, state):
    world.run("nft", "-f", "-", input="table inet my-filter { chain input-filter { type filter hook forward priority filter; policy drop; %s; }; }" % state)
    assert world.seen() == (None, None)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    assert found["forward-drops-pods"]["where"] == ["nft chain inet my-filter input-filter: policy drop"]
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert world.seen() == world.right


# The listed host alone is heard.
NOT_PRIVATE = (True, False, True, False)

# Where and how packets of pods, or the answers, are dropped: what still answers, and what doctor names.
DROPPING_NFT = {
    "new connections": ("inet", "forward priority 0", ["iifname cni0 ct state new drop"], NONE),
    "what is not established": ("inet", "forward priority 0", ["ct state established accept", "ct state new,invalid drop"], NONE),
    "a map of states": ("inet", "forward priority 0", ["ct state vmap { established : accept, new : drop }"], NONE),
    "a set of states": ("inet", "forward priority 0", ["ct state { new, untracked } drop"], NONE),
    "answers by their state": ("inet", "forward priority 0", ["ct state established drop"], NONE),
    "what is not new": ("inet", "forward priority 0; policy drop", ["ct state new accept"], NONE),
    "UDP": ("inet", "forward priority 0", ["meta l4proto udp drop"], UDP_DEAD),
    "UDP by its header": ("ip", "forward priority 0", ["ip protocol udp reject"], UDP_DEAD),
    "TCP that begins": ("inet", "forward priority 0", ["tcp flags & (syn | ack) == syn drop"], TCP_DEAD),
    "prerouting": ("inet", "prerouting priority -150", ["iifname cni0 drop"], NONE),
    "both protocols, answers, prerouting": ("inet", "prerouting priority 0", ["iifname { uplink0, uplink1 } meta l4proto { tcp, udp } drop"], NONE),
    "invalid before tracking": ("inet", "prerouting priority -300", ["iifname cni0 ct state invalid drop"], NONE),
    "postrouting": ("inet", "postrouting priority 0", ["ip saddr 10.22.0.0/16 drop"], NONE),
    "behind NAT": ("inet", "postrouting priority 300", ["oifname { uplink0, uplink1 } ip saddr 198.18.0.0/15 drop"], (True, False, True, False)),
    "what leaves untranslated": ("inet", "postrouting priority 300", ["oifname uplink1 ip saddr 10.22.0.0/16 drop"], (False, True, False, True)),
    "ingress of the bridge": ("netdev", "ingress device cni0 priority 0", ["drop"], NONE),
    "the bridge family": ("bridge", "input priority 0", ["ip saddr 10.22.0.0/16 drop"], NONE),
    "what is not the uplink's": ("inet", "forward priority 0", ["oifname uplink0 ip saddr != 198.18.0.0/24 drop"], (True, False, True, False)),
    "the world, but private networks": ("inet", "forward priority 0", ["iifname cni0 ip daddr != 10.0.0.0/8 drop"], NOT_PRIVATE),
    "answers, but of private networks": ("inet", "forward priority 0", ["ip saddr != 10.0.0.0/8 drop"], NOT_PRIVATE),
    "the world, but a set": ("inet", "forward priority 0", ["iifname cni0 ip daddr != { 10.0.0.0/8, 172.16.0.0/12 } drop"], NOT_PRIVATE),
    "a chain further on": ("inet", "forward priority 0", ["iifname vmap { cni0 : drop }"], NONE),
}


@pytest.mark.parametrize("name", DROPPING_NFT)
def test_drops_wherever_packets_pass(world, pod, name):
    family, hook, rules, answered = DROPPING_NFT[name]
    put_chain(world, family, hook, *rules)
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    alone = {UDP_DEAD: " (UDP alone)", TCP_DEAD: " (TCP alone)"}.get(answered, "")
    assert all(line.endswith(alone) and "alone" not in line.removesuffix(alone) for line in found["forward-drops-pods"]["where"])
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


FIREWALL = "ct state vmap { established : accept, related : accept, invalid : drop }"


@pytest.mark.parametrize("family, hook, rules", [
    ("inet", "forward priority 0; policy drop", ["ct state established,related accept", "iifname cni0 ct state new accept"]),
    ("inet", "forward priority 0; policy drop", ["ct state vmap { established : accept, related : accept, new : accept }"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname { cni0, docker0 } accept"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname cni0 meta l4proto { tcp, udp } accept"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname vmap { cni0 : accept, docker0 : drop }"]),
    ("ip", "forward priority 0; policy drop", ["ct state != new accept", "ip saddr 10.22.0.0/16 counter accept"]),
    ("inet", "forward priority 0", ["ct state invalid drop", "tcp flags & (fin | syn | rst | ack) != syn ct state new drop"]),
    ("inet", "prerouting priority 0", ["ct state invalid drop", "fib saddr . iif oif missing drop"]),
    ("inet", "prerouting priority -300", ["ct state new drop"]),  # nothing is new before it is tracked
    ("netdev", "ingress device uplink0 priority 0", ["ip saddr 10.22.0.0/24 drop"]),
    ("bridge", "forward priority 0", ["drop"]),
    ("inet", "forward priority 0", ["ip protocol icmp drop"])])
def test_firewalls_that_let_pods_through(world, pod, family, hook, rules):
    put_chain(world, family, hook, *rules)
    assert heard(world, pod) == ALL
    assert findings(world) == {}


@pytest.mark.parametrize("rule", ["limit rate over 1/hour burst 1 packets drop", "tcp dport 25 drop", "ip daddr 203.0.113.77 drop", "meta length 1-9999 drop"])
def test_what_may_be_dropped_is_a_note(world, rule):
    put_chain(world, "inet", "forward priority 0", f"iifname cni0 {rule}")
    assert weights(world) == {"forward-drops-pods": "note"}
    for line in findings(world)["forward-drops-pods"]["fix"]:
        assert line.startswith("# ")


def test_what_may_be_dropped_hides_no_drop_of_all(world, pod):
    put_chain(world, "inet", "forward priority 0; policy drop", "iifname cni0 tcp dport 25 drop")
    assert heard(world, pod) == NONE
    hurting, note = doctor(world)[1]["findings"]
    assert (hurting["name"], hurting["weight"], hurting["where"]) == ("forward-drops-pods", "hurts", ["nft chain inet theirs base: policy drop"])
    assert (note["name"], note["weight"]) == ("forward-drops-pods", "note")
