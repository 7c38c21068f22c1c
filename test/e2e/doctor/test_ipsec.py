"""Policies of IPsec that drop what pods send, or the answers: as outside hosts see, as explain says, and as doctor does."""

import json
import subprocess

import pytest
from harness.doctor import ALL, ELSEWHERE, EXEMPT, NONE, doctor, findings, heard

KEPT_DEAD, OTHERS_DEAD = (False, True, False, True), (True, False, True, False)
PODS, UPLINK, OTHER_UPLINK = "10.22.0.0/24", "198.18.0.1", "198.18.1.1"
TUNNEL = "tmpl src 198.18.1.1 dst 198.18.1.254 proto esp mode tunnel"
BEYOND = "where no narrower policy is for"

# What stands, what still answers, what doctor says.
DROPPED = {
    "what pods send, as it comes in": (["src 10.22.0.0/16 dst 0.0.0.0/0 dir fwd action block"], NONE, [f"from {PODS} to {BEYOND}: {{}}"]),
    "what pods send, as it goes out": (["src 10.22.0.0/16 dst 10.9.9.0/24 dir out action block"], KEPT_DEAD, [f"from {PODS} to 10.9.9.0/24: {{}}"]),
    "answers, which come to the pod": (["src 10.9.9.0/24 dst 10.22.0.0/16 dir fwd action block"], KEPT_DEAD,
                                       [f"answers from 10.9.9.0/24 to {PODS}: {{}}"]),
    "answers from anywhere, which come to the pod": (
        ["src 0.0.0.0/0 dst 10.22.0.0/16 dir fwd action block"], KEPT_DEAD, [f"answers to {PODS}: {{}}"]),
    "answers to what is masqueraded, which come to the node": (
        [f"src 0.0.0.0/0 dst {UPLINK}/32 dir fwd action block"], OTHERS_DEAD, [f"answers to {PODS} as this node: {{}}"]),
    "what is masqueraded": ([f"src {UPLINK}/32 dst 0.0.0.0/0 dir out action block"], OTHERS_DEAD,
                            [f"from {PODS} as this node to {BEYOND}: {{}}"]),
    "answers, as they are sent on": ([f"src {ELSEWHERE}/32 dst 10.22.0.0/16 dir out action block"], OTHERS_DEAD,
                                     [f"answers from {ELSEWHERE}/32 to {PODS}: {{}}"]),
    "a tunnel without a state": ([f"src 10.22.0.0/16 dst 10.9.9.0/24 dir out {TUNNEL}"], KEPT_DEAD,
                                 [f"from {PODS} to 10.9.9.0/24: {{}}: there is no such state, and nobody agrees on one"]),
    "a tunnel that pods would have to come by": (
        [f"src 10.22.0.0/16 dst 10.9.9.0/24 dir fwd {TUNNEL}"], KEPT_DEAD,
        [f"from {PODS} to 10.9.9.0/24: {{}}: it wants them to have come by IPsec, and pods send in the clear"]),
    "a block behind what lets a part pass": (
        ["src 10.22.0.0/16 dst 0.0.0.0/0 dir out action block priority 100", "src 10.22.0.0/16 dst 10.9.9.0/24 dir out priority 50"], OTHERS_DEAD,
        [f"from {PODS} to {BEYOND}: {{}}"]),
}

# What stands and takes nothing from pods.
HARMLESS = {
    "answers that come to the pod, where it is masqueraded": ["src 203.0.113.0/24 dst 10.22.0.0/16 dir fwd action block"],
    "what the node itself gets": ["src 0.0.0.0/0 dst 0.0.0.0/0 dir in action block"],
    "others' addresses": ["src 10.23.0.0/16 dst 10.24.0.0/16 dir fwd action block", "src 10.23.0.0/16 dst 10.24.0.0/16 dir out action block"],
    "a block behind what lets all pass": ["src 10.22.0.0/16 dst 0.0.0.0/0 dir out action block priority 100",
                                          "src 10.22.0.0/15 dst 0.0.0.0/0 dir out priority 50"],
    "a block behind one of the same priority": ["src 10.22.0.0/15 dst 0.0.0.0/0 dir out", "src 10.22.0.0/16 dst 0.0.0.0/0 dir out action block"],
    "a policy of an xfrm interface": ["src 10.22.0.0/16 dst 0.0.0.0/0 dir out if_id 7 action block"],
}


def put(world, policies):
    for policy in policies:
        world.run("ip", "xfrm", "policy", "add", *policy.split())


def explained(world, pod):
    """What explain says of IPsec, towards the listed host and the other one."""
    (address,) = (each["local"] for link in json.loads(pod.run("ip", "-j", "-4", "addr"))
                  for each in link["addr_info"] if each["local"].startswith("10.22."))
    said = (json.loads(world.tool("explain", address, to, "-o", "json")) for to in (EXEMPT, ELSEWHERE))
    return [[line for line in each.get("warnings", []) if "ip xfrm" in line] for each in said]


@pytest.mark.parametrize("name", DROPPED)
def test_dropped(world, pod, name):
    policies, answered, where = DROPPED[name]
    assert (heard(world, pod), explained(world, pod), findings(world)) == (ALL, [[], []], {})
    put(world, policies)
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"ipsec-drops-pods": "hurts"}
    told = "ip xfrm policy: " + policies[0].replace(" priority 100", "").replace(" level required", "")
    assert found["ipsec-drops-pods"]["where"] == [line.format(told) for line in where]
    to_kept, to_others = explained(world, pod)
    assert ([each.split(" is dropped by IPsec: ip xfrm policy: ")[0] in ("it", "the answer to it") for each in to_kept],
            [each.split(" is dropped by IPsec: ip xfrm policy: ")[0] in ("it", "the answer to it") for each in to_others]) == (
                [True] * (not answered[0]), [True] * (not answered[1]))
    _, fix = found["ipsec-drops-pods"]["fix"]
    world.run(*fix[2:].split())
    assert (heard(world, pod), findings(world)) == (ALL, {})


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(world, pod, name):
    put(world, HARMLESS[name])
    assert (heard(world, pod), explained(world, pod), findings(world)) == (ALL, [[], []], {})


def test_what_no_policy_is_for(world, pod):
    world.run("ip", "xfrm", "policy", "setdefault", "fwd", "block")
    assert heard(world, pod) == NONE
    found = findings(world)["ipsec-drops-pods"]
    assert found["where"] == [f"{packets}: ip xfrm policy getdefault: fwd: block"
                              for packets in (f"from {PODS} to {BEYOND}", f"answers to {PODS}", f"answers to {PODS} as this node",
                                              *(line.replace(PODS, "fd00:22::/64") for line in (
                                                  f"from {PODS} to {BEYOND}", f"answers to {PODS}", f"answers to {PODS} as this node")))]
    world.run(*found["fix"][-1][2:].split())
    assert (heard(world, pod), findings(world)) == (ALL, {})


def test_some_packets_alone(world, pod):
    put(world, ["src 10.22.0.0/16 dst 0.0.0.0/0 proto tcp dport 1 dir fwd action block"])
    assert heard(world, pod) == ALL
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"ipsec-drops-pods": "note"}
    assert found["ipsec-drops-pods"]["where"] == [
        f"from {PODS} to {BEYOND}: some of them: ip xfrm policy: src 10.22.0.0/16 dst 0.0.0.0/0 proto tcp dport 1 dir fwd action block"]
    assert all(line.startswith("it may be that it is dropped") for lines in explained(world, pod) for line in lines)


def test_interfaces_that_ask_no_policy(world, pod):
    put(world, [f"src {PODS} dst 0.0.0.0/0 dir fwd action block", f"src {PODS} dst 0.0.0.0/0 dir out action block"])
    world.sysctl(net__ipv4__conf__cni0__disable_policy=1, net__ipv4__conf__uplink0__disable_xfrm=1, net__ipv4__conf__uplink1__disable_xfrm=1)
    assert (heard(world, pod), explained(world, pod), findings(world)) == (ALL, [[], []], {})


def test_a_tunnel_that_a_key_daemon_is_to_bring_up(world, pod):
    """Somebody who listens to what states the kernel wants: until there is one, packets are lost, as always with the first."""
    put(world, [f"src 10.22.0.0/16 dst 10.9.9.0/24 dir out {TUNNEL}"])
    daemon = subprocess.Popen(world.inside("ip", "xfrm", "monitor", "acquire"), stdout=subprocess.PIPE, text=True)
    try:
        while "ip xfrm monitor" not in world.run("cat", f"/proc/{daemon.pid}/cmdline").replace("\0", " ") or \
                not any(line.split()[1] == "6" and int(line.split()[3], 16) & 1 for line in world.run("cat", "/proc/net/netlink").splitlines()[1:]):
            assert daemon.poll() is None
        found = findings(world)
        assert {name: each["weight"] for name, each in found.items()} == {"ipsec-drops-pods": "note"}
        assert found["ipsec-drops-pods"]["where"] == [
            f"from {PODS} to 10.9.9.0/24: ip xfrm policy: src 10.22.0.0/16 dst 10.9.9.0/24 dir out {TUNNEL}: there is no such state yet"]
        assert heard(world, pod) == KEPT_DEAD
    finally:
        daemon.kill()
        daemon.wait()
    assert doctor(world)[0] == 1


def test_a_pod_alone(world, pod):
    (address,) = (each["local"] for link in json.loads(pod.run("ip", "-j", "-4", "addr"))
                  for each in link["addr_info"] if each["local"].startswith("10.22."))
    put(world, [f"src {address}/32 dst 0.0.0.0/0 dir fwd action block", "src 10.22.0.200/32 dst 0.0.0.0/0 dir fwd action block"])
    found = findings(world)["ipsec-drops-pods"]
    assert found["where"] == [f"from {address}/32 to {BEYOND}: ip xfrm policy: src {address}/32 dst 0.0.0.0/0 dir fwd action block"]
    assert heard(world, pod) == NONE


def test_ipv6(world, pod):
    put(world, ["src fd00::/8 dst ::/0 dir fwd action block"])
    found = findings(world)
    subnets = [each for each in json.loads(world.tool("show", "-o", "json"))["networks"][0]["podSubnets"] if ":" in str(each)]
    if not subnets:
        pytest.fail("the shipped list has no IPv6")
    assert found["ipsec-drops-pods"]["weight"] == "hurts"
    assert found["ipsec-drops-pods"]["where"][0].endswith(f"to {BEYOND}: ip xfrm policy: src fd00::/8 dst ::/0 dir fwd action block")
