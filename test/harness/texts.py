"""What our rules look like, written out, for tests that compare whole tables."""

HOOK = '-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ'
YIELD = [
    '-A IP-MASQ -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN',
    '-A IP-MASQ -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN',
]
LOCAL = "-A IP-MASQ -m addrtype --dst-type LOCAL -j RETURN"
RANDOM = "MASQUERADE --random-fully"


def entry(subnet, network, chain):
    return f'-A IP-MASQ -s {subnet} -m comment --comment "ip-masq: {network}" -g {chain}'


def hairpin(subnet, chain):
    return f'-A {chain} -d {subnet} -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN'


def chain(subnet, name, *destinations, catch_all=RANDOM, keep="ACCEPT"):
    """A pod subnet's chain; a destination is a network to keep, or (network, target)."""
    rules = [hairpin(subnet, name)]
    for destination in destinations:
        network, target = (destination, keep) if isinstance(destination, str) else destination
        rules.append(f"-A {name} -d {network} -j {target}")
    if catch_all:
        rules.append(f"-A {name} -j {catch_all}")
    return rules


DEFAULT_4 = ["169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "224.0.0.0/4"]
DEFAULT_6 = ["fe80::/10", "ff00::/8", "fc00::/7"]

# The chains' names are hashes of network and subnet: stable, or rules of an older version would be left behind.
CBR0 = "IP-MASQ-67a95ac47c50"    # cbr0, 10.244.1.0/24
CBR0_6 = "IP-MASQ-3a783f1e0173"  # cbr0, fd00:10:244:1::/64


def table(chains, rules):
    """As Node.save() prints a nat table that has nothing else."""
    builtin = [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    return "\n".join(["*nat", *builtin, *(f":{name} - [0:0]" for name in chains), *rules, "COMMIT", ""])


EMPTY = table([], [])


def default_table():
    """After an ADD of cbr0 with 10.244.1.5/24 and no keys."""
    return table(["IP-MASQ", CBR0],
                 [HOOK, *YIELD, LOCAL, entry("10.244.1.0/24", "cbr0", CBR0), *chain("10.244.1.0/24", CBR0, *DEFAULT_4)])
