"""What our rules look like, written out by a second hand, for tests that compare whole tables."""

import ipaddress
from dataclasses import dataclass, replace

RANDOM = "MASQUERADE --random-fully"

# Link-local, RFC 1918 and RFC 4193, multicast.
DEFAULT = {4: ("169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "224.0.0.0/4"),
           6: ("fe80::/10", "ff00::/8", "fc00::/7")}


def family_of(text):
    return 6 if ":" in text else 4


@dataclass(frozen=True)
class Subnet:
    """A pod subnet and what is wanted of it."""

    prefix: str
    network: str = "cbr0"
    kept: tuple = None          # None: the default ones
    masqueraded: tuple = ()
    exemption: str = "hold"
    catch_all: bool = True
    drop_invalid: bool = True
    random_fully: bool = True
    ports: tuple = ()           # ("1024-1123", "2000-2299")
    to: str = None              # an address, or a range
    by_interface: tuple = ()    # (interface, to), by rising name
    shared: str = None          # of a single address: another network's pod subnet that it stands in

    @property
    def family(self):
        return family_of(self.prefix)

    @property
    def destinations(self):
        """(network, whether it is kept), longest prefix first, then by address."""
        kept = DEFAULT[self.family] if self.kept is None else self.kept
        pairs = [(ipaddress.ip_network(text), True) for text in kept]
        pairs += [(ipaddress.ip_network(text), False) for text in self.masqueraded]
        return sorted(pairs, key=lambda pair: (-pair[0].prefixlen, pair[0]))

    @property
    def suffix(self):
        """FNV-1a of the network's name. Stable, or rules of an older version would be left behind."""
        value = 0xcbf29ce484222325
        for byte in self.network.encode():
            value = (value ^ byte) * 0x100000001b3 % 2**64
        return f"{value:016x}"[:12]

    def but(self, **changes):
        return replace(self, **changes)

    def shares(self):
        """(ports, how many of the ports that are left, how many are left) of each range."""
        sizes = [int(last) - int(first) + 1 for first, last in (ports.split("-") for ports in self.ports)]
        return [(ports, size, sum(sizes[number:])) for number, (ports, size) in enumerate(zip(self.ports, sizes))]


CBR0 = Subnet("10.244.1.0/24")
CBR0_6 = Subnet("fd00:10:244:1::/64")


def longest_first(subnets):
    """Of equal subnets the network's name decides."""
    return sorted(subnets, key=lambda subnet: (-ipaddress.ip_network(subnet.prefix).prefixlen,
                                               ipaddress.ip_network(subnet.prefix).network_address, subnet.network))


# ---- iptables

HOOK = '-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS'
YIELD = [
    '-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN',
    '-A IP-MASQ-PODS -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN',
]
LOCAL = "-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN"


def iptables_chain_name(subnet):
    return f"IP-MASQ-{subnet.suffix}"


def iptables_source_nat(subnet, start):
    rules = []
    for interface, to in subnet.by_interface:
        rules += iptables_source_nat_to(subnet, f"{start} -o {interface}", to)
    return rules + iptables_source_nat_to(subnet, start, subnet.to)


def iptables_source_nat_to(subnet, start, to):
    tail = " --random-fully" if subnet.random_fully else ""

    def target(ports):
        if not to:
            return "MASQUERADE" + (f" --to-ports {ports}" if ports else "") + tail
        address = f"[{to}]" if ports and subnet.family == 6 else to
        return f"SNAT --to-source {address}" + (f":{ports}" if ports else "") + tail

    rules = []
    for protocol in ("tcp", "udp", "sctp"):
        for ports, size, left in subnet.shares():
            probability = round(size / left * 2**31) / 2**31  # what the kernel can hold of it
            share = f" -m statistic --mode random --probability {probability:.11f}" if size < left else ""
            rules.append(f"{start} -p {protocol}{share} -j {target(ports)}")
    return [*rules, f"{start} -j {target(None)}"]


def iptables_chain(subnet):
    name = iptables_chain_name(subnet)
    rules = []
    for network, kept in subnet.destinations:
        start = f"-A {name} -d {network}" if network.prefixlen else f"-A {name}"
        if kept:
            rules.append(f"{start} -j {'ACCEPT' if subnet.exemption == 'hold' else 'RETURN'}")
        else:
            rules += iptables_source_nat(subnet, start)
    if subnet.catch_all:
        rules += iptables_source_nat(subnet, f"-A {name}")
    return rules


def iptables_hairpin(subnet, subnets):
    """What leaves redirected connections into a subnet to who redirected them; of a single pod, that has none beside, one rule."""
    source = ipaddress.ip_network(subnet.prefix)
    own = [ipaddress.ip_network(each.prefix) for each in subnets if each.network == subnet.network]
    own += [ipaddress.ip_network(subnet.shared)] if subnet.shared else []
    wider = [each for each in own if source.num_addresses == 1 < each.num_addresses and source.subnet_of(each)]
    within = max(wider, key=lambda each: each.prefixlen, default=source)
    start = f"-A IP-MASQ-PODS -s {source} -d {within} -m conntrack"
    end = '-m comment --comment "ip-masq: hairpin" -j RETURN'
    if within.num_addresses == 1:
        return [f"{start} ! --ctorigdst {within.network_address} {end}"]
    return [f"{start} --ctstate DNAT {end}", f"{start} ! --ctorigdst {within} {end}"]


def iptables_text(subnets):
    """As iptables-save prints a nat table that has nothing else, without counters."""
    subnets = longest_first(subnets)
    rules, chains = [], {}
    if subnets:
        entries, before = [], None
        for subnet in subnets:
            if subnet.prefix != before:
                entries += iptables_hairpin(subnet, subnets)
            entries.append(f'-A IP-MASQ-PODS -s {subnet.prefix} -m comment --comment "ip-masq: {subnet.network}" -g {iptables_chain_name(subnet)}')
            before = subnet.prefix
        chains = {"IP-MASQ-PODS": [*YIELD, LOCAL, *entries], **{iptables_chain_name(each): iptables_chain(each) for each in subnets}}
        rules = [HOOK, *(rule for name in sorted(chains) for rule in chains[name])]
    builtin = [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    return "\n".join(["*nat", *builtin, *(f":{name} - [0:0]" for name in sorted(chains)), *rules, "COMMIT", ""])


# ---- nftables

def decided(prefixes):
    """(first, last, value) of disjoint ranges over which the longest of (network, value) decides, neighbours joined."""
    edges = sorted({int(network[0]) for network, _ in prefixes} | {int(network[-1]) + 1 for network, _ in prefixes})
    ranges = []
    for start, end in zip(edges, edges[1:]):
        holding = [pair for pair in prefixes if int(pair[0][0]) <= start <= int(pair[0][-1])]
        if not holding:
            continue
        value = max(holding, key=lambda pair: pair[0].prefixlen)[1]
        if ranges and ranges[-1][1] == start - 1 and ranges[-1][2] == value:
            ranges[-1] = (ranges[-1][0], end - 1, value)
        else:
            ranges.append((start, end - 1, value))
    return ranges


def range_text(first, last, family):
    address = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    first, last = address(first), address(last)
    networks = list(ipaddress.summarize_address_range(first, last))
    if len(networks) > 1:
        return f"{first}-{last}"
    return str(first) if first == last else str(networks[0])


def nftables_set(kind, name, key, elements, flags="flags interval"):
    return [f"{kind} {name} {{", f"type {key}", *([flags] if flags else []), f"elements = {{ {', '.join(elements)} }}", "}"]


def nftables_chain_name(subnet):
    return f"{subnet.network}-{subnet.suffix}" + ("-6" if subnet.family == 6 else "")


def is_single(subnet):
    return ipaddress.ip_network(subnet.prefix).num_addresses == 1


def address_of(subnet):
    return ipaddress.ip_network(subnet.prefix).network_address


def nftables_source_nat(subnet, start):
    rules = []
    for interface, to in subnet.by_interface:
        rules += nftables_source_nat_to(subnet, f'oifname "{interface}" {start}', to)
    return rules + nftables_source_nat_to(subnet, start, subnet.to)


def nftables_parts(to):
    """(first, last, addresses, of those left) of each part of a range that nft reads with ports as it lists it: no whole prefix."""
    first, last = (ipaddress.ip_address(text) for text in (to.split("-") * 2)[:2])
    size = int(last) - int(first) + 1
    if size == 1 or len(list(ipaddress.summarize_address_range(first, last))) > 1:
        return [(first, last, 1, 1)]
    return [(first, last - 1, size - 1, size), (last, last, 1, 1)]


def nftables_source_nat_to(subnet, start, to):
    ip = "ip" if subnet.family == 4 else "ip6"
    tail = " fully-random" if subnet.random_fully else ""

    def with_ports(first, last, ports):
        ends = [f"[{end}]" if subnet.family == 6 else str(end) for end in dict.fromkeys([first, last])]
        return f"snat {ip} to {'-'.join(ends)}:{ports}{tail}"

    def ported(protocol, size, left, statement):
        share = f"numgen random mod {left} < {size} " if size < left else ""
        return f"{start}meta l4proto {protocol} {share}counter {statement}"

    rules = []
    for protocol in ("tcp", "udp", "sctp"):
        for ports, size, left in subnet.shares():
            if not to:
                rules.append(ported(protocol, size, left, f"masquerade to :{ports}{tail}"))
                continue
            parts = nftables_parts(to)
            of_all = parts[0][3]
            rules.append(ported(protocol, size * parts[0][2], left * of_all, with_ports(*parts[0][:2], ports)))
            if len(parts) > 1:
                rules.append(ported(protocol, size, left * of_all - size * parts[0][2], with_ports(*parts[1][:2], ports)))
    if not to:
        return [*rules, f"{start}counter masquerade{tail}"]
    first, last = nftables_parts(to)[0][0], nftables_parts(to)[-1][1]
    return [*rules, f"{start}counter snat {ip} to {range_text(first, last, subnet.family)}{tail}"]


def nftables_blocks(subnets):
    """Of the subnets of one network and family, which lead to one chain."""
    subnets = longest_first(subnets)
    subnet = subnets[0]
    name = nftables_chain_name(subnet)
    ip = "ip" if subnet.family == 4 else "ip6"
    address = f"ipv{subnet.family}_addr"
    rules, blocks = [], []
    prefixes = [each.prefix for each in subnets if not is_single(each)]
    for prefix in dict.fromkeys(prefixes + sorted(each.shared for each in subnets if each.shared)):
        rules.append(f"{ip} saddr {prefix} {ip} daddr {prefix} ct status dnat counter return")
        rules.append(f"{ip} saddr {prefix} {ip} daddr {prefix} ct original {ip} daddr != {prefix} counter return")
    selves = sorted(f"{address_of(each)} . {address_of(each)}" for each in subnets if is_single(each))
    if selves:
        blocks.append(nftables_set("set", f"{name}-self", f"{address} . {address}", selves, flags=None))
        rules.append(f"{ip} saddr . {ip} daddr @{name}-self counter return")
    ranges = decided(subnet.destinations)
    kept = [range_text(first, last, subnet.family) for first, last, is_kept in ranges if is_kept]
    holes = [range_text(first, last, subnet.family) for first, last, is_kept in ranges if not is_kept]
    if kept:
        blocks.append(nftables_set("set", f"{name}-kept", address, kept))
        rules.append(f"{ip} daddr @{name}-kept counter " + (f"snat {ip} to {ip} saddr" if subnet.exemption == "hold" else "return"))
    if subnet.catch_all:
        rules += nftables_source_nat(subnet, "")
    elif holes:
        blocks.append(nftables_set("set", f"{name}-masqueraded", address, holes))
        rules += nftables_source_nat(subnet, f"{ip} daddr @{name}-masqueraded ")
    return [*blocks, [f"chain {name} {{", *rules, "}"]]


def nftables_maps(subnets, family, start="", end=""):
    """(name, block) of each map of a base chain. Of equal sources the first network by name decides. `start`: of the maps'
    names, `end`: of the chains' that they lead to."""
    subnets = sorted((subnet for subnet in subnets if subnet.family == family), key=lambda subnet: subnet.network)
    ending, key = ("", "ipv4_addr : verdict") if family == 4 else ("6", "ipv6_addr : verdict")
    chains = {}
    for subnet in filter(is_single, subnets):
        chains.setdefault(address_of(subnet), nftables_chain_name(subnet) + end)
    if chains:
        elements = [f"{address} : goto {chains[address]}" for address in sorted(chains)]
        yield f"{start}pods{ending}", nftables_set("map", f"{start}pods{ending}", key, elements, flags=None)
    sources = [(ipaddress.ip_network(subnet.prefix), nftables_chain_name(subnet) + end) for subnet in subnets if not is_single(subnet)]
    if sources:
        elements = [f"{range_text(first, last, family)} : goto {chain}" for first, last, chain in decided(sources)]
        yield f"{start}pod-subnets{ending}", nftables_set("map", f"{start}pod-subnets{ending}", key, elements)


def drops_any(subnet):
    return subnet.drop_invalid and (subnet.catch_all or any(not is_kept for _, _, is_kept in decided(subnet.destinations)))


def nftables_drop_blocks(subnet):
    """What drops invalid packets of a network and family, and the set that it asks."""
    name = nftables_chain_name(subnet)
    ip = "ip" if subnet.family == 4 else "ip6"
    rules, blocks = ["counter return"], []
    if drops_any(subnet):
        ending = "kept" if subnet.catch_all else "masqueraded"
        ranges = [range_text(first, last, subnet.family) for first, last, is_kept in decided(subnet.destinations)
                  if is_kept == subnet.catch_all]
        start = f"{ip} daddr @{name}-{ending} "
        rules = [f"{start}counter return", "counter drop"] if subnet.catch_all else [f"{start}counter drop"]
        if ranges:
            blocks.append(nftables_set("set", f"{name}-{ending}", f"ipv{subnet.family}_addr", ranges))
        elif subnet.catch_all:
            rules = ["counter drop"]
    return [*blocks, [f"chain {name}-invalid {{", *rules, "}"]]


def nftables_drops(subnets):
    """Blocks of what drops invalid packets: nothing where no network drops any."""
    if not any(map(drops_any, subnets)):
        return []
    blocks = []
    for subnet in {nftables_chain_name(each): each for each in subnets}.values():
        blocks += nftables_drop_blocks(subnet)
    base = ["chain forward {", "type filter hook forward priority 105; policy accept;"]
    for family, ip in ((4, "ip"), (6, "ip6")):
        for name, block in nftables_maps(subnets, family, "invalid-", "-invalid"):
            blocks.append(block)
            base.append(f"ct state invalid counter {ip} saddr vmap @{name}")
    return [*blocks, [*base, "}"]]


def nftables_drops_text(subnets):
    """As nft_save() prints a ruleset that has nothing else, where iptables does their NAT."""
    blocks = nftables_drops(subnets)
    return table_text("inet ip-masq", blocks) if blocks else ""


def nftables_text(subnets, beside=()):
    """As nft_save() prints a ruleset that has nothing else. `beside`: subnets whose NAT iptables does."""
    if not subnets:
        return ""
    chains = {}
    for subnet in subnets:
        chains.setdefault(nftables_chain_name(subnet), []).append(subnet)
    blocks = [block for sharing in chains.values() for block in nftables_blocks(sharing)]
    base = ["chain postrouting {", "type nat hook postrouting priority srcnat - 5; policy accept;",
            "meta mark & 0x00004000 == 0x00004000 counter return", "meta mark & 0x00002000 == 0x00002000 counter return",
            "fib daddr type local counter return"]
    for family, ip in ((4, "ip"), (6, "ip6")):
        for name, block in nftables_maps(subnets, family):
            blocks.append(block)
            base.append(f"counter {ip} saddr vmap @{name}")
    drops = [block for block in nftables_drops([*subnets, *beside]) if block not in blocks]
    return table_text("inet ip-masq", [*blocks, *drops, [*base, "}"]])


def table_text(name, blocks):
    """Blocks by their first line: nft prints them in the order in which they were made."""
    return "\n".join([f"table {name} {{", *("\n".join(block) for block in sorted(blocks)), "}", ""])


def nftables_line(line):
    """Pairs of addresses by their text: nft prints them in an order of its own."""
    if not line.startswith("elements = {") or " . " not in line:
        return line
    pairs = line.removeprefix("elements = {").removesuffix("}").split(",")
    return f"elements = {{ {', '.join(sorted(map(str.strip, pairs)))} }}"


def in_order(listing):
    """What nft printed, line by line without indentation, lists of elements in one line, and our table as table_text()
    has it."""
    lines = []
    for line in map(str.strip, listing.splitlines()):
        if lines and lines[-1].startswith("elements = {") and not lines[-1].endswith("}"):
            lines[-1] += " " + line
        elif line:
            lines.append(line)
    lines = list(map(nftables_line, lines))
    if "table inet ip-masq {" not in lines:
        return "".join(line + "\n" for line in lines)
    start = lines.index("table inet ip-masq {")
    blocks, depth = [], 0
    for end, line in enumerate(lines[start + 1:], start + 1):
        if depth == 0 and line == "}":
            break
        if depth == 0:
            blocks.append([])
        blocks[-1].append(line)
        depth += line.count("{") - line.count("}")
    return "".join(line + "\n" for line in lines[:start]) + table_text("inet ip-masq", blocks) + "".join(
        line + "\n" for line in lines[end + 1:])


def expected(backend, *subnets, family=4, beside=()):
    """What Node.save() prints where only these rules stand. `beside`: subnets whose NAT iptables does."""
    if backend == "nftables":
        return nftables_text(subnets, beside)
    return iptables_text([subnet for subnet in subnets if subnet.family == family])
