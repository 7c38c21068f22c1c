"""What earlier versions left on a node: records and rules, as their programs wrote them, of a network with pods 10.244.1.5 and .6 and the
list 10.0.0.0/8."""

import json
from collections.abc import Callable
from dataclasses import dataclass

KEYS = {"nonMasqueradeCIDRs": ["10.0.0.0/8"]}
PODS = {"pod-1": "10.244.1.5/24", "pod-2": "10.244.1.6/24"}


def record(name, **more):
    return {"containerID": name, "ifname": "eth0", "addresses": [PODS[name]], "podSubnets": ["10.244.1.0/24"], **more}


# Before records had a format: the hairpin's rule in the network's chain, one for each pod subnet.
FIRST = {
    "iptables": """*nat
:IP-MASQ-67a95ac47c50 - [0:0]
:IP-MASQ-PODS - [0:0]
-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS
-A IP-MASQ-67a95ac47c50 -d 10.244.1.0/24 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-67a95ac47c50 -d 169.254.0.0/16 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -d 10.0.0.0/8 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -d 224.0.0.0/4 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -j MASQUERADE --random-fully
-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN
-A IP-MASQ-PODS -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: cbr0" -g IP-MASQ-67a95ac47c50
COMMIT
""",
    "nftables": """table inet ip-masq {
	set cbr0-67a95ac47c50-kept { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4 }; }
	map pod-subnets { type ipv4_addr : verdict; flags interval; elements = { 10.244.1.0/24 : goto cbr0-67a95ac47c50 }; }
	chain cbr0-67a95ac47c50 {
		ip daddr 10.244.1.0/24 ct status dnat counter return
		ip daddr @cbr0-67a95ac47c50-kept counter snat ip to ip saddr
		counter masquerade fully-random
	}
	chain postrouting {
		type nat hook postrouting priority srcnat - 5; policy accept;
		meta mark & 0x00004000 == 0x00004000 counter return
		meta mark & 0x00002000 == 0x00002000 counter return
		fib daddr type local counter return
		counter ip saddr vmap @pod-subnets
	}
}
""",
}

# With one chain for each network, and what IPVS redirects left to it as well.
SECOND = {
    "iptables": """*nat
:IP-MASQ-9bd1a990da1f - [0:0]
:IP-MASQ-PODS - [0:0]
-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS
-A IP-MASQ-9bd1a990da1f -d 169.254.0.0/16 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -d 10.0.0.0/8 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -d 224.0.0.0/4 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -j MASQUERADE --random-fully
-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN
-A IP-MASQ-PODS -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -d 10.244.1.0/24 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -d 10.244.1.0/24 -m conntrack ! --ctorigdst 10.244.1.0/24 -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: cbr0" -g IP-MASQ-9bd1a990da1f
COMMIT
""",
    "nftables": """table inet ip-masq {
	set cbr0-9bd1a990da1f-kept { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4 }; }
	map pod-subnets { type ipv4_addr : verdict; flags interval; elements = { 10.244.1.0/24 : goto cbr0-9bd1a990da1f }; }
	chain cbr0-9bd1a990da1f {
		ip saddr 10.244.1.0/24 ip daddr 10.244.1.0/24 ct status dnat counter return
		ip saddr 10.244.1.0/24 ip daddr 10.244.1.0/24 ct original ip daddr != 10.244.1.0/24 counter return
		ip daddr @cbr0-9bd1a990da1f-kept counter snat ip to ip saddr
		counter masquerade fully-random
	}
	chain postrouting {
		type nat hook postrouting priority srcnat - 5; policy accept;
		meta mark & 0x00004000 == 0x00004000 counter return
		meta mark & 0x00002000 == 0x00002000 counter return
		fib daddr type local counter return
		counter ip saddr vmap @pod-subnets
	}
}
""",
}


def first(pods, keys):
    return {"network.json": {"netconf": keys, "backend": keys["backend"]},
            **{f"{name}:eth0": record(name, pod=f"default/{name}") for name in pods}}


def second(pods, keys):
    return {"network.json": {"format": 2, "netconf": keys, "clusterNetworks": [], "backend": keys["backend"]},
            **{f"pods/{name}:eth0": record(name, pod=f"default/{name}") for name in pods},
            **{f"subnets/10.244.1.0_24/{name}:eth0": None for name in pods}}


@dataclass(frozen=True)
class Earlier:
    """What a version left. `files`: of pods and the netconf's keys, {path below the network's folder: JSON, or None for an empty file}"""

    name: str
    rules: dict
    files: Callable

    def put(self, node, pods=PODS):
        if node.backend == "iptables":
            node.restore_beside(self.rules["iptables"])
        else:
            node.nft("-f", "-", input=self.rules["nftables"])
        keys = {key: value for key, value in node.netconf(**KEYS).items() if key not in ("cniVersion", "name", "type", "prevResult")}
        for path, content in self.files(pods, keys).items():
            file = node.state / "cbr0" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content, separators=(",", ":")) + "\n" if content else "")
        node.run("chmod", "-R", "u=rwX,go=", node.state)


EARLIER = [Earlier("first format", FIRST, first), Earlier("second format", SECOND, second)]
