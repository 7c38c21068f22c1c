"""A node as CNI finds it on a real machine: conflists and plugins at their places, called through cnitool."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from harness.node import BINARY, ROOT, Namespace, uncounted

TOOLS = ROOT / "build/tools"
PLUGINS = ["bandwidth", "bridge", "ptp", "host-local", "portmap", "flannel"]

# What a node's programs write to, each node its own; and Debian's folder of plugins, empty.
PRIVATE = ["/run/cni", "/run/flannel", "/var/lib/cni", "/etc/cni", "/etc/config", "/etc/containerd", "/etc/docker", "/etc/sysctl.d",
           "/etc/systemd/system", "/usr/lib/cni"]


class Host(Namespace):
    """Network and mount namespaces of a node: nothing that CNI writes leaves them."""

    PRIVATE = PRIVATE

    def __init__(self, folder):
        super().__init__("host")
        self.folder = Path(folder)
        self.state = Path("/run/cni/ip-masq")
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for tool in PLUGINS:
            shutil.copy(TOOLS / tool, self.bin)
        shutil.copy(BINARY, self.bin)
        self.legacy = self.folder / "legacy"  # iptables-legacy under the name that others call
        self.legacy.mkdir()
        for name in ("iptables", "ip6tables", "iptables-save", "ip6tables-save", "iptables-restore", "ip6tables-restore"):
            os.symlink(f"/usr/sbin/{name.replace('tables', 'tables-legacy')}", self.legacy / name)
        self.env = {"CNI_PATH": str(self.bin), "NETCONFPATH": "/etc/cni/net.d"}
        self.use_iptables("legacy")
        for path in self.PRIVATE:
            os.makedirs(path, exist_ok=True)
        mounts = "mount --make-rshared /; " + "; ".join(f"mount -t tmpfs private {path}" for path in self.PRIVATE)
        if "/opt/cni/bin" not in self.PRIVATE:
            os.makedirs("/opt/cni/bin", exist_ok=True)
            mounts += f"; mount --bind {self.bin} /opt/cni/bin"
        self.holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "slave", "nsenter", f"--net={self.path}", "sh", "-c", f"{mounts}; echo ready; exec sleep infinity"],
            stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        self.run("mkdir", "-p", "/etc/cni/net.d", "/run/flannel")

    def inside(self, *argv):
        if not hasattr(self, "holder"):
            return super().inside(*argv)
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", *map(str, argv)]

    def use_iptables(self, kind):
        """What others get who call iptables: "legacy", as from the start, or "nft"."""
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        self.env["PATH"] = f"{self.legacy}:{path}" if kind == "legacy" else path

    def tool(self, *argv, check=True):
        """The command-line tool on this host; its standard output."""
        return self.run(BINARY, *argv, check=check, env=self.env)

    def write(self, path, text):
        self.run("tee", path, input=text)

    def use_conflist(self, conflist):
        """A file under conf/, or a dict."""
        text = (ROOT / "conf" / conflist).read_text() if isinstance(conflist, str) else json.dumps(conflist)
        self.write("/etc/cni/net.d/10-test.conflist", text)

    def cnitool(self, verb, network, pod=None, capabilities=None, check=True):
        env = dict(self.env)
        if capabilities is not None:
            env["CAP_ARGS"] = json.dumps(capabilities)
        namespace = pod.path if pod else "/var/run/netns/none"
        return self.run(TOOLS / "cnitool", verb, network, namespace, check=check, env=env)

    def save(self, family=4):
        return uncounted(self.run("iptables-legacy-save" if family == 4 else "ip6tables-legacy-save", "-t", "nat"))

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        super().close()
