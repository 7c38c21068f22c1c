"""Runs in a guest of another processor, as its last process: its packages come and go by busybox' dpkg and rpm, and what they bring
is used.

Prints a list as JSON: what was told by whom, and what stands then; or what went wrong last."""

import json
import os
import subprocess
from pathlib import Path

CONFLIST = Path("/etc/cni/net.d/10-test.conflist")
INSTALLED = "/opt/cni/bin/ip-masq"
BROUGHT = ["/lib/systemd/system/ip-masq.service", "/usr/sbin/ip-masq", "/usr/sbin/ip-masq-ospf-node", "/usr/sbin/ip-masq-snat-off",
           "/usr/share/bash-completion/completions/ip-masq", "/usr/share/fish/vendor_completions.d/ip-masq.fish",
           "/usr/share/lintian/overrides/ip-masq", "/usr/share/man/man8/ip-masq-ospf-node.8.gz", "/usr/share/man/man8/ip-masq-snat-off.8.gz",
           "/usr/share/man/man8/ip-masq.8.gz", "/usr/share/zsh/vendor-completions/_ip-masq"]
RIGHT = [
    ['ip-masq: no network is changed until "ip-masq install" is called'], BROUGHT,
    "the program says its completions", ["bridge", "portmap", "ip-masq"],
    [f"ip-masq: still installed on this node: {INSTALLED}",
     "ip-masq: would have put /etc/cni/net.d/10-test.conflist back",
     "ip-masq: would have removed /etc/cni/net.d/10-test.conflist.before-ip-masq",
     f"ip-masq: note: {INSTALLED} stays, since pods that run need it for their end, and doctor misses the entry as long as it is there: "
     f"once none of these pods is left, rm {INSTALLED}",
     f'ip-masq: pods go on as they are; "{INSTALLED} uninstall" takes the entry out, and "{INSTALLED} uninstall --rules" what',
     "ip-masq: is left, once the pods are gone"], [],
    "the conflist is what it was", "the program of the rpm is that of the deb"]


def run(*argv):
    """What it says, on both of its outputs."""
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


def lines(*argv):
    """Ours alone."""
    return [line for line in run(*argv).splitlines() if line.startswith("ip-masq: ")]


def brought():
    return sorted(run("find", "/lib", "/usr", "-name", "*ip-masq*", "!", "-type", "d", "!", "-path", "*/examples/*").split())


def work():
    """Each thing that there is to tell, in turn."""
    run("/bin/busybox", "--install", "-s", "/bin")
    for folder in ("/var/lib/dpkg/info", CONFLIST.parent, "/opt/cni/bin"):
        os.makedirs(folder, exist_ok=True)
    Path("/var/lib/dpkg/status").touch()
    for plugin in ("bridge", "portmap"):
        Path("/opt/cni/bin", plugin).touch(mode=0o755)
    conflist = Path("/packages/conflist").read_text()
    CONFLIST.write_text(conflist)

    yield lines("dpkg", "-i", "/packages/deb")
    yield brought()
    if run("ip-masq", "completion", "bash") == Path("/usr/share/bash-completion/completions/ip-masq").read_text():
        yield "the program says its completions"
    run("ip-masq", "install", "--after", "bridge")
    yield [plugin["type"] for plugin in json.loads(CONFLIST.read_text())["plugins"]]
    yield lines("dpkg", "-r", "ip-masq")
    yield brought()
    run(INSTALLED, "uninstall")
    if CONFLIST.read_text() == conflist:
        yield "the conflist is what it was"
    run("rpm", "-i", "/packages/rpm")
    run("cmp", "/usr/sbin/ip-masq", INSTALLED)
    run("ip-masq", "--version")
    yield "the program of the rpm is that of the deb"


def tell():
    told = []
    try:
        for each in work():
            told.append(each)
    except subprocess.CalledProcessError as error:
        told.append(f"{error}: {error.stdout}")
    except OSError as error:
        told.append(str(error))
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    tell()
