"""Real daemons of a node, in its namespaces: dockerd, and flanneld with etcd."""

import json
import os
import shutil
import subprocess
import tempfile
import time

from harness.host import TOOLS

FLANNELD = TOOLS / "flanneld/flannel"
PATIENCE = 60


def wait_until(condition, process, what, pause=0.05):
    """Until `condition` holds, asked anew after a pause; fails where `process` ends before, or after a minute."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"{what} ended"
        assert time.monotonic() < deadline, f"{what} is not ready after {PATIENCE} s"
        time.sleep(pause)


def open_files(pid):
    """What the descriptors of a process lead to, but for those that it closes meanwhile."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass


class Daemon:
    def __init__(self, host, name, *argv):
        self.host = host
        self.log = open(host.folder / f"{name}.log", "ab")
        self.process = subprocess.Popen(host.inside(*argv), stdout=self.log, stderr=subprocess.STDOUT,
                                        env={**host.env, "HOME": str(host.folder)})

    def succeeds(self, *argv):
        return subprocess.run(self.host.inside(*argv), capture_output=True, env=self.host.env).returncode == 0

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # flanneld that is told to end while it starts may wait for itself
            self.process.kill()
            self.process.wait()
        self.log.close()


class Dockerd(Daemon):
    """With /etc/docker/daemon.json of the host; its iptables is what comes first in the host's PATH."""

    def __init__(self, host, *flags):
        self.socket = f"unix://{host.folder}/docker.sock"
        self.exec_root = tempfile.mkdtemp(prefix="docker")  # short: the names of containerd's sockets are below it
        super().__init__(host, "dockerd", "dockerd", "-H", self.socket, "--data-root", host.folder / "docker",
                         "--exec-root", self.exec_root, "--pidfile", host.folder / "docker.pid", "--storage-driver", "vfs", *flags)
        wait_until(lambda: self.succeeds("docker", "-H", self.socket, "version"), self.process, "dockerd")

    def end(self):
        super().end()
        shutil.rmtree(self.exec_root, ignore_errors=True)


class Etcd(Daemon):
    """With flannel's configuration, at an address of the host."""

    def __init__(self, host, network, address="127.0.0.1"):
        url = f"http://{address}:2379"
        super().__init__(host, "etcd", "etcd", "--data-dir", host.folder / "etcd", "--listen-client-urls", url,
                         "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:2380")
        host.env.update(ETCDCTL_API="3", ETCDCTL_ENDPOINTS=url)
        wait_until(lambda: self.succeeds("etcdctl", "endpoint", "health"), self.process, "etcd")
        host.run("etcdctl", "put", "/coreos.com/network/config", json.dumps(network), env=host.env)


class Flanneld(Daemon):
    """Asks the Etcd at `address`; ready when it has written its subnet file, and its rules where it has any."""

    def __init__(self, host, *flags, interface="uplink0", address="127.0.0.1"):
        subnet_file = "/run/flannel/subnet.env"
        host.run("rm", "-f", subnet_file)
        super().__init__(host, "flanneld", FLANNELD, "-etcd-endpoints", f"http://{address}:2379", "-iface", interface,
                         "-subnet-file", subnet_file, *flags)
        wait_until(lambda: self.succeeds("test", "-s", subnet_file), self.process, "flanneld")
        if any("ip-masq" in flag and "false" not in flag for flag in flags):
            wait_until(lambda: "MASQUERADE" in host.run("iptables", "-t", "nat", "-S", "FLANNEL-POSTRTG", check=False, env=host.env),
                       self.process, "flanneld's masquerade")
