"""Rules of others for ranges of addresses that are no networks: whether a pod is in one is known. An outside host sees it; explain
and doctor say the same."""

import json

import pytest
from test_contradictions import NAMES, NODE, POD, Anywhere, put, table

HIDDEN, OPEN = (POD, NODE), (POD, POD)


def legacy(match):
    return "iptables-legacy", f"*mangle\n-A PREROUTING -m iprange {match} -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n"


def nft(match):
    return "nft", table("filter hook prerouting priority mangle", f"{match} meta mark set 0x4000")


# name: program, text, what is seen at the host that sees pods and at the one that sees the node
CASES = {
    "the pod is in it": (*legacy("--src-range 10.244.1.2-10.244.1.9"), OPEN),
    "the pod is before it": (*legacy("--src-range 10.244.1.6-10.244.1.9"), HIDDEN),
    "the pod is behind it": (*legacy("--src-range 10.244.1.1-10.244.1.4"), HIDDEN),
    "all but those in it": (*legacy("! --src-range 10.244.1.2-10.244.1.9"), HIDDEN),
    "all but others in it": (*legacy("! --src-range 10.244.1.6-10.244.1.9"), OPEN),
    "both ends of a connection": (*legacy("--src-range 10.244.1.2-10.244.1.9 --dst-range 203.0.113.1-203.0.113.20"), OPEN),
    "a destination elsewhere": (*legacy("--dst-range 203.0.113.10-203.0.113.20"), HIDDEN),
    "others": (*legacy("--src-range 192.0.2.1-192.0.2.9"), HIDDEN),
    "others, nft": (*nft("ip saddr 192.0.2.1-192.0.2.9"), HIDDEN),
    "the pod is in it, nft": (*nft("ip saddr 10.244.1.2-10.244.1.9"), OPEN),
    "the pod is before it, nft": (*nft("ip saddr 10.244.1.6-10.244.1.9"), HIDDEN),
    "all but those in it, nft": (*nft("ip saddr != 10.244.1.2-10.244.1.9"), HIDDEN),
    "all but others in it, nft": (*nft("ip saddr != 10.244.1.6-10.244.1.9"), OPEN),
    "from an address on, nft": (*nft("ip saddr >= 10.244.1.6"), HIDDEN),
    "up to an address, nft": (*nft("ip saddr <= 10.244.1.5"), OPEN),
    "a destination in it, nft": (*nft("ip daddr 203.0.113.1-203.0.113.20"), OPEN),
    "a destination elsewhere, nft": (*nft("ip daddr 203.0.113.10-203.0.113.20"), HIDDEN),
    "in a set, nft": (*nft("ip saddr { 10.244.1.2-10.244.1.9, 192.0.2.1 }"), OPEN),
}


@pytest.fixture
def site(node):
    made = Anywhere(node, "", False)
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES)
def test_what_is_told_is_what_is_seen(site, case):
    program, text, seen = CASES[case]
    put(site.node, program, text)
    assert site.seen() == seen
    assert site.explained() == list(seen)
    conf_dir = site.node.folder / "lists"
    conf_dir.mkdir()
    found = json.loads(site.node.tool("doctor", "-o", "json", "--conf-dir", conf_dir, check=False))["findings"]
    told = {each["name"]: each["weight"] for each in found if each["name"] in [*NAMES, "rules-not-understood"]}
    # Where this pod is not in it, another one may be, who gets an address of the same subnet.
    if "destination" not in case:
        assert told == ({} if case.startswith("others") else {"yield-mark-set": "hurts"})
