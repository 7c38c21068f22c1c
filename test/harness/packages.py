"""Packages that scripts/release made, on a node."""

import os

from harness.host import Host

PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}  # by Debian's names, rpm's


class PackagedHost(Host):
    """A host where packages can be installed: what they write goes with it."""

    WRITTEN = ["/usr", "/var/lib/dpkg", "/var/lib/rpm", "/var/log", "/var/cache"]

    def __init__(self, folder):
        super().__init__(folder)
        self.run("rm", "/opt/cni/bin/ip-masq")  # none but the package's
        above = self.folder / "written"
        above.mkdir()
        self.run("mount", "-t", "tmpfs", "written", above)
        for path in self.WRITTEN:
            upper, work = above / path.strip("/").replace("/", "-"), above / f"{path.strip('/').replace('/', '-')}.work"
            self.run("mkdir", "-p", path, upper, work)
            self.run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", path)

    @property
    def conflist(self):
        return self.run("cat", "/etc/cni/net.d/10-test.conflist")

    def rules(self):
        return self.save() + self.run("nft", "list", "ruleset")

    def ours(self):
        """What of the package is there."""
        return self.run("find", "/usr", "/lib/systemd/system", "-path", "*ip-masq*", "-o", "-path", "*ip_masq*").splitlines()


class Dpkg:
    """Without the triggers of other packages, which would write an index of man pages each time. `releases`: {version: folder}"""

    name = "deb"

    def __init__(self, host, releases, architecture="amd64"):
        self.host, self.releases, self.architecture = host, releases, architecture

    def install(self, version):
        return self.run("--no-triggers", "--force-architecture", "-i", self.releases[version] / f"ip-masq_{version}-1_{self.architecture}.deb")

    def remove(self):
        return "".join(self.run("--no-triggers", option, f"ip-masq:{self.architecture}") for option in ("-r", "-P"))

    def run(self, *argv):
        told = self.host.run("dpkg", *argv, env={**os.environ, "LC_ALL": "C"})
        return "".join(f"{line}\n" for line in told.splitlines() if line.startswith("ip-masq: "))

    def version(self):
        return self.host.run("dpkg-query", "-W", "-f", "${Status} ${Version}", f"ip-masq:{self.architecture}", check=False)


class Rpm(Dpkg):
    name = "rpm"
    # On Debian rpm knows no package that could have what is needed.
    flags = ("--force-debian", "--nodeps")

    def install(self, version):
        package = f"ip-masq-{version}-1.{PROCESSORS[self.architecture]}.rpm"
        return self.run("-U", "--oldpackage", "--ignorearch", *self.flags, self.releases[version] / package)

    def remove(self):
        return self.run("-e", *self.flags, "ip-masq")

    def run(self, *argv):
        told = self.host.run("rpm", *argv)
        return "".join(f"{line}\n" for line in told.splitlines() if line.startswith("ip-masq: "))

    def version(self):
        return self.host.run("rpm", "-q", "--qf", "install ok installed %{version}-%{release}", "ip-masq", check=False)
