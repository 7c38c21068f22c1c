"""The node that the walk is on: namespaces, files, calls of the program, and what stands in the kernel. Knows nothing of what should
be; that is the walk's."""

import base64
import ctypes
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.hostile_clients import CLIENTS, PRELUDE  # noqa: E402
from harness.node import BINARY, uncounted  # noqa: E402

from wire import Wire  # noqa: E402

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
LIBC = ctypes.CDLL(None, use_errno=True)

UPLINK = {4: "198.18.0.1", 6: "2001:db8:18::1"}
POD_SIDE = ["10.244.1.", "10.245.1.", "10.246.1.", "fd00:10:244:1::", "fd00:10:245:1::"]
OURS = "IP-MASQ-"
CACHE = Path("/var/lib/cni/results")
HANGS = 60  # seconds after which a call counts as hanging
PORT = 9464  # of the agent


def succeed(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter(path):
    handle = os.open(path, os.O_RDONLY)
    succeed(LIBC.setns(handle, CLONE_NEWNET))
    os.close(handle)


def run(*argv, check=True, **options):
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=HANGS, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr}{done.stdout}")
    return done.stdout


def is_record(path):
    try:
        said = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(said, dict) and ("format" in said or "containerID" in said)


@dataclass
class Reply:
    status: int
    output: str
    errors: str

    @property
    def code(self):
        """Of the CNI error; None where there is none to be read."""
        try:
            return json.loads(self.output).get("code")
        except (ValueError, AttributeError):
            return None

    def __str__(self):
        return f"{self.status}: {self.output.strip()} {self.errors.strip()}".strip()


class NodeUnderWalk:
    """This process goes into the node's namespaces for good: it is a process of its own that does nothing else."""

    def __init__(self):
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.names = [f"ipmasq-walk-{os.getpid()}-{place}" for place in ("node", "ends")]
        for name in self.names:
            run("ip", "netns", "add", name)
        self.folder = Path(tempfile.mkdtemp(prefix="ip-masq-walk-"))
        self.state = Path("/run/cni/ip-masq")
        self.config = self.folder / "config" / "ip-masq-agent"
        self.config.parent.mkdir()
        self.subnet_file = self.folder / "subnet.env"
        self.conf_dir = Path("/etc/cni/net.d")
        self.bin_dir = Path("/run/cni/bin")
        self.locks = {"state": self.state / "lock", "xtables": self.folder / "xtables.lock"}
        self.env = {"PATH": os.environ["PATH"], "XTABLES_LOCKFILE": str(self.locks["xtables"])}
        for option in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LD_LIBRARY_PATH"):
            if option in os.environ:
                self.env[option] = os.environ[option]
        self.netns = f"/run/netns/{self.names[1]}"
        self.agent = self.clients = None
        self.last_call = "none"
        self.hide_files()
        self.lay_links()

    def hide_files(self):
        """What the machine's own CNI keeps is not this node's."""
        succeed(LIBC.unshare(CLONE_NEWNS))
        succeed(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        for path in ("/var/lib", "/etc/cni", "/etc/docker", "/run/flannel", "/run/cni"):
            if path in ("/etc/cni", "/run/cni"):
                os.makedirs(path, exist_ok=True)
            if os.path.isdir(path):
                succeed(LIBC.mount(b"private", path.encode(), b"tmpfs", 0, None))
        for folder in (self.conf_dir, self.bin_dir):
            folder.mkdir()
        for plugin in ("bridge", "host-local", "portmap", "tuning"):  # of the conflists that are written
            (self.bin_dir / plugin).write_text("#!/bin/false\n")
            (self.bin_dir / plugin).chmod(0o755)

    def lay_links(self):
        node, ends = self.names
        run("ip", "link", "add", "uplink0", "netns", node, "type", "veth", "peer", "name", "outside", "netns", ends)
        run("ip", "link", "add", "port", "netns", node, "type", "veth", "peer", "name", "pods", "netns", ends)
        enter(f"/run/netns/{ends}")
        for name in ("outside", "pods"):
            run("ip", "link", "set", name, "arp", "off", "up")
        hardware = {link["ifname"]: link["address"] for link in json.loads(run("ip", "-j", "link"))}
        enter(f"/run/netns/{node}")
        self.lay_node(hardware)
        while (bridge := json.loads(run("ip", "-j", "link", "show", "cni0"))[0])["operstate"] != "UP":
            pass  # the kernel notices a carrier a little later
        gateway = bridge["address"]
        enter(f"/run/netns/{ends}")
        self.wire = Wire("pods", gateway)
        enter(f"/run/netns/{node}")

    def lay_node(self, hardware):
        for key, value in {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1, "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0,
                           "ipv4/conf/all/send_redirects": 0, "ipv4/conf/default/send_redirects": 0, "ipv4/neigh/default/gc_thresh1": 0}.items():
            path = Path("/proc/sys/net", key)
            if path.exists():
                path.write_text(f"{value}\n")
        lines = ["link add cni0 type bridge", "link set port master cni0"]
        lines += [f"link set {link} up" for link in ("lo", "cni0", "port", "uplink0")]
        lines += [f"address add {address} dev uplink0 {extra}" for address, extra in (("198.18.0.1/24", ""), ("2001:db8:18::1/64", "nodad"))]
        # What snatTo names is the node's.
        lines += [f"address add {address} dev lo" for address in ("198.18.0.98/32", "198.18.0.99/32", "2001:db8:18::98/128")]
        for start in POD_SIDE:
            lines.append(f"address add {start}1/{64 if ':' in start else 24} dev cni0{' nodad' if ':' in start else ''}")
        for neighbour in ("198.18.0.254", "198.18.0.50", "2001:db8:18::254", "2001:db8:18::50"):
            lines.append(f"neigh add {neighbour} lladdr {hardware['outside']} nud permanent dev uplink0")
        lines += [f"neigh add {start}77 lladdr {hardware['pods']} nud permanent dev cni0" for start in POD_SIDE]
        lines += ["route add default via 198.18.0.254", "-6 route add default via 2001:db8:18::254"]
        # To pods that have an address of their own, as who attaches them leads it.
        lines += ["route add 10.247.0.0/24 dev cni0", "-6 route add fd00:10:247::/64 dev cni0"]
        for line in lines:
            run("ip", *line.split())
        run("nft", "list", "ruleset")
        for timeout in ("udp_timeout", "tcp_timeout_syn_sent"):
            path = Path(f"/proc/sys/net/netfilter/nf_conntrack_{timeout}")
            if path.exists():
                path.write_text("2\n")

    def close(self):
        self.stop_clients()
        self.stop_agent()
        os.setns(self.home, 0) if hasattr(os, "setns") else succeed(LIBC.setns(self.home, CLONE_NEWNET))
        for name in self.names:
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the program

    def call(self, verb, network, container=None, killed_at=None, args="", **keys):
        """`network`: the netconf; `args`: CNI_ARGS; `killed_at`: (system call, how many of them it gets)."""
        env = {**self.env, "CNI_COMMAND": verb, "CNI_CONTAINERID": container or "", "CNI_IFNAME": "eth0", "CNI_NETNS": self.netns,
               "CNI_PATH": "/opt/cni/bin", "CNI_ARGS": args}
        netconf = json.dumps({**network, **keys})
        self.last_call = f"{verb} {container}, killed at {killed_at}, {netconf}"
        reply = self.start([BINARY], killed_at, env=env, input=netconf)
        self.last_call += f"\n{reply}"
        return reply

    def tool(self, *argv, killed_at=None):
        return self.start([BINARY, *argv, "--state-dir", self.state], killed_at, env=self.env)

    @staticmethod
    def start(argv, killed_at=None, **options):
        if killed_at:
            syscall, count = killed_at
            options["env"] = {**options["env"], "ASAN_OPTIONS": "detect_leaks=0"}  # which cannot be traced
            argv = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={syscall}",
                    "-e", f"inject={syscall}:signal=KILL:when={count}", *argv]
        done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=HANGS, **options)
        return Reply(done.returncode, done.stdout, done.stderr)

    def explain(self, source, destination):
        """(fate, the address that it is masqueraded as where it says one, the whole answer)"""
        reply = self.tool("explain", source, destination, "-o", "json")
        try:
            answer = json.loads(reply.output)
            return answer["fate"], answer.get("as"), str(reply)
        except (ValueError, KeyError, TypeError):
            return None, None, str(reply)

    def doctor(self, *argv):
        return self.tool("doctor", "--conf-dir", self.conf_dir, "--bin-dir", self.bin_dir, *argv)

    def findings(self):
        """Names of what doctor says hurts."""
        found = json.loads(self.doctor("-o", "json").output)["findings"]
        return {each["name"] for each in found if each["weight"] == "hurts"}

    def sync(self, killed_at=None):
        return self.tool("sync", killed_at=killed_at)

    def install(self, verb, *argv, killed_at=None):
        """install or uninstall."""
        folders = ["--conf-dir", self.conf_dir, *(["--bin-dir", self.bin_dir, "--after", "bridge"] if verb == "install" else [])]
        return self.start([BINARY, verb, *folders, *argv], killed_at, env=self.env)

    def write_conflist(self, name, text):
        """As flannel's own container does it."""
        new = self.conf_dir / ".new"
        new.write_bytes(text.encode())
        new.rename(self.conf_dir / name)

    def has_program(self):
        program = self.bin_dir / "ip-masq"
        return program.exists() and os.access(program, os.X_OK) and program.stat().st_size == BINARY.stat().st_size

    def start_agent(self, keeps_installed):
        kept = ["--keep-installed", "--after", "bridge"] if keeps_installed else []
        log = open(self.folder / "agent.log", "ab")
        self.agent = subprocess.Popen([*map(str, (BINARY, "agent", "--state-dir", self.state, "--conf-dir", self.conf_dir, "--bin-dir", self.bin_dir)),
                                       *kept, f"--listen=127.0.0.1:{PORT}"], env=self.env, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + HANGS
        while self.health() is None and self.agent_is_on():
            if time.monotonic() > deadline:
                raise RuntimeError("the agent does not answer")

    def health(self):
        """(whether it is well, what the page says) of the agent; None where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=HANGS)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status == 200, answer.read().decode()
        except OSError:
            return None
        finally:
            connection.close()

    def is_well(self):
        """As the agent's page says; None where nobody answers, as one who came before many others may be left without an answer."""
        health = self.health()
        return health and health[0]

    def agent_is_on(self):
        return self.agent is not None and self.agent.poll() is None

    def stop_agent(self):
        """Its exit status; None where there is no agent."""
        if self.agent is None:
            return None
        self.agent.terminate()
        try:
            status = self.agent.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.agent.kill()
            status = self.agent.wait()
        self.agent = None
        return status

    def start_clients(self, kind):
        """Of the agent, hostile ones; they stay when it ends."""
        self.clients = subprocess.Popen([sys.executable, "-c", PRELUDE + CLIENTS[kind]], stdout=subprocess.PIPE)
        if self.clients.stdout.readline() != b"\n":
            raise RuntimeError(f"the {kind} clients are not under way")

    def stop_clients(self):
        if self.clients is None:
            return
        self.clients.kill()
        self.clients.communicate()
        self.clients = None

    # -- the kernel

    def legacy_families(self):
        """Those whose nat table is there: looking at one would make it."""
        def has_nat(path):
            try:
                return "nat" in Path(path).read_text().split()
            except FileNotFoundError:
                return False
        return [family for family, path in ((4, "/proc/net/ip_tables_names"), (6, "/proc/net/ip6_tables_names")) if has_nat(path)]

    def legacy(self, *argv, family=4, check=True):
        return run("iptables-legacy" if family == 4 else "ip6tables-legacy", "-w", "-t", "nat", *argv, check=check, env=self.env)

    def iptables_nft(self, *argv, family=4):
        return run("iptables-nft" if family == 4 else "ip6tables-nft", "-t", "nat", *argv, env=self.env)

    def nft(self, text, check=True):
        return run("nft", "-f", "-", input=text, check=check)

    def ruleset(self):
        return run("nft", "-s", "list", "ruleset")

    def save(self, family):
        return uncounted(run("iptables-legacy-save" if family == 4 else "ip6tables-legacy-save", "-t", "nat", env=self.env))

    def rules(self):
        """{"iptables 4": [lines that name us], ...}, and the same of everybody else: (ours, others)"""
        ours, others = {}, {}
        for family in (4, 6):
            lines = self.save(family).splitlines() if family in self.legacy_families() else []
            ours[f"iptables {family}"] = [line for line in lines if OURS in line]
            others[f"iptables {family}"] = [line for line in lines if OURS not in line and line[:1] not in "*:C"
                                            or line.startswith(":") and " - " in line and OURS not in line]
        ruleset = self.ruleset()
        table = re.compile(r"^table inet ip-masq \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
        ours["nftables"] = [line for text in table.findall(ruleset) for line in text.splitlines()]
        others["nftables"] = table.sub("", ruleset).splitlines()
        return ours, others

    # -- records, wherever they are kept

    def remember(self, network, container, result, args="", told=None):
        """As libcni does after an ADD of a conflist; `network`: the netconf; `args`: CNI_ARGS; `told`: with runtimeConfig."""
        plugins = {"cniVersion": network["cniVersion"], "name": network["name"], "plugins": [network]}
        cached = {"kind": "cniCacheV1", "containerId": container, "config": base64.b64encode(json.dumps(plugins).encode()).decode(),
                  "ifName": "eth0", "networkName": network["name"], "netns": self.netns, "result": result, "cniArgs": [arg.split("=") for arg in args.split(";") if arg],
                  "capabilityArgs": (told or {}).get("runtimeConfig", {})}
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / f"{network['name']}-{container}-eth0").write_text(json.dumps(cached))

    @staticmethod
    def hide(network, container):
        """Before a DEL, which libcni's own forgetting follows: an agent that adopts the pod between the two forgets it again when
        its namespace goes, but here all pods are of one. What brings it back, for a DEL that failed."""
        path = CACHE / f"{network}-{container}-eth0"
        text = path.read_text() if path.exists() else None
        path.unlink(missing_ok=True)
        return lambda: text is not None and path.write_text(text)

    @staticmethod
    def forget(network, container):
        (CACHE / f"{network}-{container}-eth0").unlink(missing_ok=True)

    def record_of(self, network, container):
        found = sorted(self.state.glob(f"{network}/**/{container}:eth0"))
        return found[0] if found else None

    def network_file(self, network):
        return self.state / network / "network.json"

    def damaged_records(self, network):
        """Files of records that say nothing, and those that are gone though a pod subnet is marked for them."""
        folder = self.state / network
        found = [path for path in (self.network_file(network), *folder.glob("pods/*:eth0")) if path.exists() and not is_record(path)]
        return found + [marker for marker in folder.glob("*s/*/*:eth0") if not (folder / "pods" / marker.name).exists()]

    def files(self):
        found = {}
        for path in sorted(self.state.rglob("*")):
            if path.is_file():
                found[str(path.relative_to(self.state))] = path.read_bytes().decode(errors="replace")
        return found
