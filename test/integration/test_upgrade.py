"""What earlier versions left, records and rules, is taken over."""

import json

import pytest
from harness.config_files import REST
from harness.earlier import EARLIER, KEYS
from harness.texts import CBR0, in_order, nftables_drops_text

KEPT = CBR0.but(kept=("10.0.0.0/8", *REST))


@pytest.fixture(params=EARLIER, ids=lambda version: version.name)
def earlier(node, request):
    """A node that an earlier version served, with one pod."""
    request.param.put(node, ["pod-1"])
    return node


def nft_beside(node):
    """What stands in nftables while iptables does the NAT; empty where nftables does it."""
    return in_order(node.nft("-s", "list", "ruleset")) if node.backend == "iptables" else ""


def drops_beside(node, *subnets):
    return nftables_drops_text(subnets) if node.backend == "iptables" else ""


def test_its_rules_and_records_are_understood(earlier):
    shown = json.loads(earlier.tool("show", "-o", "json"))["networks"]
    assert [(network["name"], network["backend"], network["podSubnets"]) for network in shown] == [
        ("cbr0", earlier.backend, ["10.244.1.0/24"])]
    assert json.loads(earlier.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))["fate"] == "kept"


@pytest.mark.parametrize("by", ["sync", "an ADD beside it", "an ADD of another subnet", "GC"])
def test_the_first_call_carries_all_over(earlier, by):
    subnets = [KEPT]
    if by == "sync":
        earlier.tool("sync")
    elif by == "an ADD beside it":
        earlier.add("pod-2", ips=["10.244.1.6/24"], **KEYS)
    elif by == "an ADD of another subnet":
        earlier.add("pod-2", ips=["10.244.2.6/24"], **KEYS)
        subnets.append(KEPT.but(prefix="10.244.2.0/24"))
    else:
        valid = [{"containerID": "pod-1", "ifname": "eth0"}]
        earlier.do("GC", None, earlier.netconf(version="1.1.0", ips=None, **KEYS, **{"cni.dev/valid-attachments": valid}))
    assert (earlier.save(), nft_beside(earlier)) == (earlier.expected(*subnets), drops_beside(earlier, *subnets))
    assert earlier.check(**KEYS) is None
    assert "cbr0/pod-1" in earlier.recorded()
    assert json.loads((earlier.state / "cbr0/network.json").read_text())["format"] == 2
    for container in [each.split("/")[1] for each in earlier.recorded()]:
        earlier.delete(container)
    assert (earlier.save(), nft_beside(earlier)) == (earlier.expected(), "")
    assert list(earlier.files()) == ["lock"]


def test_its_last_pod_takes_all_along(earlier):
    earlier.delete()
    assert (earlier.save(), nft_beside(earlier)) == (earlier.expected(), "")
    assert list(earlier.files()) == ["lock"]


def test_what_a_later_version_recorded_is_not_touched(node):
    node.add()
    path = node.state / "cbr0/network.json"
    path.write_text(path.read_text().replace('"format":2', '"format":5'))
    before = node.save(), node.files()
    refusal = (7, f"{path}: it has format 5, of a later ip-masq: this one knows 4")
    assert node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"])).error == refusal
    assert node.call("DEL").error == refusal
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 1
    assert (node.save(), node.files()) == before
