"""A node: a network namespace of its own, a state directory of its own, and the plugin called as a runtime calls it."""

import itertools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.texts import expected, in_order

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "build/static/plugin/ip-masq"
BINARY = Path(os.environ.get("IP_MASQ_BINARY", ROOT / "build/release/plugin/ip-masq"))

_numbers = itertools.count(1)


class Namespace:
    """A network namespace that goes with the test."""

    env = {}

    def __init__(self, purpose="node"):
        self.name = f"ipmasq-{os.getpid()}-{next(_numbers)}-{purpose}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self):
        return f"/var/run/netns/{self.name}"

    def inside(self, *argv):
        return ["ip", "netns", "exec", self.name, *map(str, argv)]

    def run(self, *argv, check=True, **options):
        """Runs a command to its end; its standard output."""
        done = subprocess.run(self.inside(*argv), capture_output=True, text=True, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, argv))}: {done.stderr}{done.stdout}")
        return done.stdout

    def restore_beside(self, text, family=4, program="iptables-legacy"):
        """As iptables-restore, leaving what is there. `program`: iptables-legacy or iptables-nft."""
        restore = f"{program}-restore" if family == 4 else f"{program.replace('ip', 'ip6', 1)}-restore"
        self.run(restore, "-w", "--noflush", input=text, env={**os.environ, **self.env})

    def sysctl(self, **values):
        for key, value in values.items():
            self.run("sysctl", "-qw", f"{key.replace('__', '.')}={value}")

    def close(self):
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split()
        for pid in pids:
            subprocess.run(["kill", "-9", pid], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class NamespaceOfProcess(Namespace):
    """That of a container, which somebody else made."""

    def __init__(self, pid):
        self.pid = pid

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.pid), "-n", *map(str, argv)]


def put_plugins(folder, *texts):
    """Stubs of the plugins that these texts of conflists name: install looks whether they are where the program is to go."""
    folder.mkdir(exist_ok=True)
    for name in {name for text in texts for name in re.findall(r'"type"\s*:\s*"([^"/]+)"', text, re.IGNORECASE)} - {"ip-masq"}:
        (folder / name).touch(0o755)


@dataclass
class Reply:
    """What the plugin answered."""

    status: int
    output: str
    errors: str

    @property
    def json(self):
        return json.loads(self.output)

    @property
    def error(self):
        """(code, msg) of the CNI error; None where the call succeeded."""
        if self.status == 0:
            return None
        answer = self.json
        return answer["code"], answer["msg"]


def uncounted(save):
    """What iptables-save printed, without its comments and counters."""
    lines = (line for line in save.splitlines() if not line.startswith("#"))
    return "".join(re.sub(r"\[\d+:\d+\]", "[0:0]", line) + "\n" for line in lines)


class Node(Namespace):
    """`backend`: what every netconf names."""

    def __init__(self, folder, backend="iptables"):
        super().__init__()
        self.backend = backend
        self.folder = Path(folder)
        self.state = self.folder / "state"
        self.env = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}

    # -- the plugin

    def netconf(self, name="cbr0", version="1.0.0", ips=("10.244.1.5/24",), **keys):
        """An entry of a conflist as libcni hands it over; `ips`: of prevResult, None for no prevResult."""
        conf = {"cniVersion": version, "name": name, "type": "ip-masq", "stateDir": str(self.state),
                "subnetFile": str(self.folder / "subnet.env"), "configFile": str(self.folder / "no-config"),
                "backend": self.backend, **keys}
        if ips is not None:
            entries = [{"address": address} for address in ips]
            if version.startswith("0."):
                entries = [{"version": "6" if ":" in a["address"] else "4", **a} for a in entries]
            conf["prevResult"] = {"cniVersion": version, "ips": entries}
        return conf

    def environment(self, command, container, **variables):
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": "/var/run/netns/pod",
               "CNI_IFNAME": "eth0", "PATH": os.environ["PATH"], **self.env, **variables}
        return {key: value for key, value in env.items() if value is not None}

    def start(self, command, container="pod-1", netconf=None, stdin=None, **variables):
        """Starts a call of the plugin; see call()."""
        text = stdin if stdin is not None else json.dumps(self.netconf() if netconf is None else netconf)
        process = subprocess.Popen(self.inside(BINARY), env=self.environment(command, container, **variables),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdin.write(text if isinstance(text, bytes) else text.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it had read enough
        process.stdin = None
        return process

    def call(self, command, container="pod-1", netconf=None, stdin=None, **variables):
        """One call. `stdin`: instead of a netconf; a variable of None is not set."""
        process = self.start(command, container, netconf, stdin, **variables)
        output, errors = process.communicate()
        return Reply(process.returncode, output.decode(), errors.decode())

    def do(self, command, container="pod-1", netconf=None, **variables):
        """A call that must succeed; its output."""
        reply = self.call(command, container, netconf, **variables)
        assert reply.status == 0, reply.output
        return reply.output

    def add(self, container="pod-1", **keys):
        return self.do("ADD", container, self.netconf(**keys))

    def delete(self, container="pod-1", **keys):
        return self.do("DEL", container, self.netconf(**keys))

    def check(self, container="pod-1", **keys):
        """None where all is right, else (code, msg)."""
        return self.call("CHECK", container, self.netconf(**keys)).error

    def tool(self, *argv, check=True):
        """The command-line tool, on this node's state; its standard output."""
        return self.run(BINARY, *argv, "--state-dir", self.state, check=check, env={**os.environ, **self.env})

    def tool_status(self, *argv):
        """(exit status, standard output, standard error)"""
        return self.status(BINARY, *argv)

    def status(self, *argv):
        """The same of any program."""
        done = subprocess.run(self.inside(*argv), capture_output=True, text=True, env={**os.environ, **self.env})
        return done.returncode, done.stdout, done.stderr

    def doctor(self, *argv):
        """(exit status, standard output), as where this machine has no containerd of its own."""
        hidden = 'if [ -d /etc/containerd ]; then mount -t tmpfs none /etc/containerd; fi; exec "$@"'
        return self.status("unshare", "-m", "sh", "-c", hidden, "-", BINARY, "doctor", "--state-dir", self.state, *argv)[:2]

    # -- what stands on the node

    def iptables(self, *argv, family=4):
        return self.run("iptables-legacy" if family == 4 else "ip6tables-legacy", "-w", "-t", "nat", *argv,
                        env={**os.environ, **self.env})

    def nft(self, *argv, **options):
        return self.run("nft", *argv, **options)

    def save(self, family=4):
        """What stands in the back end, without counters: of iptables the family's nat table, of nftables everything."""
        if self.backend == "nftables":
            return in_order(self.nft("-s", "list", "ruleset"))
        return self.iptables_save(family)

    def iptables_save(self, family=4):
        program = "iptables-legacy-save" if family == 4 else "ip6tables-legacy-save"
        return uncounted(self.run(program, "-t", "nat", env={**os.environ, **self.env}))

    def expected(self, *subnets, family=4):
        """What save() prints where only the rules of these subnets stand."""
        return expected(self.backend, *subnets, family=family)

    def rules(self, family=4):
        """The rules of save() alone."""
        return [line for line in self.save(family).splitlines() if line.startswith("-A ")]

    def restore(self, text, family=4):
        program = "iptables-legacy-restore" if family == 4 else "ip6tables-legacy-restore"
        self.run(program, "-w", input=text, env={**os.environ, **self.env})

    def record(self, container="pod-1", network="cbr0"):
        """The file of an attachment."""
        return self.state / network / "pods" / f"{container}:eth0"

    def recorded(self):
        """NETWORK/CONTAINER of each attachment that is recorded, in order."""
        return sorted(f"{path.parts[-3]}/{path.name.removesuffix(':eth0')}" for path in self.state.glob("*/pods/*:*"))

    def files(self):
        """Files under the state directory, by their path there, with their text."""
        return {str(path.relative_to(self.state)): path.read_text()
                for path in sorted(self.state.rglob("*")) if path.is_file()}
