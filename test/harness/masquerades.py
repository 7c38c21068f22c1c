"""Other programs' masquerade rules, as they write them, for pods of 10.244.1.0/24 and fd00:10:244:1::/64."""


def flannel(family):
    cluster, subnet, multicast = (("10.244.0.0/16", "10.244.1.0/24", "224.0.0.0/4") if family == 4 else
                                  ("fd00:10:244::/48", "fd00:10:244:1::/64", "ff00::/8"))
    name = "FLANNEL-POSTRTG"
    masq = '-m comment --comment "flanneld masq"'
    return [f"-N {name}", f"-A POSTROUTING {masq} -j {name}",
            f"-A {name} -m mark --mark 0x4000/0x4000 {masq} -j RETURN",
            f"-A {name} -s {subnet} -d {cluster} {masq} -j RETURN",
            f"-A {name} -s {cluster} -d {subnet} {masq} -j RETURN",
            f"-A {name} ! -s {cluster} -d {subnet} {masq} -j RETURN",
            f"-A {name} -s {cluster} ! -d {multicast} {masq} -j MASQUERADE --random-fully",
            f"-A {name} ! -s {cluster} -d {cluster} {masq} -j MASQUERADE --random-fully"]


def docker(family):
    subnet = "10.244.1.0/24" if family == 4 else "fd00:10:244:1::/64"
    return [f"-A POSTROUTING -s {subnet} ! -o docker0 -j MASQUERADE"]


def bridge_plugin(family):
    pod, subnet, multicast = (("10.244.1.5/32", "10.244.1.0/24", "224.0.0.0/4") if family == 4 else
                              ("fd00:10:244:1::5/128", "fd00:10:244:1::/64", "ff00::/8"))
    name = "CNI-5b1f2a3c4d5e6f708192a3b4"
    comment = '-m comment --comment "name: \\"cbr0\\" id: \\"pod-1\\""'
    return [f"-N {name}", f"-A {name} -d {subnet} {comment} -j ACCEPT", f"-A {name} ! -d {multicast} {comment} -j MASQUERADE",
            f"-A POSTROUTING -s {pod} {comment} -j {name}"]


def ip_masq_agent(family):
    name = "IP-MASQ-AGENT"
    kept = "192.168.0.0/16" if family == 4 else "fe80::/10"
    return [f"-N {name}", f'-A POSTROUTING -m comment --comment "ip-masq-agent" -m addrtype ! --dst-type LOCAL -j {name}',
            f"-A {name} -d {kept} -j RETURN", f"-A {name} -j MASQUERADE"]


def kube_proxy(family):
    name = "KUBE-POSTROUTING"
    return [f"-N {name}", f'-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j {name}',
            f"-A {name} -m mark ! --mark 0x4000/0x4000 -j RETURN", f"-A {name} -j MARK --set-xmark 0x4000/0x0",
            f"-A {name} -j MASQUERADE --random-fully"]


def portmap(family):
    return ["-N CNI-HOSTPORT-MASQ", '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE"]


HIDING = {"flannel": flannel, "docker": docker, "bridge": bridge_plugin, "ip-masq-agent": ip_masq_agent}


# The same in a native nftables table of the program's own.
def native(program, family):
    ip = "ip" if family == 4 else "ip6"
    cluster, pod, multicast, kept = (("10.244.0.0/16", "10.244.1.5", "224.0.0.0/4", "192.168.0.0/16") if family == 4 else
                                     ("fd00:10:244::/48", "fd00:10:244:1::5", "ff00::/8", "fe80::/10"))
    rules = {flannel: [f"{ip} saddr {cluster} {ip} daddr {cluster} return",
                       f"{ip} saddr {cluster} {ip} daddr != {multicast} masquerade fully-random"],
             docker: [f'{ip} saddr {cluster} oifname != "docker0" masquerade'],
             bridge_plugin: [f"{ip} saddr {pod} {ip} daddr != {multicast} masquerade"],
             ip_masq_agent: [f"fib daddr type local return", f"{ip} daddr {kept} return", "masquerade"],
             kube_proxy: ["meta mark & 0x4000 == 0x4000 masquerade fully-random"],
             portmap: ["meta mark & 0x2000 == 0x2000 masquerade"]}[program]
    return "\n".join([f"table {ip} {program.__name__} {{", "chain post {", "type nat hook postrouting priority srcnat;",
                      *rules, "}", "}", ""])


PLACES = {"iptables": ["iptables-legacy"], "nftables": ["iptables-legacy", "iptables-nft", "nft"]}


def put(node, *programs, places=("iptables-legacy",)):
    """Appends the rules of these programs, of both families, in each of the places."""
    for family in (4, 6):
        rules = [rule for program in programs for rule in program(family)]
        text = "\n".join(["*nat", *rules, "COMMIT", ""])
        for place in places:
            if place == "nft":
                node.run("nft", "-f", "-", input="".join(native(program, family) for program in programs))
            else:
                node.restore_beside(text, family, place)
