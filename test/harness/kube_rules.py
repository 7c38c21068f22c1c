"""Rules like those of kube-proxy, as many as asked for: 4 a service."""


def kube_rules(count):
    """Text for iptables-restore; 0 gives a nat table with nothing in it."""
    services = range(1, count // 4 + 1)
    chains, rules = [], []
    for number in services:
        name = f"{number:08X}"
        address = f"{number // 250 % 250}.{number % 250}"
        chains += [f":KUBE-SVC-{name} - [0:0]", f":KUBE-SEP-{name} - [0:0]"]
        rules += [
            f'-A KUBE-SERVICES -d 10.96.{address}/32 -p tcp -m comment --comment "default/svc-{number}:http cluster IP" '
            f"-m tcp --dport 80 -j KUBE-SVC-{name}",
            f'-A KUBE-SVC-{name} -m comment --comment "default/svc-{number}:http -> 10.244.{address}:8080" -j KUBE-SEP-{name}',
            f'-A KUBE-SEP-{name} -s 10.244.{address}/32 -m comment --comment "default/svc-{number}:http" '
            "-j MARK --set-xmark 0x4000/0x4000",
            f'-A KUBE-SEP-{name} -p tcp -m comment --comment "default/svc-{number}:http" -m tcp '
            f"-j DNAT --to-destination 10.244.{address}:8080",
        ]
    if services:
        chains.insert(0, ":KUBE-SERVICES - [0:0]")
    return "\n".join(["*nat", *chains, *rules, "COMMIT", ""])


def kube_rules_nft(count):
    """The same as kube-proxy's nftables mode has them, for nft -f: a chain for each service and each endpoint, and an
    element of a map that leads there."""
    services = range(1, count // 4 + 1)
    chains, elements = [], []
    for number in services:
        name = f"{number:08X}-default/svc-{number}/tcp/http"
        address = f"{number // 250 % 250}.{number % 250}"
        endpoint = f"endpoint-{name}__10.244.{address}/8080"
        chains += [f"chain service-{name} {{", f"ip daddr 10.96.{address} tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade",
                   f"goto {endpoint}", "}",
                   f"chain {endpoint} {{", f"ip saddr 10.244.{address} jump mark-for-masquerade",
                   f"meta l4proto tcp dnat to 10.244.{address}:8080", "}"]
        elements.append(f"10.96.{address} . tcp . 80 : goto service-{name}")
    filled = f"elements = {{ {', '.join(elements)} }}" if elements else ""
    return "\n".join([
        "table ip kube-proxy {", "chain mark-for-masquerade {", "meta mark set mark or 0x4000", "}", *chains,
        "map service-ips {", "type ipv4_addr . inet_proto . inet_service : verdict", filled, "}",
        "chain services {", "ip daddr . meta l4proto . th dport vmap @service-ips", "}",
        "chain masquerading {", "mark and 0x4000 == 0 return", "mark set mark xor 0x4000", "masquerade fully-random", "}",
        "chain nat-postrouting {", "type nat hook postrouting priority srcnat;", "jump masquerading", "}",
        "chain nat-prerouting {", "type nat hook prerouting priority dstnat;", "jump services", "}", "}", ""])
