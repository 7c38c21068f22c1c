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
    """Whoever comes to nftables hurts nobody; who comes to iptables is decided by those in nftables."""
    def write(name, backend, subnet, bridge):
        conf = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text().replace("10.22.0.0/24", subnet))
        conf["plugins"][0]["ipam"]["ranges"].pop()
        conf["name"] = name
        conf["plugins"][0]["bridge"] = bridge
        conf["plugins"][-1]["backend"] = backend
        site.write(f"/etc/cni/net.d/20-{name}.conflist", json.dumps(conf))

    write("second", "nftables", "10.22.0.0/24", "cni0")
    write("early", "nftables", "10.55.0.0/24", "cni5")
    write("late", "iptables", "10.55.0.0/24", "cni5")
    pods = {name: Namespace(name) for name in ("second", "early", "late")}
    try:
        site.cnitool("add", "second", pods["second"])
        assert set(findings(site)) == {"pod-address-of-two-networks"}  # host-local counts for each network by itself
        site.cnitool("add", "early", pods["early"])
        assert "pod-subnet-of-two-networks" not in findings(site)
        site.cnitool("add", "late", pods["late"])
        found = findings(site)
        assert found["pod-subnet-of-two-networks"]["weight"] == "hurts"
        where = found["pod-subnet-of-two-networks"]["where"]
        assert len(where) == 1 and where[0].endswith("of network late, in iptables, and 10.55.0.0/24 of early, in nftables")
        for name in pods:
            site.cnitool("del", name, pods[name])
        site.run("ip", "link", "delete", "cni5")
        assert findings(site) == {}
    finally:
        for pod in pods.values():
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
        assert "srcnat - 5" not in site.run("nft", "list", "ruleset"), "the move was not killed between the two"
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
