"""Each finding that doctor has is made for real by some test; here those that no other file makes."""

import json
from itertools import count

from harness.doctor import carry_out, finding_names, findings
from harness.host import ROOT
from harness.lan import Lan
from harness.node import Namespace


def test_each_is_made():
    """A name that stands in no test of packets and files is one that nobody has seen."""
    tests = [*(ROOT / "test/e2e").rglob("*.py"), *(ROOT / "test/integration").glob("*.py")]
    said = "".join(path.read_text() for path in tests)
    assert [name for name in finding_names() if f'"{name}"' not in said] == []


def test_a_subnet_of_two_networks_in_two_back_ends(site):
    conf = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conf["name"] = "second"
    conf["plugins"][-1]["backend"] = "nftables"
    site.write("/etc/cni/net.d/20-second.conflist", json.dumps(conf))
    pod = Namespace("second")
    try:
        site.cnitool("add", "second", pod)
        found = findings(site)
        assert found["pod-subnet-of-two-networks"]["weight"] == "hurts"
        assert "10.22.0.0/24 of network bridge-net, in iptables, and 10.22.0.0/24 of second, in nftables" in found["pod-subnet-of-two-networks"]["where"]
        site.cnitool("del", "second", pod)
        assert findings(site) == {}
    finally:
        pod.close()


def test_pods_that_nobody_can_tell_of(site):
    site.run("chown", "nobody", "/var/lib/cni/results")
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-not-told": "note"}
    assert found["pods-not-told"]["where"] == ["the folder /var/lib/cni/results belongs to somebody else, or can be written to by others"]
    site.run("chown", "root", "/var/lib/cni/results")
    carry_out(site, found["pods-not-told"])
    assert findings(site) == {}


def test_rules_that_lead_on_further_than_is_followed(site):
    """From chain to chain, for packets that no link here carries."""
    chains = [f"way-{number}" for number in range(510)]
    rules = [f"-A {chain} -m length --length 65000:65500 -j {following}" for chain, following in zip(["PREROUTING", *chains], chains)]
    site.restore_beside("\n".join(["*mangle", *(f":{chain} -" for chain in chains), *rules, "COMMIT", ""]))
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"rules-not-understood": "note"}
    assert found["rules-not-understood"]["where"] == ["iptables-legacy -t mangle -A way-498 -m length ... -j way-499"]


def test_a_move_to_the_other_back_end_that_was_killed(site):
    """Once the new rules stand, before the old ones are gone."""
    site.run("nft", "-f", "-", input="table inet theirs { chain c { type nat hook postrouting priority 300; }; }")

    def is_between():
        return "leaving" in json.loads(site.tool("show", "-o", "json"))["networks"][0]

    for number in count(1):
        site.run("strace", "-f", "-o", "/dev/null", "-e", "trace=setsockopt", "-e", f"inject=setsockopt:signal=KILL:when={number}",
                 site.bin / "ip-masq", "sync", check=False)
        if is_between():
            break
        assert "table inet ip-masq" not in site.run("nft", "list", "tables"), "the move was not killed between the two"
    found = findings(site)
    assert found["rules-on-their-way"]["weight"] == "hurts"
    assert found["rules-on-their-way"]["where"] == ["bridge-net: from iptables to nftables"]
    carry_out(site, found["rules-on-their-way"])
    assert findings(site) == {}


def test_a_pod_whose_packets_do_not_pass_this_node(tmp_path):
    lan = Lan(tmp_path, "iptables", "macvlan")
    try:
        lan.node.do("ADD", "pod-1", lan.netconf())
        said = json.loads(lan.node.tool("doctor", "-o", "json", "--conf-dir", tmp_path, check=False))
        (found,) = (each for each in said["findings"] if each["name"] == "pod-bypasses-node")
        assert found["weight"] == "note"
        assert found["where"] == ["lan: pod-1 192.168.50.30/24 fd00:50::30/64"]
    finally:
        lan.close()
