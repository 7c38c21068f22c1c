"""Folders of network configurations as they are out there, before and after install, uninstall, a rewrite by who owns the
file, and again: to the byte, with owner, mode and links."""

import json
import os
import re
import stat
import struct
import subprocess

import pytest
from harness.node import BINARY, put_plugins

KUBE_FLANNEL = """{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "flannel",
      "delegate": {
        "hairpinMode": true,
        "isDefaultGateway": true
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
"""

# What k3s writes at each start: tabs and blanks as it has them.
K3S = """{
  "name":"cbr0",
  "cniVersion":"1.0.0",
  "plugins":[
    {
      "type":"flannel",
      "delegate":{
        "hairpinMode":true,
        "forceAddress":true,
        "isDefaultGateway":true
      }
    },
    {
      "type":"portmap",
      "capabilities":{
        "portMappings":true
      }
    },
    {
      "type":"bandwidth",
      "capabilities":{
        "bandwidth":true
      }
    }
  ]
}
"""

CANAL = """{
  "name": "k8s-pod-network", "cniVersion": "0.3.1",
  "plugins": [
    { "type": "calico", "log_level": "info", "datastore_type": "kubernetes", "nodename": "node-1", "mtu": 1450,
      "ipam": { "type": "host-local", "subnet": "usePodCidr" },
      "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" } },
    { "type": "portmap", "snat": true, "capabilities": { "portMappings": true } },
    { "type": "bandwidth", "capabilities": { "bandwidth": true } }
  ]
}"""

MICROK8S = CANAL.replace('"host-local", "subnet": "usePodCidr"', '"calico-ipam"').replace('"mtu": 1450', '"mtu": 0')

KINDNET = """
{
\t"cniVersion": "0.3.1",
\t"name": "kindnet",
\t"plugins": [
\t{
\t\t"type": "ptp",
\t\t"ipMasq": false,
\t\t"ipam": {
\t\t\t"type": "host-local",
\t\t\t"dataDir": "/run/cni-ipam-state",
\t\t\t"routes": [
\t\t\t\t{ "dst": "0.0.0.0/0" }
\t\t\t],
\t\t\t"ranges": [
\t\t\t\t[ { "subnet": "10.244.0.0/24" } ]
\t\t\t]
\t\t}
\t\t,
\t\t"mtu": 1500
\t},
\t{
\t\t"type": "portmap",
\t\t"capabilities": {
\t\t\t"portMappings": true
\t\t}
\t}
\t]
}
"""

PODMAN = """{
  "cniVersion": "0.4.0",
  "name": "podman",
  "plugins": [
    {"type": "bridge", "bridge": "cni-podman0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": true}},
    {"type": "firewall"},
    {"type": "tuning"}
  ]
}
"""

CRIO_LIST = """{
  "cniVersion": "1.0.0",
  "name": "crio",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
               "ranges": [[{ "subnet": "10.85.0.0/16" }], [{ "subnet": "1100:200::/24" }]]}
    }
  ]
}
"""

CRIO_SINGLE = """{
    "cniVersion": "0.3.1",
    "name": "crio",
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipMasq": true,
    "hairpinMode": true,
    "ipam": {
        "type": "host-local",
        "routes": [
            { "dst": "0.0.0.0/0" }
        ],
        "ranges": [
            [{ "subnet": "10.85.0.0/16" }]
        ]
    }
}
"""

CRIO_LOOPBACK = """{
    "cniVersion": "1.0.0",
    "name": "loopback",
    "type": "loopback"
}
"""

CILIUM = """{
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
       "type": "cilium-cni",
       "enable-debug": false,
       "log-file": "/var/run/cilium/cilium-cni.log"
    }
  ]
}
"""

EKS = """{
  "cniVersion": "0.4.0",
  "name": "aws-cni",
  "disableCheck": true,
  "plugins": [
    {"name": "aws-cni", "type": "aws-cni", "vethPrefix": "eni", "mtu": "9001", "podSGEnforcingMode": "strict",
     "pluginLogFile": "/var/log/aws-routed-eni/plugin.log", "pluginLogLevel": "DEBUG"},
    {"name": "egress-cni", "type": "egress-cni", "mtu": "9001", "enabled": "false", "randomizeSNAT": "prng", "nodeIP": "",
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "fd00::ac:00/118"}]], "routes": [{"dst": "::/0"}], "dataDir": "/run/cni/v4pd/egress-v6-ipam"}},
    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
  ]
}"""

AKS = """{
   "cniVersion":"0.3.0",
   "name":"azure",
   "plugins":[
      {"type":"azure-vnet","mode":"transparent","ipsToRouteViaHost":["169.254.20.10"],"ipam":{"type":"azure-vnet-ipam"}},
      {"type":"portmap","capabilities":{"portMappings":true},"snat":true}
   ]
}
"""

GKE = """{"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "ptp", "mtu": 1460, "ipam": {"type": "host-local", "subnet": "10.4.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "portmap", "capabilities": {"portMappings": true}}]}
"""

KUBE_ROUTER = """{
   "cniVersion":"0.3.0",
   "name":"mynet",
   "plugins":[
      {"name":"kubernetes", "type":"bridge", "bridge":"kube-bridge", "isDefaultGateway":true, "hairpinMode":true, "ipam":{"type":"host-local","subnet":"10.4.1.0/24"}},
      {"type":"portmap", "capabilities":{"snat":true, "portMappings":true}}
   ]
}
"""

MULTUS = """{
        "cniVersion": "0.3.1",
        "name": "multus-cni-network",
        "type": "multus",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "delegates": [
                {"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"}]}
        ]
}
"""

# What multus' daemon writes (thick): pods get the list that clusterNetwork names.
MULTUS_SHIM = """{"cniVersion":"0.3.1","logLevel":"verbose","logToStderr":true,"name":"multus-cni-network","clusterNetwork":"/host/etc/cni/net.d/10-flannel.conflist","type":"multus-shim"}
"""

ODD = '{"name":"n","cniVersion":"1.0.0","y":1e3,\r\n "x":12345678901234567890123, "plugins":[{"type":"flannel","delegate":{"mtu":1.450e3}}],"é":"\\u00e9"}'

ENTRY = '{"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": true}}'

# (folder, the type of --after)
FOLDERS = {
    "kube-flannel": ({"10-flannel.conflist": KUBE_FLANNEL}, "flannel"),
    "k3s": ({"10-flannel.conflist": K3S}, "flannel"),
    "RKE2": ({"10-canal.conflist": CANAL, "calico-kubeconfig": "apiVersion: v1\n"}, "calico"),
    "Canal": ({"10-canal.conflist": CANAL}, "calico"),
    "microk8s": ({"10-calico.conflist": MICROK8S}, "calico"),
    "kind": ({"10-kindnet.conflist": KINDNET}, "ptp"),
    "podman": ({"87-podman-bridge.conflist": PODMAN}, "bridge"),
    "CRI-O": ({"10-crio-bridge.conflist": CRIO_LIST, "99-loopback.conflist": CRIO_LOOPBACK}, "bridge"),
    "CRI-O, single": ({"100-crio-bridge.conf": CRIO_SINGLE, "200-loopback.conf": CRIO_LOOPBACK}, "bridge"),
    "EKS": ({"10-aws.conflist": EKS}, "aws-cni"),
    "AKS": ({"10-azure.conflist": AKS}, "azure-vnet"),
    "GKE": ({"10-gke-ptp.conflist": GKE}, "ptp"),
    "kube-router": ({"10-kuberouter.conflist": KUBE_ROUTER}, "bridge"),
    "multus before flannel": ({"00-multus.conf": MULTUS, "10-flannel.conflist": KUBE_FLANNEL}, "flannel"),
    "multus' daemon before flannel": ({"00-multus.conf": MULTUS_SHIM, "10-flannel.conflist": KUBE_FLANNEL}, "flannel"),
    "multus before Canal": ({"00-multus.conf": MULTUS.replace("cbr0", "k8s-pod-network"), "10-canal.conflist": CANAL}, "calico"),
    "plugins in a folder beside": ({"10-flannel.conflist": KUBE_FLANNEL, "cbr0/50-tuning.conf": '{"type": "tuning"}'}, "flannel"),
    "what others put out of force": ({"05-cilium.conflist": CILIUM, "10-flannel.conflist": KUBE_FLANNEL, "10-aws.conflist.cilium_bak": EKS}, "flannel"),
    "odd numbers, line ends and letters": ({"10-n.conflist": ODD}, "flannel"),
    "beside files that nobody can load": (
        {"00-deep.conflist": "[" * 400000, "01-large.conf": " " * 6000000, "02-folder.conflist": None, "03-half.conflist": '{"name": "x", "plu',
         "04-list.conf": KUBE_FLANNEL, "10-flannel.conflist": KUBE_FLANNEL}, "flannel"),
    "single beside a list of its name": ({"10-flannel.conf": '{"cniVersion":"0.4.0","name":"cbr0","type":"flannel"}',
                                          "10-flannel.conflist": KUBE_FLANNEL}, "flannel"),
}


def snapshot(folder):
    """{name: (bytes or where a link leads, mode, owner)}"""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        what = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = what, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    return found


def types(text):
    return [plugin["type"] for plugin in json.loads(text)["plugins"]]


class Place:
    def __init__(self, folder, after="flannel"):
        self.folder, self.after, self.bin = folder / "net.d", after, folder / "bin"
        self.folder.mkdir()

    def put(self, files):
        put_plugins(self.bin, *filter(None, files.values()))
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            if text is None:
                path.mkdir()
            else:
                path.write_bytes(text.encode())
                path.chmod(0o640)
                os.chown(path, 1234, 4321)

    def __call__(self, verb, *options, status=0):
        install = ["--bin-dir", self.bin, "--after", self.after] if verb == "install" else []
        done = subprocess.run([BINARY, verb, "--conf-dir", self.folder, *install, *options], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def loaded(self):
        """The name of the first file that libcni takes and that has the plugin."""
        for path in sorted(self.folder.iterdir()):
            try:
                config = json.loads(path.read_text())
            except (ValueError, OSError, RecursionError):
                continue
            plugins = config.get("plugins", []) if path.suffix == ".conflist" else [config] if path.suffix in (".conf", ".json") else []
            if any(plugin.get("type") == self.after for plugin in plugins):
                return path
        return None


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_out_there(tmp_path, name):
    files, after = FOLDERS[name]
    place = Place(tmp_path, after)
    place.put(files)
    before = snapshot(place.folder)

    place("install", "--dry-run")
    assert snapshot(place.folder) == before and not (place.bin / "ip-masq").exists()
    place("install")
    installed = snapshot(place.folder)
    loaded = place.loaded()
    assert types(loaded.read_text())[-1] == "ip-masq"
    assert installed[loaded.name][1:] == (0o640, 1234, 4321)
    for path, found in before.items():
        kept = [installed.get(path), installed.get(f"{path}.before-ip-masq")]
        assert found in kept, f"{path} is nowhere as it was"
    place("install")
    assert snapshot(place.folder) == installed

    place("uninstall")
    assert snapshot(place.folder) == before
    place("uninstall")
    assert snapshot(place.folder) == before

    # Its owner writes the file anew while we are in, and with that our entry and keys are gone.
    place("install")
    loaded = place.loaded()
    loaded.write_bytes(loaded.read_bytes().replace(ENTRY.encode(), b'{"type": "ip-masq", "catchAll": false}'))
    place("install")
    with_keys = snapshot(place.folder)
    place.put({path: text for path, text in files.items() if text is not None})
    place("install")
    assert snapshot(place.folder) == with_keys
    place("uninstall")
    assert snapshot(place.folder) == before


def test_the_text_is_what_it_was_but_for_the_entry(place):
    place.put({"10-n.conflist": ODD})
    place("install")
    assert (place.folder / "10-n.conflist").read_bytes().decode() == ODD.replace(
        '1.450e3}}', '1.450e3,"ipMasq": false}},' + ENTRY)


def acl_of_nobody(mask):
    """As setfacl -m u:nobody:r sets it on a file of mode 0600; acl(5), linux/posix_acl_xattr.h."""
    entries = [(1, 6, 0xffffffff), (2, 4, 65534), (4, 0, 0xffffffff), (0x10, mask, 0xffffffff), (0x20, 0, 0xffffffff)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def extended(path):
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def test_extended_attributes_stay(place):
    """The access list among them; and none comes that was not there."""
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    given = {"system.posix_acl_access": acl_of_nobody(4), "user.note": b"mine", "trusted.note": b"", "security.note": b"x" * 300}
    for name, value in given.items():
        os.setxattr(conflist, name, value)
    mode = conflist.stat().st_mode
    place("install")
    for path in (conflist, place.folder / "10-flannel.conflist.before-ip-masq"):
        assert extended(path) == given and path.stat().st_mode == mode and path.stat().st_uid == 1234
    place("uninstall")
    assert extended(conflist) == given and conflist.stat().st_mode == mode

    for name in given:
        os.removexattr(conflist, name)
    conflist.chmod(0o600)
    os.chown(conflist, 0, 0)
    os.chown(place.folder, 0, 4321)
    place.folder.chmod(0o2755)
    os.setxattr(place.folder, "system.posix_acl_default", acl_of_nobody(4))
    place("install")
    status = conflist.stat()
    assert (extended(conflist), stat.S_IMODE(status.st_mode), status.st_gid) == ({}, 0o600, 0)


def test_an_attribute_that_cannot_be_kept_is_told(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    os.setxattr(conflist, "user.note", b"mine")
    before = snapshot(place.folder)
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "inject=fsetxattr:error=EPERM", BINARY, "install", "--conf-dir", place.folder,
                           "--bin-dir", place.bin], capture_output=True, text=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert (done.returncode, done.stderr) == (1, (
        f"ip-masq: cannot keep the extended attribute user.note of {conflist}: Operation not permitted\n"
        f'  where nothing needs it, "setfattr -x user.note {conflist}" takes it off\n'))
    assert snapshot(place.folder) == before


MADE = {"a FIFO": os.mkfifo, "a folder": os.mkdir, "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600)}


@pytest.mark.parametrize("what", MADE)
def test_what_is_no_program_is_told(place, what):
    """And nobody waits for what may come out of it; the fix loses nothing."""
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    program, kept = place.bin / "ip-masq", place.bin / "ip-masq.before-ip-masq"
    MADE[what](program)
    before, state = snapshot(place.folder), ["--state-dir", place.folder.parent / "state"]
    fix = f"mv -n {program} {program}.moved"
    for options in [], ["--dry-run"]:
        assert place("install", *options, status=1) == f"ip-masq: {program} is {what}: no program can stand there\n  {fix}\n"
    kept.write_text("somebody's")
    for options in ["--dry-run"], []:
        assert place("uninstall", "--bin-dir", place.bin, *state, *options) == (
            f"ip-masq: note: {kept} was left: {program} is {what}\nip-masq: note: {program} is {what}, and not of ip-masq: it was left\n")
    assert snapshot(place.folder) == before and kept.read_text() == "somebody's"
    kept.unlink()
    subprocess.run(["sh", "-ec", fix], check=True)
    place("install")
    assert program.read_bytes() == BINARY.read_bytes() and os.path.lexists(f"{program}.moved")

    # The same where the program that install has kept would be.
    MADE[what](kept)
    assert f"ip-masq: note: {kept} was left: {kept} is {what}\n" in place("uninstall", "--bin-dir", place.bin, *state)
    assert program.read_bytes() == BINARY.read_bytes() and os.path.lexists(kept)


def test_a_link_to_nothing_in_the_programs_place_is_left_by_uninstall(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    program = place.bin / "ip-masq"
    program.symlink_to("/gone")
    assert place("uninstall", "--bin-dir", place.bin, "--state-dir", place.folder.parent / "state") == (
        f"ip-masq: note: {program} is a link to /gone, which is not there, or not seen here: it was left\n")
    assert os.readlink(program) == "/gone"


def test_a_file_that_somebody_keeps_writing_is_left_to_him(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    before = snapshot(place.folder)
    with open(conflist, "r+"):
        assert place("install", status=1) == (
            f"put {place.bin}/ip-masq\nip-masq: {conflist} was left as it is: somebody else is writing it all the time, tried 20 times\n"
            f'  "fuser -v {conflist}" names who has it open\n')
    assert snapshot(place.folder) == before


def test_a_file_system_that_cannot_exchange_files(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    before = snapshot(place.folder)
    for verb in ("install", "uninstall"):
        bin_dir = ["--bin-dir", place.bin] if verb == "install" else []
        subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "inject=renameat2:error=EINVAL", BINARY, verb, "--conf-dir", place.folder, *bin_dir],
                       check=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        assert ("ip-masq" in types((place.folder / "10-flannel.conflist").read_text())) == (verb == "install")
    assert snapshot(place.folder) == before


def test_a_link_stays_one(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    real = place.folder.parent / "real.json"
    (place.folder / "10-flannel.conflist").rename(real)
    (place.folder / "10-flannel.conflist").symlink_to("../real.json")
    before = snapshot(place.folder)
    place("install")
    assert os.readlink(place.folder / "10-flannel.conflist") == "../real.json"
    assert types(real.read_text())[-1] == "ip-masq"
    place("uninstall")
    assert snapshot(place.folder) == before and real.read_text() == KUBE_FLANNEL
    assert (real.stat().st_uid, stat.S_IMODE(real.stat().st_mode)) == (1234, 0o640)


def test_a_hard_link_is_left_and_told(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    os.link(conflist, place.folder.parent / "other")
    before = snapshot(place.folder)
    told = f"{conflist} has 2 names (hard links): written anew under one, the others would stay what it was"
    assert place("install", status=1) == (
        f"ip-masq: {told}\n  make the others symbolic links to one, or files of their own; nothing was changed in it\n")
    assert snapshot(place.folder) == before and conflist.stat().st_nlink == 2
    (place.folder.parent / "other").unlink()
    place("install")
    os.link(conflist, place.folder.parent / "other")
    installed = snapshot(place.folder)
    assert place("uninstall", status=1) == f"ip-masq: an entry may be left: {told}\n"
    assert snapshot(place.folder) == installed


@pytest.mark.parametrize("suffix", ["cilium_bak", "old"])
def test_what_others_put_out_of_force_stays_so(place, suffix):
    """Cilium (cni-exclusive) and multus (--rename-conf-file) rename what is not theirs."""
    place.after = "bridge"
    place.put({"10-crio.conf": CRIO_SINGLE, "20-flannel.conflist": KUBE_FLANNEL})
    single, flannel = place.folder / "10-crio.conf", place.folder / "20-flannel.conflist"
    place("install")
    place.after = "flannel"
    place("install")
    for path in (single.with_suffix(".conflist"), flannel):
        path.rename(f"{path}.{suffix}")
    place.put({"90-cilium.conflist": CILIUM})
    before = snapshot(place.folder)

    def left(path):
        return (f"ip-masq: note: {path}.{suffix} has an entry of ip-masq, and is out of force: it was left; once it is {path} again, "
                '"ip-masq uninstall" takes the entry out\n')

    def kept(path):
        return f"ip-masq: note: {path}.before-ip-masq was left: it is {path} as it was before ip-masq\n"

    told = place("uninstall")
    assert sorted(told.splitlines(True)) == sorted([left(single.with_suffix(".conflist")), left(flannel), kept(single), kept(flannel)])
    assert snapshot(place.folder) == before
    for path in (single.with_suffix(".conflist"), flannel):
        os.rename(f"{path}.{suffix}", path)
    place("uninstall")
    assert {path.name: path.read_text() for path in place.folder.iterdir()} == {
        "10-crio.conf": CRIO_SINGLE, "20-flannel.conflist": KUBE_FLANNEL, "90-cilium.conflist": CILIUM}


@pytest.mark.parametrize("multus, does", [
    (MULTUS, ": multus keeps a copy of a list in it, as it was when multus started, and pods get that one: restart multus' pod of this node"),
    (MULTUS_SHIM, ": multus hands pods on to /host/etc/cni/net.d/10-flannel.conflist"),
    (MULTUS_SHIM.replace("/host/etc/cni/net.d", "/hostFOLDER"), None),
    (MULTUS_SHIM.replace("/host/etc/cni/net.d/10-flannel.conflist", "cbr0"), None),
    # As microk8s' folder of the revision that runs, and as multus' pod sees it.
    (MULTUS_SHIM.replace("/host/etc/cni/net.d", "LINK"), None),
    (MULTUS_SHIM.replace("/host/etc/cni/net.d", "/hostLINK"), None),
], ids=["a copy", "elsewhere", "this file", "this network", "through a link", "through a link, of a container"])
def test_what_multus_hands_pods_on_to_is_told(place, multus, does):
    link = place.folder.parent / "current"
    link.symlink_to("net.d")
    multus = multus.replace("LINK", str(link))
    place.put({"00-multus.conf": multus.replace("FOLDER", str(place.folder)), "10-flannel.conflist": KUBE_FLANNEL})
    first, second = place.folder / "00-multus.conf", place.folder / "10-flannel.conflist"
    note = f"ip-masq: note: {first} is loaded before {second}{does}\n" if does else ""
    assert place("install") == f"put {place.bin}/ip-masq\nput the entry into {second}\n{note}"
    assert place("install") == note


def test_an_entry_in_a_folder_beside_goes_as_well(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL, "cbr0/50-ip-masq.conf": '{"type": "ip-masq", "catchAll": false}'})
    conflist, entry = place.folder / "10-flannel.conflist", place.folder / "cbr0/50-ip-masq.conf"
    place("install")
    assert types(conflist.read_text()) == ["flannel", "portmap"] and '"ipMasq": false' in conflist.read_text()
    installed = snapshot(place.folder)
    place("install")
    assert snapshot(place.folder) == installed
    assert f'removed {entry}: {{"type":"ip-masq","catchAll":false}}\n' in place("uninstall")
    assert not entry.exists()


def test_flannels_plugin_in_a_folder_beside(place):
    place.put({"10-flannel.conflist": '{"cniVersion": "1.0.0", "name": "cbr0"}', "cbr0/10.conf": '{"type": "flannel"}', "cbr0/zz.conf": ENTRY})
    before = snapshot(place.folder)
    assert place("install") == (f"put {place.bin}/ip-masq\nip-masq: note: {place.folder}/cbr0/10.conf: write \"ipMasq\": false into its \"delegate\": "
                                "flannel's plugin lets the bridge masquerade where flanneld does not\n")
    assert snapshot(place.folder) == before


@pytest.mark.parametrize("text, why", [
    (KUBE_FLANNEL.replace("0.3.1", "0.2.0"), '"cniVersion" is "0.2.0": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'),
    (KUBE_FLANNEL.replace('"cniVersion": "0.3.1",', ""), 'it has no "cniVersion": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'),
    (KUBE_FLANNEL.replace("[\n", f"[ {ENTRY},\n", 1), 'the entry of ip-masq comes before "flannel": it belongs behind it, which hands out the address'),
    (KUBE_FLANNEL.replace('"cbr0"', '"c b"'), "\"name\" is \"c b\": expected a letter or digit, then letters, digits, '_', '.' or '-'"),
])
def test_what_no_pod_could_start_with_is_refused(place, text, why):
    place.put({"10-flannel.conflist": text})
    before = snapshot(place.folder)
    assert place("install", status=1) == (f"ip-masq: {place.folder}/10-flannel.conflist: with ip-masq in it no pod would start: {why}\n"
                                          "  put that right first; nothing was changed in it\n")
    assert snapshot(place.folder) == before and not (place.bin / "ip-masq").exists()


def test_ipmasq_goes_whatever_else_was_changed(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    place("install")
    conflist.write_text(conflist.read_text().replace(ENTRY, '{"type": "ip-masq",\n "catchAll": false}').replace('"cbr0"', '"other"'))
    assert place("uninstall") == f'took the entry out of {conflist}: {{"type":"ip-masq","catchAll":false}}\n'
    assert conflist.read_text() == KUBE_FLANNEL.replace('"cbr0"', '"other"')
    assert os.listdir(place.folder) == ["10-flannel.conflist"]


def test_ipmasq_that_was_there_before_is_told(place):
    text = KUBE_FLANNEL.replace('"isDefaultGateway": true', '"ipMasq": false').replace("    }\n  ]", f"    }},\n    {ENTRY}\n  ]")
    place.put({"10-flannel.conflist": text})
    told = place("uninstall")
    assert "took the entry out" in told and 'delegate says "ipMasq": false' in told


def test_a_single_plugin_written_anew_beside_a_changed_list(place):
    place.after = "bridge"
    place.put({"10-crio.conf": CRIO_SINGLE})
    place("install")
    made = place.folder / "10-crio.conflist"
    made.write_text(made.read_text().replace('"crio"', '"mine"'))
    place.put({"10-crio.conf": CRIO_SINGLE.replace("10.85", "10.86")})
    before = snapshot(place.folder)
    assert "bring the two together" in place("install", status=1)
    assert snapshot(place.folder) == before


def test_a_newer_program_stays(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    program = place.bin / "ip-masq"
    program.write_text("...\0ip-masq 99.1.2\n\0...")
    assert re.search(f"{program} was left as it is: .*, and nobody can run it\n  chmod 755 {program}\n", place("install", status=1))
    program.chmod(0o755)
    told = place("install")
    assert re.search(f"note: {program} was left as it is: it is ip-masq 99.1.2, newer than this one, [0-9.]+\n", told)
    assert "99.1.2" in program.read_text()
    assert types((place.folder / "10-flannel.conflist").read_text())[-1] == "ip-masq"


def test_a_file_that_is_mounted_by_itself_is_told(place):
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    conflist = place.folder / "10-flannel.conflist"
    other = place.folder.parent / "other"
    other.write_text(KUBE_FLANNEL)
    subprocess.run(["mount", "--bind", other, conflist], check=True)
    try:
        told = place("install", status=1)
        assert f"cannot replace {conflist}: Device or resource busy\n  the file is mounted by itself (a bind mount)" in told
        assert other.read_text() == KUBE_FLANNEL
    finally:
        subprocess.run(["umount", conflist], check=True)
    place("install")
    place("uninstall")
    assert os.listdir(place.folder) == ["10-flannel.conflist"]
