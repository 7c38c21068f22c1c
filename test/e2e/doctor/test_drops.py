"""What drops packets of pods, in legacy iptables, in iptables-nft and in an interface's settings: told, mended, and silent where it spares them."""

import json

import pytest
from harness.doctor import ALL, ELSEWHERE, EXEMPT, NONE, TCP_DEAD, UDP_DEAD, carry_out, findings, heard, put_rules, weights


DROPPING = {
    "docker": ("iptables-legacy", ["-P FORWARD DROP", "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                                   "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT"]),
    "ufw": ("iptables-nft", ["-P FORWARD DROP", "-N ufw-before-forward", "-A FORWARD -j ufw-before-forward",
                             "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                             "-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT"]),
    "a rule": ("iptables-legacy", ["-A FORWARD -i cni0 -j REJECT"]),
    "no answers": ("iptables-legacy", ["-P FORWARD DROP", "-A FORWARD -i cni0 -j ACCEPT"]),
}


@pytest.mark.parametrize("name", DROPPING)
def test_forward_drops_pods(world, name):
    put_rules(world, DROPPING[name][0], "filter", DROPPING[name][1])
    assert world.seen() == (None, None)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert world.seen() == world.right


@pytest.mark.parametrize("rules", [
    ["-P FORWARD DROP", "-A FORWARD -s 10.22.0.0/16 -j ACCEPT", "-A FORWARD -d 10.22.0.0/16 -j ACCEPT"],  # flanneld's
    ["-P FORWARD DROP", "-A FORWARD -i cni0 -j ACCEPT", "-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT"],
    ["-A FORWARD -m conntrack --ctstate INVALID -j DROP", "-A FORWARD -i uplink+ -s 10.22.0.0/24 -j DROP"],
    ["-A FORWARD -f -j DROP", "-A FORWARD -m physdev --physdev-is-bridged -j DROP"]])
@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
def test_forward_chains_that_let_pods_through(world, program, rules):
    put_rules(world, program, "filter", rules)
    assert world.seen() == world.right
    assert findings(world) == {}


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
def test_synproxy(world, pod, program):
    """What it answers itself must not be tracked; the connection that it opens is."""
    world.sysctl(net__netfilter__nf_conntrack_tcp_loose=0)
    put_rules(world, program, "raw", ["-A PREROUTING -i cni0 -p tcp --syn -j CT --notrack"])
    assert "pods-not-tracked" in weights(world)
    put_rules(world, program, "filter", ["-A FORWARD -i cni0 -p tcp -m state --state INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460",
                                         "-A FORWARD -m state --state INVALID -j DROP"])
    assert world.seen() == world.right and heard(world, pod) == ALL
    assert weights(world) == {}
    for to in (EXEMPT, ELSEWHERE):
        assert json.loads(world.tool("explain", "10.22.0.2", to, "-o", "json")).get("warnings", []) == []


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
@pytest.mark.parametrize("table, rule, answered", [
    ("filter", "-A FORWARD -m conntrack --ctstate NEW -j DROP", NONE), ("filter", "-A FORWARD -m state ! --state RELATED,ESTABLISHED -j REJECT", NONE),
    ("filter", "-A FORWARD -p udp -m udp -j DROP", UDP_DEAD), ("filter", "-A FORWARD -p tcp --syn -j DROP", TCP_DEAD),
    ("raw", "-A PREROUTING -i cni0 -j DROP", NONE), ("raw", "-A PREROUTING -i uplink+ -j DROP", NONE),
    ("mangle", "-A FORWARD -i cni0 -j DROP", NONE), ("mangle", "-A POSTROUTING -s 10.22.0.0/16 -j DROP", NONE), ("mangle", "-P PREROUTING DROP", NONE)])
def test_drops_of_iptables_wherever_packets_pass(world, pod, program, table, rule, answered):
    put_rules(world, program, table, [rule])
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


@pytest.mark.parametrize("interface, answered", [("cni0", NONE), ("uplink0", (True, False, True, False))])
def test_an_interface_that_does_not_forward(world, pod, interface, answered):
    world.run("sysctl", "-qw", f"net.ipv4.conf.{interface}.forwarding=0")
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"interface-forwarding-off": "hurts"}
    assert found["interface-forwarding-off"]["where"] == [f"net/ipv4/conf/{interface}/forwarding = 0"]
    carry_out(world, found["interface-forwarding-off"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


def test_a_forward_chain_that_lets_some_through_and_drops_the_world(world):
    put_rules(world, "iptables-legacy", "filter", ["-P FORWARD DROP", "-A FORWARD -i cni0 -d 10.0.0.0/8 -j ACCEPT",
                                                   "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"])
    assert weights(world) == {"forward-drops-pods": "hurts"}
    assert world.seen() == (world.right[0], None)


# As kube-router writes a pod's rules, in the cluster-wide order: what no network policy has marked is refused.
POD_FIREWALL = [
    "-N KUBE-ROUTER-FORWARD", "-N KUBE-POD-FW-X", "-N KUBE-NWPLCY-DEFAULT", "-A FORWARD -j KUBE-ROUTER-FORWARD",
    "-A FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT", "-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000",
    "-A KUBE-POD-FW-X -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A KUBE-POD-FW-X -m conntrack --ctstate INVALID -j DROP",
    "-A KUBE-POD-FW-X -d 10.22.0.2/32 -m addrtype --src-type LOCAL -j ACCEPT", "{}-A KUBE-POD-FW-X -s 10.22.0.2/32 -j KUBE-NWPLCY-DEFAULT",
    "-A KUBE-POD-FW-X -d 10.22.0.2/32 -j KUBE-NWPLCY-DEFAULT",
    "-A KUBE-POD-FW-X -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100",
    "-A KUBE-POD-FW-X -m mark ! --mark 0x10000/0x10000 -j REJECT", "-A KUBE-POD-FW-X -j MARK --set-xmark 0x0/0x10000",
    "-A KUBE-POD-FW-X -j MARK --set-xmark 0x20000/0x20000", "-A KUBE-ROUTER-FORWARD -d 10.22.0.2/32 -j KUBE-POD-FW-X",
    "-A KUBE-ROUTER-FORWARD -s 10.22.0.2/32 -j KUBE-POD-FW-X",
    "-A KUBE-ROUTER-FORWARD -s 10.22.0.2/32 -m physdev --physdev-is-bridged -j KUBE-POD-FW-X"]


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
def test_a_policy_that_refuses_all_that_the_only_pod_sends(world, program):
    put_rules(world, program, "filter", [each.removeprefix("{}") for each in POD_FIREWALL if not each.startswith("{}")])
    assert world.seen() == (None, None)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    assert found["forward-drops-pods"]["where"][0].endswith("-m mark ! --mark 0x10000/0x10000 -j REJECT (10.22.0.2/32 alone)")
    carry_out(world, found["forward-drops-pods"])
    assert "hurts" not in weights(world).values()
    assert world.seen() == world.right


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
def test_a_policy_that_lets_the_only_pod_through(world, program):
    put_rules(world, program, "filter", [each.removeprefix("{}") for each in POD_FIREWALL])
    assert world.seen() == world.right
    assert "hurts" not in weights(world).values()
    for host in (EXEMPT, ELSEWHERE):
        assert "warnings" not in json.loads(world.tool("explain", "10.22.0.2", host, "-o", "json"))


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
def test_what_pods_send_once_they_were_answered(world, pod, program):
    """What begins a connection is let out, and what is answered in: all that follows is not."""
    put_rules(world, program, "filter", ["-P FORWARD DROP", "-A FORWARD -i cni0 -m conntrack --ctstate NEW -j ACCEPT",
                                         "-A FORWARD -o cni0 -m conntrack --ctstate ESTABLISHED -j ACCEPT"])
    assert heard(world, pod) == TCP_DEAD
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    assert found["forward-drops-pods"]["where"][0].endswith("policy drop (TCP alone)")
    warnings = json.loads(world.tool("explain", "10.22.0.2", EXEMPT, "-o", "json"))["warnings"]
    assert len(warnings) == 1 and warnings[0].startswith("it, or the answer to it, is dropped on this node: ")
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL
