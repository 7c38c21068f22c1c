"""What is ours: nothing to be found where all is well; what is damaged, out of place, or undone is found, and gone after its fix."""

import json
import subprocess

import pytest
from harness.doctor import CLEAN, carry_out, findings, restore


def test_a_clean_node(host):
    assert host.tool("doctor", "--conf-dir", "/etc/cni/net.d") == CLEAN
    assert host.run("cat", "/proc/net/ip_tables_names") == "", "looking at a legacy table makes it"


def test_a_node_with_pods(site):
    assert site.tool("doctor") == CLEAN
    assert findings(site) == {}


def test_the_jump_that_is_not_first(site):
    site.run("iptables-legacy", "-t", "nat", "-I", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "RETURN")
    found = findings(site)
    assert list(found) == ["jump-not-first"]
    carry_out(site, found["jump-not-first"])
    assert findings(site) == {}


def test_damaged_rules(site):
    site.run("iptables-legacy", "-t", "nat", "-F", "IP-MASQ-PODS")
    found = findings(site)
    assert list(found) == ["rules-not-right"]
    assert found["rules-not-right"]["where"][0].startswith("iptables: missing: -A IP-MASQ-PODS -m mark")
    carry_out(site, found["rules-not-right"])
    assert findings(site) == {}


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_rules_that_nothing_needs(host, kind):
    if kind == "nft":
        host.run("nft", "-f", "-", input="table inet ip-masq { chain postrouting { type nat hook postrouting priority srcnat - 5; }; }")
    else:
        restore(host, "iptables-legacy", "nat", ":IP-MASQ-PODS -", '-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS')
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"rules-left-behind": "note"}
    carry_out(host, found["rules-left-behind"])
    assert findings(host) == {}
    assert "ip-masq" not in host.run("nft", "list", "ruleset") and "ip-masq" not in host.run("iptables-legacy-save")


def test_a_damaged_record(site):
    site.write("/run/cni/ip-masq/bridge-net/gone:eth0", "{")
    found = findings(site)
    assert list(found) == ["record-damaged"]
    assert found["record-damaged"]["where"][0].startswith("bridge-net: /run/cni/ip-masq/bridge-net/gone:eth0 is damaged: ")


def test_rules_in_the_wrong_place(site):
    site.run("nft", "-f", "-", input="table ip theirs { chain post { type nat hook postrouting priority srcnat; }; }")
    found = findings(site)
    assert list(found) == ["undone-by-nftables"]
    assert found["undone-by-nftables"]["where"] == ["nft chain ip theirs post, priority 100"]
    carry_out(site, found["undone-by-nftables"])
    assert findings(site) == {}


def test_a_chain_before_ours(host, pod):
    host.run("nft", "-f", "-", input="table ip theirs { chain post { type nat hook postrouting priority 90; }; }")
    host.use_conflist("10-bridge-ip-masq.conflist")
    host.cnitool("add", "bridge-net", pod)
    found = findings(host)
    assert list(found) == ["nat-chain-before-ours"]
    assert found["nat-chain-before-ours"]["where"] == ["nft chain ip theirs post, priority 90"]


def test_both_kinds_of_iptables(host):
    host.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
    host.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
    found = findings(host)
    assert list(found) == ["both-iptables-in-use"]
    assert found["both-iptables-in-use"]["where"] == [
        "nft chain ip nat POSTROUTING, priority 100", "iptables-legacy -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE"]


@pytest.mark.parametrize("setting, value, name", [
    ("net.ipv4.ip_forward", 0, "ip-forward-off"), ("net.ipv6.conf.all.forwarding", 0, "ipv6-forwarding-off"),
    ("net.ipv4.conf.cni0.rp_filter", 1, "rp-filter-strict")])
def test_settings_of_the_kernel(site, setting, value, name):
    site.run("sysctl", "-qw", f"{setting}={value}")
    found = findings(site)
    assert list(found) == [name]
    assert found[name]["where"] == [f"{setting} = {value}"]
    carry_out(site, found[name])
    assert findings(site) == {}


def test_a_kernel_without_the_tables(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=getsockopt:error=ENOENT", site.bin / "ip-masq", "doctor", "-o", "json"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    found = json.loads(done.stdout)["findings"]
    assert [each["name"] for each in found] == ["kernel-module-missing"]
    assert found[0]["where"] == ["the nat table of iptables is not available (No such file or directory)"]
