"""A node whose pods have addresses of one subnet, on a bridge, and the world outside that tells whose lists they follow."""

import json

from harness.doctor import LOOPBACK
from harness.network import Outside, Pod, ask, make_bridge

KEPT_BY_OLD, KEPT_BY_NEW = "10.9.9.9", "203.0.113.9"
REDIRECTED = "203.0.113.77"
SUBNET, GATEWAY = "10.244.1.0/24", "10.244.1.1"
LISTS = {"old": ["10.9.9.9/32"], "new": ["203.0.113.0/24"]}


class Site:
    """A node with pods .5 and .6, and the world outside. Networks: old, and new, which by name comes first."""

    def __init__(self, node):
        self.node = node
        self.conf = node.folder / "conf"
        self.conf.mkdir()
        (self.conf / "200-loopback.conflist").write_text(json.dumps(LOOPBACK))
        make_bridge(node, f"{GATEWAY}/24")
        self.outside = Outside(node, [KEPT_BY_OLD, KEPT_BY_NEW], [SUBNET])
        self.pods = {last: Pod(node, f"pod-{last}", f"10.244.1.{last}/24") for last in (5, 6)}
        for pod in self.pods.values():
            pod.route_through(GATEWAY)

    def keys(self, network, last, **keys):
        return {"name": network, "ips": (f"10.244.1.{last}/24",), "nonMasqueradeCIDRs": LISTS[network], "version": "1.1.0", **keys}

    def add(self, network, last, container=None, **keys):
        """(status, what it says)"""
        reply = self.node.call("ADD", container or f"{network}-{last}", self.node.netconf(**self.keys(network, last, **keys)))
        return reply.status, reply.errors

    def delete(self, network, last):
        self.node.delete(f"{network}-{last}", **self.keys(network, last))

    def check(self, network, last, container=None, **keys):
        return self.node.check(container or f"{network}-{last}", **self.keys(network, last, **keys))

    def follows(self, last):
        """The network whose lists decide over the packets of a pod, by what hosts outside see."""
        seen = ask(self.pods[last].namespace, f"tcp:{KEPT_BY_OLD}", f"tcp:{KEPT_BY_NEW}")
        own, node = f"10.244.1.{last}", Outside.NODE[4]
        return {(own, node): "old", (node, own): "new"}.get(tuple(seen.values()), seen)

    def is_well(self, *of_two):
        """That the tools say so, but for what is recorded of pods of two networks with one address."""
        assert self.node.tool_status("sync", "--state-dir", self.node.state) == (0, "all rules are as they should be\n", "")
        told = ("no pod is hurt: 0 found that hurt, 0 held by our rules, 1 to note\n"
                "pod-address-of-two-networks (note): the rules of one of the two networks decide over the address: of the pod that came last\n"
                + "".join(f"  found: {line}\n" for line in of_two) +
                "  fix:   # where one of them has ended, its DEL, or a GC of its network, forgets it; nothing is wrong where both live on "
                "LANs whose packets do not pass this node\n") if of_two else "nothing found that hides pods or could undo an exemption\n"
        assert self.node.doctor("--conf-dir", self.conf) == (0, told)
        return True

    def explain(self, last, destination):
        return self.node.tool("explain", f"10.244.1.{last}", destination)

    def close(self):
        for pod in self.pods.values():
            pod.close()
        self.outside.close()


def redirect_into_subnet(node, pod):
    """As portmap does it."""
    if node.backend == "nftables":
        node.nft("-f", "-", input=f"""table ip theirs {{
            chain pre {{ type nat hook prerouting priority dstnat; ip daddr {REDIRECTED} dnat to {pod}; }}
            chain post {{ type nat hook postrouting priority srcnat; ip saddr {SUBNET} ip daddr {SUBNET} ct status dnat masquerade; }}
        }}""")
    else:
        node.iptables("-A", "PREROUTING", "-d", REDIRECTED, "-j", "DNAT", "--to-destination", pod)
        node.iptables("-A", "POSTROUTING", "-s", SUBNET, "-d", SUBNET, "-m", "conntrack", "--ctstate", "DNAT", "-j", "MASQUERADE")
