"""What the runtime loads, what is configured, and where records are: what is wrong with them is found before a pod finds it."""

import json

import pytest
from harness.doctor import PLAIN, SUBNET_ENV, carry_out, configure, conflist, doctor, findings, weights
from harness.host import ROOT


# ---- what the runtime loads

def test_another_list_is_what_the_runtime_loads(site):
    site.write("/etc/cni/net.d/05-other.conflist", json.dumps(PLAIN))
    found = findings(site)
    assert list(found) == ["entry-missing"]
    assert found["entry-missing"]["where"] == [
        "/etc/cni/net.d/05-other.conflist is what the runtime loads, and has no entry of ip-masq",
        "/etc/cni/net.d/10-test.conflist has one, and comes later"]
    carry_out(site, found["entry-missing"])
    assert findings(site) == {}


def test_a_list_in_a_conf_is_not_loaded(host):
    host.write("/etc/cni/net.d/10-mine.conf", json.dumps(conflist()))
    host.write("/etc/cni/net.d/20-other.conflist", json.dumps(PLAIN))
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"entry-missing": "hurts"}
    assert found["entry-missing"]["where"][1].startswith("/etc/cni/net.d/10-mine.conf has one, and is not loaded: it is a list: ")
    carry_out(host, found["entry-missing"])
    assert "entry-missing" not in findings(host)


def test_lists_that_multus_hands_pods_on_to(site):
    """Where its own program is."""
    site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "delegates": [conflist()]}))
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"plugin-missing": "hurts"}
    assert found["plugin-missing"]["where"] == ["no program /opt/cni/bin/multus, which /etc/cni/net.d/00-multus.conf asks for"]
    for name in ("multus", "multus-shim"):
        site.run("cp", "/opt/cni/bin/bridge", f"/opt/cni/bin/{name}")
    for keys in [{"type": "multus", "delegates": [conflist()]},
                 {"type": "multus-shim", "clusterNetwork": "/host/etc/cni/net.d/10-test.conflist"}]:
        site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus-cni-network", **keys}))
        assert findings(site) == {}
    site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus", "type": "multus-shim", "clusterNetwork": "/other/10-test.conflist"}))
    assert {name: each["weight"] for name, each in findings(site).items()} == {"pods-led-elsewhere": "note"}
    site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "delegates": [PLAIN]}))
    found = findings(site)
    assert list(found) == ["entry-missing"]
    assert found["entry-missing"]["where"] == [
        f'the list "{PLAIN["name"]}" that multus keeps in /etc/cni/net.d/00-multus.conf is what pods get, and has no entry of ip-masq',
        "/etc/cni/net.d/10-test.conflist has one"]


def test_pods_whose_end_nobody_told_of(site, pod):
    """The entry went before them, and with it their DEL."""
    site.tool("uninstall")
    assert findings(site)["entry-missing"]["does"].startswith("new pods of this node are not recorded: ")
    site.cnitool("del", "bridge-net", pod)
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"records-of-ended-pods": "hurts"}
    carry_out(site, *found.values())
    assert findings(site) == {} and json.loads(site.tool("show", "-o", "json"))["networks"] == []


@pytest.mark.parametrize("conf, reason", [
    ({**conflist(), "cniVersion": "0.2.0"}, '"cniVersion" is "0.2.0": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'),
    ({**conflist(), "plugins": [{"type": "ip-masq"}, *PLAIN["plugins"]]}, 'the entry of ip-masq comes before "bridge": '),
    (conflist(nonMasqueradeCIDRs="10.0.0.0/8"), "nonMasqueradeCIDRs"),
], ids=["version", "order", "key"])
def test_entries_that_every_add_refuses(host, conf, reason):
    host.use_conflist(conf)
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"entry-refused": "hurts"}
    (where,) = found["entry-refused"]["where"]
    assert where.startswith("/etc/cni/net.d/10-test.conflist: ") and reason in where
    carry_out(host, found["entry-refused"])
    host.use_conflist(conflist())
    assert findings(host) == {}


def test_a_file_that_is_no_network_comes_first(host):
    host.use_conflist(conflist())
    host.write("/etc/cni/net.d/01-odd.conf", "{")
    assert weights(host) == {"file-in-the-way": "note"}


def test_a_folder_of_conflists_that_is_not_there(site):
    status, said = doctor(site, "--conf-dir", "/etc/cni/nett.d")
    assert (status, said["node"]) == (3, "not known")
    assert any("/etc/cni/nett.d" in line for line in said["notLooked"])


# ---- what is configured

def test_a_broken_file_and_a_misspelt_key_before_the_first_pod(host):
    host.use_conflist(conflist(nonMasqueradeCIDR=["10.0.0.0/8"]))
    host.write("/etc/config/ip-masq-agent", "nonMasqueradeCIDRs: [10.0.0.0/33]\n")
    found = findings(host)
    assert list(found) == ["config-wrong", "key-misspelt"]
    assert found["config-wrong"]["where"][0].startswith("plain: /etc/config/ip-masq-agent, line 1: ")
    assert found["config-wrong"]["does"] == "nothing good is known of it: an ADD fails, and no pod of these networks starts"
    assert 'did you mean "nonMasqueradeCIDRs"?' in found["key-misspelt"]["where"][0]
    host.run("rm", "/etc/config/ip-masq-agent")
    host.use_conflist(conflist())
    assert findings(host) == {}


def test_no_forwarding_before_the_first_pod(host):
    host.sysctl(net__ipv4__ip_forward=0)
    assert weights(host) == {"ip-forward-off": "note"}
    host.use_conflist(conflist())
    assert weights(host) == {"ip-forward-off": "hurts"}


@pytest.mark.parametrize("lists", [["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8", "0.0.0.0/0"], ["::/0"], ["fc00::/7", "::/1", "8000::/1"]])
def test_everything_is_exempt(world, pod, lists):
    configure(world, pod, nonMasqueradeCIDRs=lists)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"everything-exempt": "hurts"}
    everything = "::/0" if ":" in lists[0] else "0.0.0.0/0"
    assert found["everything-exempt"]["where"][0].startswith(f"{everything} keeps the addresses of pods of network bridge-net")


def test_snat_to_an_address_that_nobody_has(world, pod):
    configure(world, pod, snatTo=["198.18.0.77"])
    assert weights(world) == {"snat-to-elsewhere": "hurts"}
    assert world.seen()[1] is None
    world.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    assert findings(world) == {}
    assert world.seen()[1] == "198.18.0.77"


def test_snat_to_an_address_of_another_uplink(world, pod):
    configure(world, pod, snatTo=["198.18.1.1"])
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"snat-to-other-uplink": "note"}
    assert found["snat-to-other-uplink"]["where"] == [
        "198.18.1.1, snatTo of network bridge-net, is on uplink1; the default route leads out by uplink0"]


def test_snat_to_a_range_of_which_some_are_missing(world, pod):
    configure(world, pod, snatTo=["198.18.0.1-198.18.0.6"])
    assert findings(world)["snat-to-elsewhere"]["where"] == ["198.18.0.2, 198.18.0.3, 198.18.0.4, ..., snatTo of network bridge-net"]
    world.run("ip", "route", "add", "local", "198.18.0.0/29", "dev", "lo")
    assert findings(world) == {}


def test_snat_to_by_interface(world, pod):
    configure(world, pod, snatTo=[{"address": "198.18.1.1", "interface": "uplink1"}, {"address": "198.18.0.1", "interface": "uplink0"}])
    assert findings(world) == {}
    configure(world, pod, snatTo=[{"address": "198.18.1.1", "interface": "uplink0"}, {"address": "198.18.0.1", "interface": "uplink9"}])
    found = findings(world)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {
        "snat-to-other-uplink": ("note", ["198.18.1.1, snatTo of network bridge-net, is on uplink1; it is for what leaves by uplink0"]),
        "snat-to-no-interface": ("note", ["uplink9, snatTo of network bridge-net"])}


def test_pods_outside_flannels_network(host, pod):
    host.use_conflist("10-flannel-ip-masq.conflist")
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("false"))
    host.cnitool("add", "cbr0", pod)
    assert findings(host) == {}
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("false").replace("10.244", "10.245"))
    host.run(host.bin / "ip-masq", "sync")
    found = findings(host)
    assert found["pods-outside-flannel-network"]["where"] == [
        "10.244.1.0/24 of network cbr0 lies outside flannel's networks (/run/flannel/subnet.env)"]


# ---- where records are

def test_a_state_folder_that_cannot_be_written_to(host):
    host.run("mount", "-o", "remount,ro", "/run/cni")
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"state-dir-unusable": "hurts"}
    host.run("mount", "-o", "remount,rw", "/run/cni")
    assert findings(host) == {}


def test_a_state_folder_of_somebody_else(site):
    site.run("chown", "nobody", "/run/cni/ip-masq")
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"state-dir-unusable": "hurts"}  # what could not be read is not lost
    assert "/run/cni/ip-masq" in found["state-dir-unusable"]["where"][0]
    site.run("chown", "root", "/run/cni/ip-masq")
    assert findings(site) == {}


def test_a_version_that_an_older_libcni_does_not_read(host, pod):
    """Whether the runtime's is one of these only a pod can tell."""
    shipped = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    versions = {**{key: value for key, value in shipped.items() if key != "cniVersion"}, "cniVersions": ["0.4.0", "1.0.0"]}
    host.use_conflist(versions)
    assert weights(host) == {"version-of-newer-libcni": "hurts"}
    host.cnitool("add", "bridge-net", pod)
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"version-of-newer-libcni": "note"}
    assert found["version-of-newer-libcni"]["where"][0].startswith('/etc/cni/net.d/10-test.conflist: it has no "cniVersion", and "cniVersions" is read by ')
    carry_out(host, found["version-of-newer-libcni"])
    host.use_conflist({**versions, "cniVersion": "0.4.0"})
    assert findings(host) == {}


def test_flannels_networks_from_another_file(host):
    """As after a change of flannel's own list: install sees to it where it puts the entry there."""
    flannel = {"type": "flannel", "delegate": {"ipMasq": False}}
    host.use_conflist({**PLAIN, "plugins": [{**flannel, "subnetFile": "/run/other.env"}, {"type": "ip-masq"}]})
    found = findings(host)["subnet-file-differs"]
    assert (found["weight"], found["where"]) == ("note", [
        "/etc/cni/net.d/10-test.conflist: flannel's plugin reads its networks from /run/other.env, ip-masq's entry from /run/flannel/subnet.env"])
    carry_out(host, found)
    host.use_conflist({**PLAIN, "plugins": [{**flannel, "subnetFile": "/run/other.env"}, {"type": "ip-masq", "subnetFile": "/run/other.env"}]})
    assert "subnet-file-differs" not in findings(host)


@pytest.mark.parametrize("has_pods", [False, True])
def test_a_policy_to_ask_for_and_no_annotations_to_ask_with(host, pod, has_pods):
    shipped = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    entry = {**shipped["plugins"][-1], "policies": [{"name": "partner", "annotated": ["batch-*"]}]}
    without = {**shipped, "plugins": [*shipped["plugins"][:-1], {key: value for key, value in entry.items() if key != "capabilities"}]}
    host.use_conflist(without)
    if has_pods:
        host.cnitool("add", shipped["name"], pod)
    found = findings(host)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {"annotations-not-asked-for": ("note", [
        "/etc/cni/net.d/10-test.conflist asks for none, and policy partner has annotated: batch-*"])}
    carry_out(host, found["annotations-not-asked-for"])
    host.use_conflist({**shipped, "plugins": [*shipped["plugins"][:-1], entry]})
    assert findings(host) == {}


@pytest.mark.parametrize("option", ["i", "a"])
def test_a_list_that_is_not_to_be_written(site, option):
    """The fix takes that off first."""
    path = "/etc/cni/net.d/10-test.conflist"
    shipped = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    site.use_conflist({**shipped, "plugins": shipped["plugins"][:-1]})
    site.run("chattr", f"+{option}", path)
    found = findings(site)
    assert list(found) == ["entry-missing"]
    assert found["entry-missing"]["fix"][0].startswith(f"chattr -{option} {path} && ip-masq install ")
    carry_out(site, found["entry-missing"])
    assert "entry-missing" not in findings(site)
