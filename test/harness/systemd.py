"""The service manager of a host, for real: systemd as the first process of namespaces of its own, with the units that it is told of
and none of the machine's,
nor of what its generators would make units of."""

import shlex
import subprocess

from harness.daemons import PATIENCE, wait_until

SYSTEMD = "/lib/systemd/systemd"
# What units depend on without naming it.
TARGETS = ["sysinit", "basic", "shutdown", "multi-user", "network", "sockets", "timers", "paths", "slices", "local-fs", "umount"]
UNITS = "/lib/systemd/system"
# What the host's other programs share with it.
SHARED = ["/run/cni", "/run/flannel", "/run/netns"]
# Beside these and the folders that are the host's own, what it writes to is gone with it; {folder} as well, at the end.
BOOT = """set -e
mkdir {folder}/cgroups {folder}/kept
mount -t cgroup2 cgroup2 {folder}/cgroups
mkdir {folder}/cgroups/{name}
echo $$ >{folder}/cgroups/{name}/cgroup.procs
umount {folder}/cgroups
exec unshare --pid --fork --kill-child --mount --propagation slave --uts --ipc --cgroup sh -ec '
  mount -t tmpfs private {folder}/kept
  cd {folder}/kept
  mkdir units
  cp {targets} units
  for path in {shared}; do mkdir -p ".$path"; mount --rbind "$path" ".$path"; done
  touch /run/xtables.lock lock
  mount --bind /run/xtables.lock lock
  mount -t tmpfs private /run
  for path in {shared}; do mkdir -p "$path"; mount --rbind ".$path" "$path"; done
  touch /run/xtables.lock
  mount --bind lock /run/xtables.lock
  mount -t tmpfs private {units}
  cp units/* {units}
  mount -t tmpfs private /lib/systemd/system-generators
  mount -t proc proc /proc
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount -t tmpfs private /var/tmp
  mount -t tmpfs private /tmp
  exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin {systemd} --system --unit=multi-user.target --log-target=console --show-status=no'
"""
# Its processes end a little later than it.
TAKE_AWAY = """mount -t cgroup2 cgroup2 {folder}/cgroups
until find {folder}/cgroups/{name} -depth -type d -exec rmdir {{}} + 2>/dev/null; do sleep 0.05; done
"""


class Systemd:
    """Runs on a host until ended; /etc/systemd/system is the host's own folder."""

    def __init__(self, host):
        self.host = host
        self.name = f"{host.name}-systemd"
        targets = " ".join(f"{UNITS}/{name}.target" for name in TARGETS)
        self.log = open(host.folder / "systemd.log", "w")
        script = BOOT.format(name=self.name, folder=host.folder, targets=targets, shared=" ".join(SHARED), units=UNITS, systemd=SYSTEMD)
        self.process = subprocess.Popen(host.inside("sh", "-c", script), stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.pid = None
        wait_until(self.find, self.process, "systemd")
        wait_until(lambda: self.ctl("is-active", "multi-user.target", check=False) == "active\n", self.process, "systemd")

    def find(self):
        """Its process, as the machine sees it, below unshare's; None before it runs."""
        children = subprocess.run(["pgrep", "-x", "-P", str(self.process.pid), "systemd"], capture_output=True, text=True).stdout.split()
        self.pid = self.pid or (children[0] if children else None)
        return self.pid

    def inside(self, *argv):
        return ["nsenter", "-t", self.pid, "-m", "-p", "-n", "-u", "-i", "-C", *map(str, argv)]

    def run(self, *argv, check=True):
        done = subprocess.run(self.inside(*argv), capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{shlex.join(map(str, argv))}: {done.stderr}{done.stdout}"
        return done.stdout

    def ctl(self, *argv, check=True):
        return self.run("systemctl", *argv, check=check)

    def told(self, unit, *names):
        """What it says of a unit, by name."""
        lines = self.ctl("show", unit, *(f"--property={name}" for name in names)).splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return values[names[0]] if len(names) == 1 else values

    def until(self, condition):
        wait_until(condition, self.process, "systemd")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        subprocess.run(["timeout", str(PATIENCE), "unshare", "-m", "sh", "-c", TAKE_AWAY.format(name=self.name, folder=self.host.folder)], check=True)
