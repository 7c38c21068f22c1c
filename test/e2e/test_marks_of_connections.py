"""Marks that connections have and packets get back: a new connection has none but what rules on the same way set, so that it is
known whether a packet has a yield mark. An outside host sees it; explain and doctor say the same."""

import json

import pytest
from test_contradictions import KEPT, MASQUERADED, NAMES, NODE, POD, Anywhere, put, table

MARK_ALL = "-A PREROUTING -j CONNMARK --set-xmark 0x4000/0x4000"
RESTORE = "-A FORWARD -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"
LEFT, ASIDE = (POD, POD), (POD, NODE)


def mangle(*rules):
    return "iptables-legacy", "\n".join(["*mangle", *rules, "COMMIT", ""])


def nft(*rules):
    return "nft", table("filter hook prerouting priority mangle", *rules)


# name: program, text, what is seen at KEPT and at MASQUERADED
CASES = {
    "set and restored": (*mangle(MARK_ALL, RESTORE), LEFT),
    "restored before it is set": (*mangle("-A PREROUTING -j CONNMARK --restore-mark", MARK_ALL), ASIDE),
    "another one is set and restored": (*mangle("-A PREROUTING -j CONNMARK --set-xmark 0x1/0xffffffff", RESTORE), ASIDE),
    "it is set and taken away": (*mangle(MARK_ALL, "-A PREROUTING -j CONNMARK --set-xmark 0x0/0x4000", RESTORE), ASIDE),
    "other bits of it are restored": (*mangle(MARK_ALL, "-A FORWARD -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"), ASIDE),
    "a packet's is saved and restored": (
        *mangle("-A PREROUTING -j MARK --set-xmark 0x4000/0x4000", "-A PREROUTING -j CONNMARK --save-mark",
                "-A PREROUTING -j MARK --set-xmark 0x0/0xffffffff", RESTORE), LEFT),
    "of other pods' connections": (*mangle(f"{MARK_ALL} -s 10.244.2.0/24", RESTORE), ASIDE),
    "set before connections are tracked": ("iptables-legacy", f"*raw\n{MARK_ALL}\nCOMMIT\n*mangle\n{RESTORE}\nCOMMIT\n", ASIDE),
    "restored before connections are tracked": (
        "iptables-legacy", f"*raw\n{RESTORE.replace('FORWARD', 'PREROUTING')}\nCOMMIT\n*mangle\n{MARK_ALL}\nCOMMIT\n", ASIDE),
    "asked for, and nobody sets it": (*mangle("-A PREROUTING -m connmark --mark 0x10 -j MARK --set-xmark 0x4000/0x4000"), ASIDE),
    "asked for, and set": (
        *mangle("-A PREROUTING -j CONNMARK --set-xmark 0x10/0x10", "-A FORWARD -m connmark --mark 0x10/0x10 -j MARK --set-xmark 0x4000/0x4000"), LEFT),
    "set and restored, nft": (*nft("ct mark set 0x4000", "meta mark set ct mark"), LEFT),
    "another one is set and restored, nft": (*nft("ct mark set 0x1", "meta mark set ct mark"), ASIDE),
    "a bit is added and restored, nft": (*nft("ct mark set ct mark | 0x4000", "meta mark set ct mark & 0x4000"), LEFT),
    "a packet's is saved and restored, nft": (*nft("meta mark set 0x4000 ct mark set meta mark meta mark set 0", "meta mark set ct mark"), LEFT),
    "asked for, and nobody sets it, nft": (*nft("ct mark 0x10 meta mark set 0x4000"), ASIDE),
    "asked for, and set, nft": (*nft("ct mark set 0x10", "ct mark 0x10 meta mark set 0x4000"), LEFT),
    "asked for another one, nft": (*nft("ct mark set 0x10", "ct mark != 0x10 meta mark set 0x4000"), ASIDE),
    "in turn": (*nft("ct mark set numgen inc mod 2 map { 0 : 0x100, 1 : 0x200 }", "meta mark set ct mark"), None),
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
    conf_dir = site.node.folder / "lists"
    conf_dir.mkdir()
    found = json.loads(site.node.tool("doctor", "-o", "json", "--conf-dir", conf_dir, check=False))["findings"]
    told = {each["name"]: each["weight"] for each in found if each["name"] in [*NAMES, "rules-not-understood"]}
    if seen is None:
        assert told == {"rules-not-understood": "note"}
        return
    assert site.seen() == seen
    assert told == ({"yield-mark-set": "hurts"} if seen == LEFT else {})
    assert site.explained() == list(seen), (KEPT, MASQUERADED)
