"""A node with a containerd of its own: Debian's, which is of version 1, or the one of build/tools, of version 2."""

from harness.daemons import Daemon, wait_until
from harness.host import PRIVATE, TOOLS, Host

VERSION_2 = TOOLS / "containerd"

CONFIGURATION = """version = 2
root = "/var/lib/containerd"
state = "/run/containerd/state"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/test/busybox:1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""

CONFIGURATION_2 = """version = 3
root = "/var/lib/containerd"
state = "/run/containerd/state"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "native"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "docker.io/test/busybox:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
"""


class ContainerdHost(Host):
    """`daemons`: what runs on it, by name."""

    PRIVATE = [*PRIVATE, "/run/containerd", "/var/lib/containerd"]

    def __init__(self, folder):
        super().__init__(folder)
        self.daemons = {}

    def start_containerd(self, *images):
        config = self.folder / "containerd.toml"
        config.write_text(CONFIGURATION)
        daemon = self.daemons["containerd"] = Daemon(self, "containerd", "containerd", "--config", config)
        wait_until(lambda: daemon.succeeds(*self.ctr("version")), daemon.process, "containerd")
        for path in images:
            self.import_image(path)

    def ctr(self, *argv):
        return ["ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io", *argv]

    def import_image(self, path):
        return self.run(*self.ctr("images", "import", "--snapshotter", "native", path), env=self.env)

    def end(self, name):
        self.daemons.pop(name).end()

    def close(self):
        for name in reversed(list(self.daemons)):
            self.end(name)
        super().close()


class Containerd2Host(ContainerdHost):
    """`cni`: lines of its configuration, at the usual place, of what concerns CNI."""

    def use_iptables(self, kind):
        super().use_iptables(kind)
        self.env["PATH"] = f"{VERSION_2}:{self.env['PATH']}"  # also of the shim

    def start_containerd(self, *images, cni=""):
        self.write("/etc/containerd/config.toml", CONFIGURATION_2 + cni)
        daemon = self.daemons["containerd"] = Daemon(self, "containerd", "containerd")
        wait_until(lambda: daemon.succeeds(*self.ctr("version")), daemon.process, "containerd")
        for path in images:
            self.import_image(path)

    def import_image(self, path):
        return self.run(*self.ctr("images", "import", "--local", "--snapshotter", "native", path), env=self.env)
