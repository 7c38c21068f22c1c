"""What version 0.1.0 left, records and rules, is taken over while its pods run."""

import json

import pytest
from harness.texts import CBR0, Subnet

NETWORK = {"netconf": {}, "backend": "iptables"}
POD = {"containerID": "pod-1", "ifname": "eth0", "addresses": ["10.244.1.5/24"], "podSubnets": ["10.244.1.0/24"], "pod": "default/web"}

RULES = {
    "iptables": """*nat
:IP-MASQ-67a95ac47c50 - [0:0]
:IP-MASQ-PODS - [0:0]
-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS
-A IP-MASQ-67a95ac47c50 -d 10.244.1.0/24 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-67a95ac47c50 -d 10.0.0.0/8 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -j MASQUERADE --random-fully
-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: cbr0" -g IP-MASQ-67a95ac47c50
COMMIT
""",
    "nftables": """table inet ip-masq {
	map pod-subnets { type ipv4_addr : verdict; flags interval; elements = { 10.244.1.0/24 : goto cbr0-67a95ac47c50 }; }
	set cbr0-67a95ac47c50-kept { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
	chain cbr0-67a95ac47c50 {
		ip daddr 10.244.1.0/24 ct status dnat counter return
		ip daddr @cbr0-67a95ac47c50-kept counter snat ip to ip saddr
		counter masquerade fully-random
	}
	chain postrouting {
		type nat hook postrouting priority srcnat - 5; policy accept;
		meta mark & 0x00004000 == 0x00004000 counter return
		fib daddr type local counter return
		counter ip saddr vmap @pod-subnets
	}
}
""",
}


@pytest.fixture
def earlier(node):
    """A node that 0.1.0 served, with one pod."""
    if node.backend == "iptables":
        node.restore_beside(RULES["iptables"])
    else:
        node.nft("-f", "-", input=RULES["nftables"])
    folder = node.state / "cbr0"
    folder.mkdir(parents=True, mode=0o700)
    node.state.chmod(0o700)
    keys = {key: value for key, value in node.netconf().items() if key not in ("cniVersion", "name", "type", "prevResult")}
    (folder / "network.json").write_text(json.dumps({**NETWORK, "netconf": keys, "backend": node.backend}))
    (folder / "pod-1:eth0").write_text(json.dumps(POD))
    return node


def test_its_rules_and_records_are_understood(earlier):
    shown = json.loads(earlier.tool("show", "-o", "json"))["networks"]
    assert [(network["name"], network["backend"], network["podSubnets"]) for network in shown] == [
        ("cbr0", earlier.backend, ["10.244.1.0/24"])]
    assert json.loads(earlier.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))["fate"] == "kept"


@pytest.mark.parametrize("by", ["sync", "an ADD beside it", "an ADD of another subnet", "GC"])
def test_the_first_call_carries_all_over(earlier, by):
    subnets = [CBR0]
    if by == "sync":
        earlier.tool("sync")
    elif by == "an ADD beside it":
        earlier.add("pod-2", ips=["10.244.1.6/24"])
    elif by == "an ADD of another subnet":
        earlier.add("pod-2", ips=["10.244.2.6/24"])
        subnets.append(Subnet("10.244.2.0/24"))
    else:
        valid = [{"containerID": "pod-1", "ifname": "eth0"}]
        earlier.do("GC", None, earlier.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": valid}))
    assert earlier.save() == earlier.expected(*subnets)
    assert earlier.check() is None
    assert "cbr0/pod-1" in earlier.recorded()
    assert json.loads((earlier.state / "cbr0/network.json").read_text())["format"] == 2
    for container in [each.split("/")[1] for each in earlier.recorded()]:
        earlier.delete(container)
    assert earlier.save() == earlier.expected()
    assert list(earlier.files()) == ["lock"]


def test_its_last_pod_takes_all_along(earlier):
    earlier.delete()
    assert earlier.save() == earlier.expected()
    assert list(earlier.files()) == ["lock"]


def test_what_a_later_version_recorded_is_not_touched(node):
    node.add()
    path = node.state / "cbr0/network.json"
    path.write_text(path.read_text().replace('"format":2', '"format":3'))
    before = node.save(), node.files()
    refusal = (7, f"{path} is damaged: it has format 3, of a later ip-masq: this one knows 2")
    assert node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"])).error == refusal
    assert node.call("DEL").error == refusal
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 1
    assert (node.save(), node.files()) == before
