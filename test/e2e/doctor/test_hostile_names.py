"""Names are anybody's to give: whatever stands in those of interfaces, tables, chains, comments, files, keys and networks, what doctor says can
be printed, and a fix that is pasted runs nothing of it."""

import json
import os
import subprocess

import pytest
from harness.doctor import PLAIN, conflist

TRAP = "$(>pwned)"  # a shell that reads it as more than a word makes a file
COMMENTS = [TRAP, "';>pwned;'", '">pwned', "a\n>pwned\n", "\x1b[31m\u202e", b"\xff\xfe\xc0", "`>pwned`", "--help", "it's \\"]
INTERFACES = [b"$(>pwned)", b";>pwned", b"'\">pwned", b"\x1b[31m", b"\xff\xfe", b"-w", b"a=b", b"a.b"]
CHAINS = [TRAP, ";>pwned;", "'\">pwned", "`>pwned`", "\x1b[31m", b"\xff\xfe"]
# Of nft's language, to which the shell's quotes are nothing: a command more each.
NFT_TABLES = ["x; flush ruleset; add table ip x", "a'b", "\x1b[31m", "-x", TRAP]
NFT_CHAIN = "c handle 1; flush ruleset; delete rule ip x c"
# Which nobody may carry out on the machine that the tests are on.
NOT_HERE = ("update-alternatives", "modprobe", "kubectl")


def run(host, *argv):
    done = subprocess.run([os.fsencode(word) for word in host.inside(b"true")[:-1]] + [word if isinstance(word, bytes) else str(word).encode() for word in argv],
                          capture_output=True)
    assert done.returncode == 0, done


def iptables(host, table, *rules):
    for rule in rules:
        run(host, "iptables-legacy", "-t", table, *rule)


def by_json(host, *objects):
    host.run("nft", "-j", "-f", "-", input=json.dumps({"nftables": [{"add": each} for each in objects]}))


def in_raw(host):
    """Pods' packets are not tracked, by rules in chains of such names, with such comments, about such interfaces."""
    for chain in CHAINS:
        iptables(host, "raw", ["-N", chain], ["-A", "PREROUTING", "-j", chain], ["-A", chain, "-s", "10.22.0.0/16", "-j", "CT", "--notrack"])
    for comment in COMMENTS:
        iptables(host, "raw", ["-A", "PREROUTING", "-s", "10.22.0.0/16", "-m", "comment", "--comment", comment, "-j", "CT", "--notrack"])
    for interface in INTERFACES:
        iptables(host, "raw", ["-A", "PREROUTING", "!", "-i", interface, "-s", "10.22.0.0/16", "-j", "CT", "--notrack"])


def in_nat(host):
    """What somebody left behind who masquerades."""
    for name in CHAINS[:4]:
        iptables(host, "nat", ["-N", f"CNI-{name}"], ["-A", "POSTROUTING", "-s", "10.22.0.9/32", "-m", "comment", "--comment",
                                                      f'name: "{TRAP}\n" id: "a{name}"', "-j", f"CNI-{name}"])
        iptables(host, "nat", ["-A", "POSTROUTING", "-m", "comment", "--comment", "ip-masq-agent: ensure", "-j", f"CNI-{name}"])


def in_nftables(host):
    for table in NFT_TABLES:
        by_json(host, {"table": {"family": "ip", "name": table}},
                {"chain": {"family": "ip", "table": table, "name": NFT_CHAIN, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
                {"chain": {"family": "ip", "table": table, "name": "pre", "type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}},
                {"rule": {"family": "ip", "table": table, "chain": "pre", "expr": [{"notrack": None}]}},
                {"chain": {"family": "ip", "table": table, "name": "IP-MASQ-AGENT"}},
                {"chain": {"family": "ip", "table": table, "name": "post", "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}},
                {"rule": {"family": "ip", "table": table, "chain": "post", "expr": [{"jump": {"target": "IP-MASQ-AGENT"}}]}},
                {"rule": {"family": "ip", "table": table, "chain": "IP-MASQ-AGENT", "expr": [{"masquerade": None}]}})


def of_the_kernel(host):
    """Interfaces that are strict, and do not forward."""
    for number, interface in enumerate(INTERFACES):
        run(host, "ip", "link", "add", f"t{number}", "type", "bridge")
        run(host, "ip", "link", "set", f"t{number}", "name", interface)
        run(host, "sh", "-c", b'echo 1 > "/proc/sys/net/ipv4/conf/$1/rp_filter"; echo 0 > "/proc/sys/net/ipv4/conf/$1/forwarding"', "sh", interface)


def in_files(host):
    for number, name in enumerate([TRAP, "';>pwned;'", "\x1b[31m", "a\nb", b"\xff\xfe", "-x"]):
        text = json.dumps({**PLAIN, "plugins": [{"type": TRAP}]} if number % 2 else [1])
        path = b"/etc/cni/net.d/" + (name if isinstance(name, bytes) else name.encode()) + b"0.conflist"
        run(host, "sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path)
        run(host, "sh", "-c", 'mkdir -p /var/lib/cni/results && : > "/var/lib/cni/results/$1"', "sh", name)
    host.write("/etc/config/ip-masq-agent", json.dumps({f"nonMasqueradeCIDR\x1b{TRAP}": [], "masqLinkLocl": True, "snatTo": [f"\x1b{TRAP}'\u202e"]}))
    host.write("/etc/cni/net.d/99-last.conflist", json.dumps({**conflist(**{"masqueradeCIDR": [], f"cidrLimits\x1b{TRAP}": 1}), "name": f"{TRAP}\x1b"}))


@pytest.mark.parametrize("names", [in_raw, in_nat, in_nftables, of_the_kernel, in_files], ids=lambda names: names.__name__)
def test_names_are_said_and_never_run(site, names, tmp_path):
    folder = tmp_path / "pasted"
    folder.mkdir()
    site.run("nft", "add", "table", "inet", "canary")
    site.run("iptables-legacy", "-t", "nat", "-N", "CANARY")
    names(site)
    done = subprocess.run(site.inside(site.bin / "ip-masq", "doctor"), capture_output=True)
    lines = done.stdout.decode().split("\n")
    assert done.stderr == b"" and all(line.isprintable() for line in lines), lines
    said = json.loads(site.tool("doctor", "-o", "json", check=False))
    texts = [line for each in said["findings"] for line in each["where"] + each["fix"]] + said["notLooked"]
    assert texts and all(line.isprintable() for line in texts)
    for line in (line for each in said["findings"] for line in each["fix"] if not line.startswith(NOT_HERE)):
        for shell in ("sh", "bash"):
            subprocess.run(site.inside("env", "-C", folder, f"PATH={site.bin}:{site.env['PATH']}", shell, "-c", line), capture_output=True,
                           stdin=subprocess.DEVNULL)
    assert list(folder.iterdir()) == []
    assert "table inet canary" in site.run("nft", "list", "tables")
    assert ":CANARY" in site.run("iptables-legacy-save", "-t", "nat")
