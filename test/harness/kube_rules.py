"""Rules like those of kube-proxy's iptables mode, as many as asked for: 4 a service."""


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
