"""How many of a folder's lists pods get."""

import json

import pytest
from harness.host import TOOLS
from test_flavours import CRI, FLANNEL, KUBELET, LIST, site  # noqa: F401 (a fixture)

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
