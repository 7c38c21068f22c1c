"""Runs in a guest, as its last process: what ip-masq does as the kernel gets its modules one after another.

Prints one line of JSON a case: [name, what was seen], or [name, null, what went wrong]. test_kernels.py has what is to be seen."""

import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, "/test")

from harness.held import Held, Seen  # noqa: E402
from harness.lan import Lan  # noqa: E402
from harness.network import Outside, Pod, Witness, ask, make_bridge  # noqa: E402
from harness.node import Node  # noqa: E402

# What is loaded when; what these need comes with them.
LINKS = "veth bridge dummy macvlan ipvlan nf_conntrack nf_conntrack_netlink nf_nat"
LEGACY = ("ip_tables ip6_tables iptable_nat ip6table_nat xt_MASQUERADE xt_nat xt_addrtype xt_conntrack xt_comment xt_mark "
          "xt_statistic xt_tcpudp")
NF_TABLES = "nf_tables"
NFTABLES = "nft_chain_nat nft_nat nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet nft_counter nft_numgen"
NFT_MASQ = "nft_masq"
IPVS = "br_netfilter ip_vs ip_vs_rr ip_set ip_set_hash_ipportip xt_set nft_compat"
IPSEC = "xfrm_user esp4 authenc crypto_null echainiv seqiv"
MODULES = " ".join([LINKS, LEGACY, NF_TABLES, NFTABLES, NFT_MASQ, IPSEC, IPVS]).split()

POD, NEIGHBOUR, GATEWAYS = (["10.244.1.5/24", "fd00:10:244:1::5/64"], ["10.244.1.6/24", "fd00:10:244:1::6/64"],
                            ["10.244.1.1/24", "fd00:10:244:1::1/64"])
HOSTS = ["10.9.9.9", "203.0.113.9", "fd00:9::9", "2001:db8:9::9"]
FOREIGN = "table inet theirs { chain post { type nat hook postrouting priority srcnat; policy accept; }; }"

# What makes no legacy table, or only the one that it needs.
QUIET = [("iptables", "STATUS"), ("auto", "STATUS"), ("iptables", "DEL"), ("auto", "DEL"), ("nftables", "last DEL"),
         ("auto", "last DEL"), ("iptables", "doctor"), ("iptables", "ADD of IPv6")]
# ip-masq's back end, and where kube-proxy's rules are.
IPVS_PLACES = [(None, "iptables-legacy"), ("iptables", "iptables-legacy"), ("nftables", "iptables-legacy"),
               (None, "iptables-nft"), ("nftables", "iptables-nft")]
# Where IPVS does without conntrack.
IPVS_ALONE = [None, "iptables", "nftables"]

BACKENDS = ["iptables", "nftables", "auto"]

_loaded = set()


def load(names):
    needed = json.loads(Path("/modules/needed").read_text())
    for name in (name for wanted in names.split() for name in needed[wanted]):
        if name not in _loaded:
            subprocess.run(["insmod", f"/modules/{name}.ko"], check=True)
            _loaded.add(name)


def unload(name):
    subprocess.run(["rmmod", name], check=True)


def case(name, function, *arguments):
    begin = time.monotonic()
    try:
        line = [name, function(*arguments)]
    except BaseException:  # whatever it is, the other cases go on
        line = [name, None, traceback.format_exc()]
    print(json.dumps(line), flush=True)
    print(f"{time.monotonic() - begin:.1f} s: {name}", file=sys.stderr)


def answer(reply):
    """"ok", or the CNI error as one text: "100: msg: details"."""
    if reply.status == 0:
        return "ok"
    error = reply.json
    return ": ".join(str(error[key]) for key in ("code", "msg", "details") if error.get(key))


class Site:
    """A node with two pods of both families, of which the second one serves as well, and the world outside."""

    def __init__(self, hairpin=False):
        self.folder = Path("/tmp/site")
        self.folder.mkdir()
        self.node = Node(self.folder)
        make_bridge(self.node, *GATEWAYS)
        self.outside = Outside(self.node, HOSTS, ["10.244.1.0/24", "fd00:10:244:1::/64"])
        self.pods = [Pod(self.node, "pod-1", *POD, hairpin=hairpin), Pod(self.node, "pod-2", *NEIGHBOUR, hairpin=hairpin)]
        for pod in self.pods:
            pod.route_through(*(address.split("/")[0] for address in GATEWAYS))

    def seen(self, *questions):
        return ask(self.pods[0].namespace, *questions)

    def close(self):
        for pod in self.pods:
            pod.close()
        self.outside.close()
        self.node.close()
        shutil.rmtree(self.folder)


def call(node, verb, container="pod-1", **keys):
    if verb in ("DEL", "STATUS"):
        keys = {"ips": None, **keys}
    return answer(node.call(verb, container, node.netconf(version="1.1.0", **keys)))


def rules(node):
    """Every rule and chain of anybody on the node, in both back ends, without making a table by looking."""
    legacy = [line for program in ("iptables-legacy-save", "ip6tables-legacy-save")
              for line in node.run(program, check=False).splitlines()
              if line.startswith("-A") or line.startswith(":") and line.split()[1] == "-"]
    return {"legacy": legacy, "nft": node.run("nft", "list", "ruleset", check=False)}


def legacy_tables(node):
    return [Path(f"/proc/net/{name}").exists() and node.run("cat", f"/proc/net/{name}").split()
            for name in ("ip_tables_names", "ip6_tables_names")]


def doctor(node):
    """Its exit status and the kinds of what it found."""
    others = node.folder / "others"
    others.mkdir(exist_ok=True)
    (others / "200-loopback.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "loopback", "plugins": [{"type": "loopback"}]}))
    status, output, _ = node.tool_status("doctor", "-o", "json", "--state-dir", node.state, "--conf-dir", others)
    return [status, sorted(finding["name"] for finding in json.loads(output)["findings"]) if output else None]


def after_loss(site):
    """The sources that each host sees of connections that end after their entries in conntrack are gone."""
    held = Held(site.pods[0].namespace, *HOSTS)
    site.node.run("conntrack", "-F")
    watch = Seen(site.outside.namespace)
    assert held.all("fin") == ["done"] * len(HOSTS)
    site.seen(*(f"udp:{host}" for host in HOSTS))  # what was sent before has passed when these were answered
    seen = watch.end()
    held.end()
    return {host: seen[host] for host in HOSTS}


def life(site, backend, foreign=""):
    """One pod from STATUS to DEL."""
    node = site.node
    node.backend = backend
    if foreign:
        node.nft("-f", "-", input=foreign)
    before = rules(node)
    told = {"STATUS": call(node, "STATUS"), "ADD": call(node, "ADD", ips=POD)}
    if told["ADD"] == "ok":
        told["backend"] = json.loads(node.tool("show", "-o", "json"))["networks"][0]["backend"]
        told["CHECK"] = call(node, "CHECK", ips=POD)
        told["seen"] = site.seen(*(f"{protocol}:{host}" for protocol in ("tcp", "udp", "icmp") for host in HOSTS))
        told["after loss"] = after_loss(site)
        told["doctor"] = doctor(node)
    told["DEL"] = call(node, "DEL")
    after = rules(node)
    told["left"] = None if after == before else after
    if foreign:
        node.nft("delete", "table", "inet", "theirs")
    return told


def without_any_nat(site, backend):
    node = site.node
    node.backend = backend
    return {"ADD": call(node, "ADD", ips=POD), "STATUS": call(node, "STATUS"), "doctor": doctor(node), "DEL": call(node, "DEL")}


def quiet(backend, what):
    """The legacy tables of a network namespace that had none, after what looks, forgets or needs one of them alone."""
    folder = Path("/tmp/quiet")
    folder.mkdir()
    node = Node(folder, backend)
    try:
        if what == "doctor":
            doctor(node)
        elif what == "ADD of IPv6":
            assert call(node, "ADD", ips=POD[1:]) == "ok"
        elif what == "last DEL":
            node.nft("-f", "-", input=FOREIGN)
            assert [call(node, "ADD", ips=POD), call(node, "DEL")] == ["ok", "ok"]
        else:
            assert call(node, what) == "ok"
        return legacy_tables(node)
    finally:
        node.close()
        shutil.rmtree(folder)


# ---- kube-proxy's IPVS mode: services at addresses of kube-ipvs0, whose only endpoint is a pod of this node

SERVICES = {"itself": ["10.96.0.10", "fd00:10:96::10"], "neighbour": ["10.96.0.11", "fd00:10:96::11"]}
LOOP_BACK = {4: "KUBE-LOOP-BACK", 6: "KUBE-6-LOOP-BACK"}


def start_ipvs(site):
    node = site.node
    node.sysctl(net__ipv4__vs__conntrack=1)
    node.run("ip", "link", "add", "kube-ipvs0", "type", "dummy")
    for family, name in LOOP_BACK.items():
        node.run("ipset", "create", name, "hash:ip,port,ip", "family", "inet" if family == 4 else "inet6")
    for endpoint, services in zip((POD, NEIGHBOUR), SERVICES.values()):
        for address, service in zip(endpoint, services):
            host, family = address.split("/")[0], 6 if ":" in address else 4
            virtual, real = (f"[{service}]:80", f"[{host}]:7007") if family == 6 else (f"{service}:80", f"{host}:7007")
            node.run("ip", "address", "add", f"{service}/{128 if family == 6 else 32}", "dev", "kube-ipvs0", *(["nodad"] if family == 6 else []))
            node.run("ipvsadm", "-A", "-t", virtual, "-s", "rr")
            node.run("ipvsadm", "-a", "-t", virtual, "-r", real, "-m")
            node.run("ipset", "add", LOOP_BACK[family], f"{host},6:7007,{host}")
    return [Witness(pod.namespace, [address.split("/")[0] for address in pod.addresses]) for pod in site.pods]


def put_kube_proxy(node, program):
    """Its rules, as it writes them into the nat table in this mode."""
    for family, name in LOOP_BACK.items():
        node.restore_beside(f"""*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set {name} dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
""", family, program)


def take_kube_proxy_away(node, program):
    for name in (program, program.replace("ip", "ip6", 1)):
        node.run(name, "-t", "nat", "-F")
        node.run(name, "-t", "nat", "-X")
    if program == "iptables-nft":
        node.nft("flush", "ruleset")


def through_services(site):
    """Which source each endpoint sees, as kube-proxy's IPVS mode is on nodes: what crosses the bridge passes iptables."""
    questions = [f"tcp:[{address}]:80" if ":" in address else f"tcp:{address}:80" for addresses in SERVICES.values() for address in addresses]
    return site.seen(*questions, *(f"tcp:{host}" for host in HOSTS))


def services(site, backend, program):
    """`backend`: None for without ip-masq."""
    node = site.node
    put_kube_proxy(node, program)
    try:
        if backend is None:
            return through_services(site)
        node.backend = backend
        for container, addresses in (("pod-1", POD), ("pod-2", NEIGHBOUR)):
            told = call(node, "ADD", container, ips=addresses)
            assert told == "ok", told
        return through_services(site)
    finally:
        for container in ("pod-1", "pod-2"):
            call(node, "DEL", container)
        take_kube_proxy_away(node, program)


def served_without_conntrack(site, backend):
    """Which source a pod sees of an outside host that asks a service of the node, where IPVS translates both ways by itself."""
    node = site.node
    virtual = {f"{Outside.NODE[4]}:80": "10.244.1.5:7007", f"[{Outside.NODE[6]}]:80": "[fd00:10:244:1::5]:7007"}
    node.sysctl(net__ipv4__vs__conntrack=0)
    for service, real in virtual.items():
        node.run("ipvsadm", "-A", "-t", service, "-s", "rr")
        node.run("ipvsadm", "-a", "-t", service, "-r", real, "-m")
    try:
        if backend is not None:
            node.backend = backend
            told = call(node, "ADD", ips=POD)
            assert told == "ok", told
        return ask(site.outside.namespace, *(f"tcp:{service}" for service in virtual))
    finally:
        call(node, "DEL")
        for service in virtual:
            node.run("ipvsadm", "-D", "-t", service)
        node.sysctl(net__ipv4__vs__conntrack=1)


def lan_pod(kind):
    lan = Lan(Path("/tmp"), "iptables", kind)
    try:
        return lan.story()
    finally:
        lan.close()


# ---- the limit of tracked connections, which is the machine's

LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
LISTEN = """import socket, sys
listener = socket.create_server(("10.9.9.9", 7010), backlog=100)
print("ready", flush=True)
sys.stdin.read()"""
HOLD_ALL_THAT_OPEN = """import socket, sys
held = []
try:
    while True: held.append(socket.create_connection(("10.9.9.9", 7010), 2))
except OSError: print("no more", flush=True)
sys.stdin.read()"""


def full_of_connections(site):
    node = site.node
    before = LIMIT.read_text()
    assert call(node, "ADD", ips=POD) == "ok"
    node.run("conntrack", "-F")
    LIMIT.write_text("20")
    programs = []

    def start(namespace, code):
        programs.append(subprocess.Popen(namespace.inside(sys.executable, "-S", "-E", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True))
        return programs[-1].stdout.readline()

    try:
        assert start(site.outside.namespace, LISTEN) == "ready\n"
        assert start(site.pods[0].namespace, HOLD_ALL_THAT_OPEN) == "no more\n"
        told = {"doctor": doctor(node), "seen": site.seen("tcp:10.9.9.9")}
        findings = json.loads(node.tool("doctor", "-o", "json", "--conf-dir", node.folder / "others", check=False))["findings"]
        for line in (line for finding in findings if finding["name"] == "conntrack-full" for line in finding["fix"]):
            subprocess.run(["sh", "-ec", line], check=True, stdout=subprocess.DEVNULL)
        return {**told, "doctor, mended": doctor(node), "seen, mended": site.seen("tcp:10.9.9.9")}
    finally:
        for program in programs:
            program.communicate("")
        LIMIT.write_text(before)
        call(node, "DEL")


def under_ipsec(site):
    """A tunnel for all that pods send, whose other end nobody is: what an outside host sees, what explain warns of and doctor finds."""
    node = site.node
    assert call(node, "ADD", ips=POD) == "ok"
    ends = ["src", Outside.NODE[4], "dst", "198.18.0.254"]
    node.run("ip", "xfrm", "state", "add", *ends, "proto", "esp", "spi", "0x100", "mode", "tunnel", "auth", "hmac(sha1)", "0x" + "01" * 20,
             "enc", "ecb(cipher_null)", "")
    node.run("ip", "xfrm", "policy", "add", "src", "10.244.1.0/24", "dst", "0.0.0.0/0", "dir", "out", "tmpl", *ends, "proto", "esp", "mode", "tunnel")
    try:
        hosts = HOSTS[:2]
        said = [json.loads(node.tool("explain", POD[0].split("/")[0], host, "-o", "json")) for host in hosts]
        return {"seen": site.seen(*(f"tcp:{host}" for host in hosts)), "explain": [[each["fate"], each["warnings"]] for each in said],
                "doctor": doctor(node)}
    finally:
        node.run("ip", "xfrm", "policy", "flush")
        node.run("ip", "xfrm", "state", "flush")
        call(node, "DEL")


def main():
    case("release", os.uname)
    load(LINKS)
    site = Site(hairpin=True)
    for backend in BACKENDS:
        case(f"no nat: {backend}", without_any_nat, site, backend)
    load(LEGACY)
    case("no nft: auto", life, site, "auto")
    case("no nft: nftables", life, site, "nftables")
    load(NF_TABLES)
    case("nf_tables alone: auto", life, site, "auto")
    case("nf_tables alone: nftables", life, site, "nftables")
    load(NFTABLES)
    case("no nft_masq: auto", life, site, "auto", FOREIGN)
    case("no nft_masq: nftables", life, site, "nftables", FOREIGN)
    load(NFT_MASQ)
    for backend in BACKENDS:
        case(f"all: {backend}", life, site, backend)
    case("all: auto beside a foreign chain", life, site, "auto", FOREIGN)
    case("full of connections", full_of_connections, site)
    for backend, what in QUIET:
        case(f"quiet: {what} {backend}", quiet, backend, what)
    case("lan: ipvlan", lan_pod, "ipvlan")
    load(IPSEC)
    case("a tunnel of IPsec", under_ipsec, site)
    load(IPVS)
    witnesses = start_ipvs(site)
    for backend, program in IPVS_PLACES:
        case(f"ipvs: {backend} beside {program}", services, site, backend, program)
    for backend in IPVS_ALONE:
        case(f"ipvs without conntrack: {backend}", served_without_conntrack, site, backend)
    for witness in witnesses:
        witness.close()
    unload("ip6table_nat")
    for backend in ("auto", "iptables"):
        case(f"no ip6table_nat: {backend}", life, site, backend)
    unload("iptable_nat")
    case("no legacy nat: auto", life, site, "auto")
    case("no legacy nat: iptables", life, site, "iptables")


if __name__ == "__main__":
    main()
