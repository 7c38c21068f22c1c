#!/usr/bin/env python3
"""A node is broken in fifteen ways; doctor says what, its fix is pasted, and outside hosts see right again. See scripts/tour."""

import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.host import Host  # noqa: E402
from harness.network import Outside, ask, connect, give  # noqa: E402
from harness.node import BINARY, Namespace  # noqa: E402

SUBNET_ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
LISTED, ELSEWHERE = "10.9.9.9", "203.0.113.9"
OTHER = {"cniVersion": "1.0.0", "name": "other", "plugins": [
    {"type": "bridge", "bridge": "cni1", "isDefaultGateway": True, "ipam": {"type": "host-local", "subnet": "10.245.1.0/24"}}]}


@dataclass(frozen=True)
class Way:
    """`finding`: what doctor is to name. `network`: of a pod that starts once the node is broken, and is the one looked at;
    empty for the pod that runs. `by_hand`: what an operator's editor does where the fix says so. `is_held`: no pod is hurt yet.
    `needs_pod`: what is mended is in force with the next pod.
    `restore`: what an operator would do beside, once the node is right."""

    words: str
    finding: str
    commands: tuple
    network: str = ""
    restore: tuple = ()
    by_hand: tuple = ()
    is_held: bool = False
    needs_pod: bool = False


CONFIG, CONFLIST = "/etc/config/ip-masq-agent", "/etc/cni/net.d/10-test.conflist"


def a_file(words, finding, text, edit, **more):
    """The ConfigMap's file says `text`, until somebody edits it."""
    return Way(words, finding, (f"printf '{text}' > {CONFIG}", "ip-masq sync || true"), by_hand=(f"sed -i '{edit}' {CONFIG}",),
               restore=(f"rm {CONFIG}", "ip-masq sync"), **more)


WAYS = [
    Way("somebody flushes the rules", "rules-not-right", ("iptables -t nat -F IP-MASQ-PODS",)),
    Way("a masquerade rule comes before ours", "jump-not-first", ("iptables -t nat -I POSTROUTING -s 10.244.0.0/16 -j MASQUERADE",),
        restore=("iptables -t nat -D POSTROUTING -s 10.244.0.0/16 -j MASQUERADE",)),
    Way("ip-masq-agent left its rules behind", "ip-masq-agent-leftover",
        ("iptables -t nat -N IP-MASQ-AGENT", "iptables -t nat -A IP-MASQ-AGENT -d 192.168.0.0/16 -j RETURN",
         "iptables -t nat -A IP-MASQ-AGENT -j MASQUERADE", "iptables -t nat -I POSTROUTING -j IP-MASQ-AGENT")),
    Way("a new nftables table masquerades", "undone-by-nftables",
        ("nft add table ip theirs", "nft 'add chain ip theirs post { type nat hook postrouting priority srcnat; }'",
         "nft add rule ip theirs post ip saddr 10.244.0.0/16 masquerade")),
    Way("the node does not forward", "ip-forward-off", ("sysctl -qw net.ipv4.ip_forward=0",)),
    Way("a firewall drops what it forwards", "forward-drops-pods",
        ("nft add table inet firewall",
         "nft 'add chain inet firewall forward { type filter hook forward priority filter; policy drop; }'",
         "nft add rule inet firewall forward ct state established,related accept"),
        restore=("nft delete table inet firewall",)),
    Way("answers come back by another link", "rp-filter-strict", ("sysctl -qw net.ipv4.conf.back0.rp_filter=1",)),
    Way("connections are not tracked", "pods-not-tracked", ("iptables -t raw -A PREROUTING -i cni0 -j CT --notrack",)),
    Way("a rule sets kube-proxy's mark", "yield-mark-set", ("iptables -t mangle -A PREROUTING -i cni0 -j MARK --set-mark 0x4000",)),
    Way("all records and rules are lost", "pods-not-adopted", ("rm -r /run/cni/ip-masq", "nft delete table inet ip-masq")),
    Way("another conflist comes first", "entry-missing", (f"echo '{json.dumps(OTHER)}' > /etc/cni/net.d/05-other.conflist",),
        "other", ("rm /etc/cni/net.d/05-other.conflist*",)),
    a_file("the file has a typo", "config-wrong", "nonMasqueradeCIDRs:\\n- 10.0.0.0/33\\n", "s,/33,/8,", is_held=True),
    a_file("the list holds everybody", "everything-exempt", "nonMasqueradeCIDRs: [10.0.0.0/8, 0.0.0.0/0]\\n", "s/, 0.0.0.0.0//"),
    Way("a key of the conflist is misspelt", "key-misspelt",
        ("""sed -i.good 's#"nonMasqueradeCIDRs": \\[#"masqueradeCIDRs": ["10.9.0.0/16"], "nonMasqueradeCIDR": ["10.9.9.0/24",#' """ + CONFLIST,),
        "cbr0", (f"mv {CONFLIST}.good {CONFLIST}",), (f"sed -i 's/nonMasqueradeCIDR\"/nonMasqueradeCIDRs\"/' {CONFLIST}",), needs_pod=True),
    Way("the program is gone", "program-missing", ("rm /opt/cni/bin/ip-masq",), "cbr0"),
]


class Site:
    """A node with a pod, and two outside hosts: one in a listed network, which knows the way to pods, and the rest of the world."""

    def __init__(self, stack, folder):
        self.host = Host(folder)
        stack.callback(self.host.close)
        self.env = {**self.host.env, "PATH": f"{BINARY.resolve().parent}:{self.host.env['PATH']}"}
        self.host.write("/run/flannel/subnet.env", SUBNET_ENV)
        self.host.use_conflist("10-flannel-ip-masq.conflist")
        stack.callback(Outside(self.host, [ELSEWHERE], [], 0).close)
        listed = Outside(self.host, [LISTED], [], 1)
        stack.callback(listed.close)
        connect(self.host, "back0", listed.namespace, "back")
        give(self.host, "back0", "198.18.77.1/24")
        give(listed.namespace, "back", "198.18.77.2/24")
        for network in ("10.244.0.0/16", "10.245.0.0/16"):
            listed.namespace.run("ip", "route", "add", network, "via", "198.18.77.1")
        self.pod = Namespace("pod")
        stack.callback(self.pod.close)
        self.address = self.start("cbr0", self.pod)

    def start(self, network, pod):
        """The pod's address; None where it cannot start."""
        output = self.host.cnitool("add", network, pod, check=False)
        try:
            return json.loads(output)["ips"][0]["address"].split("/")[0]
        except (ValueError, KeyError):
            return None

    def shell(self, *lines):
        """Lines as they are pasted into a shell of the node."""
        return self.host.run("sh", "-ec", "\n".join(lines), env=self.env)

    def doctor(self, *argv):
        return self.host.run("ip-masq", "doctor", *argv, check=False, env=self.env)

    def findings(self):
        """{name: its fix}"""
        return {each["name"]: each["fix"] for each in json.loads(self.doctor("-o", "json"))["findings"]}


def say(text, indent=3):
    print("\n".join(" " * indent + line for line in text.splitlines()), flush=True)


def seen(pod, address):
    """How the two hosts see a pod: ("the pod", "the node") where that is right."""
    if address is None:
        return ("no pod starts",) * 2

    def owner(source):
        return "no answer" if source is None else "the pod" if source == address else "the node"

    return tuple(owner(source) for source in ask(pod, f"tcp:{LISTED}", f"tcp:{ELSEWHERE}").values())


RIGHT = ("the pod", "the node")


def told(pair):
    return f"{LISTED} (listed): {pair[0]}; {ELSEWHERE} (not listed): {pair[1]}"


def new_pod(site, stack, network):
    say("(a new pod)")
    pod = Namespace("new")
    stack.callback(pod.close)
    return pod, site.start(network, pod)


def walk(site, number, way):
    """Breaks the node, and mends it as doctor says; whether all went as it should, and what was seen and told, a row."""
    print(f"\n{number}. {way.words}", flush=True)
    with contextlib.ExitStack() as stack:
        pod, address = site.pod, site.address
        say("\n".join(f"$ {command}" for command in way.commands))
        site.shell(*way.commands)
        if way.network:
            pod, address = new_pod(site, stack, way.network)
        broken = seen(pod, address)
        say(told(broken))
        findings = site.findings()
        say("$ ip-masq doctor")
        say("\n".join(line for line in site.doctor().splitlines() if not line.startswith("  ")))
        fix = findings.get(way.finding, [])
        # By hand where the first line says so, then the rest.
        pasted = (*fix[:1], *way.by_hand, *fix[1:]) if way.by_hand else fix
        say("\n".join(line if line.startswith("#") else f"$ {line}" for line in pasted))
        try:
            site.shell(*pasted)
        except AssertionError as error:  # told, and what the hosts see then tells the rest
            say(f"FAILED: {error}")
        if address is None or way.needs_pod:
            site.host.cnitool("del", way.network, pod, check=False)
            pod, address = new_pod(site, stack, way.network)
        mended = seen(pod, address)
        say(told(mended))
        is_gone = way.finding not in site.findings()
        if not is_gone:
            say(f"doctor still says {way.finding}")
        if way.network:
            site.host.cnitool("del", way.network, pod)
        if way.restore:
            site.shell(*way.restore)
    is_mended = (broken == RIGHT) == way.is_held and way.finding in findings and is_gone and mended == RIGHT
    return is_mended, (way.words, " / ".join(broken), way.finding if way.finding in findings else "not told", " / ".join(mended))


def main():
    rows, is_right = [], True
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        site = Site(stack, folder)
        print("A node with a pod, as it should be:")
        say(told(seen(site.pod, site.address)))
        for number, way in enumerate(WAYS, 1):
            is_mended, row = walk(site, number, way)
            is_right = is_right and is_mended
            rows.append(row)
    print("\nWhat the two hosts saw, listed and not listed, what doctor said, and what they saw after its fix:\n")
    for words, before, finding, after in [("", "broken", "doctor", "mended"), *rows]:
        print(f"  {words:<38}{before:<30}{finding:<26}{after}")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
