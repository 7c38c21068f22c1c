"""How many of a folder's lists pods get, and the folders that they get them from once an operator goes back to a version before."""

import json
import re

import pytest
from harness.host import TOOLS
from harness.node import BINARY
from test_flavours import CRI, FLANNEL, KUBELET, LIST, MICROK8S, RUNTIMES, site  # noqa: F401 (a fixture)

CONFIG = "/etc/containerd/config.toml"
BRIDGE = {"cniVersion": "0.4.0", "name": "other", "plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}
ODD = "99-odd.conf: it is not JSON: it goes wrong at byte 2"


def findings(site):
    return {each["name"]: each for each in json.loads(site.call("doctor", "-o", "json")[1])["findings"]}


@pytest.mark.parametrize("most, both, in_the_way", [("", False, False), ("max_conf_num = 1", False, False), ("max_conf_num = 2", True, False),
                                                    ("max_conf_num = 0", True, True), ("max_conf_num = 9", True, True)])
def test_how_many_lists_containerd_takes(site, most, both, in_the_way):
    """Each pod gets that many, and a file that is none keeps it from all of them."""
    for path, text in {**KUBELET, CONFIG: f"version = 2\n[{CRI}.cni]\n{most}\n"}.items():
        site.put(path, text)
    assert (most or "max_conf_num = 1") in site.run("containerd", "config", "dump")
    site.run("sh", "-ec", f"cp {TOOLS}/bridge {TOOLS}/host-local {TOOLS}/flannel /opt/cni/bin")
    for name, text in {"05-other.conflist": json.dumps(BRIDGE), "10-flannel.conflist": json.dumps(FLANNEL), "99-odd.conf": "{"}.items():
        site.put(f"/etc/cni/net.d/{name}", text)
    notes = [line for line in site.call("install")[2].splitlines() if "05-other" in line or "99-odd" in line]
    gets = (f"pods get both networks, as max_conf_num in {CONFIG} says, and the addresses that they are known by are of the first" if both
            else "pods get that network, unless the runtime is told otherwise")
    assert notes == [f"ip-masq: note: /etc/cni/net.d/{line}" for line in [
        *([f"{ODD}; containerd loads no network at all while it is there, CRI-O passes over it"] if in_the_way else []),
        f"05-other.conflist is loaded before {LIST}: {gets}"]]
    found = findings(site)
    assert found.get("file-in-the-way", {}).get("where") == ([f"/etc/cni/net.d/{ODD}"] if in_the_way else None)
    assert found["entry-missing"]["weight"] == ("note" if both else "hurts")
    assert found["entry-missing"]["where"][1] == f"{LIST} has one, and comes later" + (
        f"; pods get both, as max_conf_num in {CONFIG} says" if both else "")


@pytest.mark.parametrize("own, said", [("", "max_conf_num"), ("cni_max_conf_num = 0", "max_conf_num"), ("cni_max_conf_num = 3", "cni_max_conf_num"),
                                       ("cni_max_conf_num = 1", None)])
def test_how_many_lists_a_runtime_of_containerds_takes(site, own, said):
    """From a folder of its own: as many as from the node's, unless it says how many."""
    kata = f"[{CRI}.containerd.runtimes.kata]\ncni_conf_dir = '/etc/kata'\n{own}\n"
    for path, text in {**KUBELET, CONFIG: f"version = 2\n[{CRI}.cni]\nmax_conf_num = 2\n{kata}"}.items():
        site.put(path, text)
    site.run("sh", "-ec", f"cp {TOOLS}/bridge {TOOLS}/host-local {TOOLS}/flannel /opt/cni/bin")
    site.put("/etc/kata/05-other.conflist", json.dumps(BRIDGE))
    site.put("/etc/kata/10-flannel.conflist", json.dumps(FLANNEL))
    note, = (line for line in site.call("install", "--conf-dir", "/etc/kata")[2].splitlines() if "05-other" in line)
    assert note.partition("10-flannel.conflist: ")[2].startswith(f"pods get both networks, as {said} in {CONFIG} says, " if said else "pods get that network, ")


def test_a_folder_that_a_snap_has_left(site):
    """microk8s' snap leads the usual folders to its own, and leaves these links behind (istio/istio#50063)."""
    site.run("sh", "-ec", f"umount /etc/cni; mkdir -p /etc/cni; rm -rf /etc/cni/net.d; ln -s {MICROK8S}/args/cni-network /etc/cni/net.d")
    unread = f"cannot read the folder /etc/cni/net.d: it is a link to {MICROK8S}/args/cni-network, which is not there, or not seen here"
    for command in ("install", "uninstall"):
        status, output, errors = site.call(command)
        assert (status, output, errors.splitlines()[-1]) == (1, "", f"ip-masq: {unread}")
    assert unread in json.loads(site.call("doctor", "-o", "json")[1])["notLooked"]


def test_revisions_of_a_snap(site):
    """A refresh copies the folder, with the entry in it, and keeps the one before for snap revert."""
    runtime = next(each for each in RUNTIMES if each.flavour == "microk8s")
    home, networks = MICROK8S.rpartition("/")[0], runtime.networks.removeprefix(f"{MICROK8S}/")
    before, now = lists = [f"{home}/{revision}/{networks}/10-flannel.conflist" for revision in ("6089", "x2")]
    site.run("mkdir", "-p", f"{home}/6089", f"{home}/common")
    site.run("ln", "-s", "6089", MICROK8S)
    site.set_up(runtime)
    text = site.run("cat", before)
    site.tool("install")
    site.run("sh", "-ec", f"cp -a {home}/6089 {home}/x2; ln -sfn x2 {MICROK8S}")
    would = [line for line in site.call("uninstall", "--dry-run")[1].splitlines() if line.endswith("back")]
    assert would == [f"would have put {path} back" for path in (f"{runtime.networks}/10-flannel.conflist", before)]
    assert all("ip-masq" in site.run("cat", path) for path in lists)
    site.tool("uninstall", "--conf-dir", f"{home}/x2/{networks}")
    assert [site.run("cat", path) for path in lists] == [text, text]

    site.tool("install")
    site.run("sh", "-ec", f"rm -r {home}/6089; cp -a {home}/x2 {home}/6089; mv {now}.before-ip-masq {now}")
    found = findings(site)["entry-of-other-revision"]
    assert (found["weight"], found["where"]) == ("note", [f"{before} has an entry of ip-masq, and no list of the revision that runs"])
    site.run("sh", "-ec", re.sub("^ip-masq ", f"{BINARY} ", "\n".join(found["fix"]), flags=re.M))
    assert site.run("cat", before) == text
    assert "entry-of-other-revision" not in findings(site)
