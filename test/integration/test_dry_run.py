"""What --dry-run of install and uninstall says is what they then do: each file that changes is named, and no other."""

import json
import re
import subprocess

import pytest
from harness.node import BINARY, Namespace, Node
from test_conflist_folders import ENTRY, FOLDERS, KUBE_FLANNEL, Place, snapshot


def everything(place):
    """{path: (what is there, its number)}: a file that another of the same bytes took the place of has changed as well."""
    return {str(folder / name): (found, (folder / name).lstat().st_ino) for folder in (place.folder, place.bin)
            for name, found in snapshot(folder).items() if found[0] is not None}


def changed(before, after):
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def named(output, place):
    """The paths in lines that tell of what would be done."""
    lines = [line for line in output.splitlines() if line.startswith("would have ")]
    return {path.rstrip(",:") for line in lines for path in re.findall(rf"{place.folder.parent}/[^ ]+", line)}


def notes(output):
    return [line for line in output.splitlines() if line.startswith("ip-masq: note: ")]


def same_as_said(place, verb, *options):
    """Calls it, for show first."""
    before = everything(place)
    said = place(verb, *options, "--dry-run")
    assert everything(place) == before, "a dry run changed something"
    done = place(verb, *options)
    # A list may stand as it is where only the single plugin that it was made of was written anew.
    lists = set(re.findall(r"put the entry into ([^ ]+), which stands instead of", said))
    seen = changed(before, everything(place))
    assert seen <= named(said, place) <= seen | lists, f"{verb}: {said}"
    assert notes(said) == notes(done)
    # What it says once it is done was said before.
    told = {line for line in done.splitlines() if not line.startswith("ip-masq: note: ")}
    assert {f"would have {re.sub('^took', 'taken', line)}" for line in told} <= set(said.splitlines())


def leave_unfinished(place):
    """As a call that was killed does."""
    for folder in (place.folder, place.bin):
        (folder / ".ip-masq-new-12345").write_text("half")


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_out_there(tmp_path, name):
    files, after = FOLDERS[name]
    place = Place(tmp_path, after)
    place.put(files)
    uninstall = ["uninstall", "--bin-dir", place.bin, "--state-dir", tmp_path / "state"]
    leave_unfinished(place)
    same_as_said(place, "install")
    leave_unfinished(place)
    same_as_said(place, "install")
    loaded = place.loaded()
    loaded.write_bytes(loaded.read_bytes().replace(ENTRY.encode(), b'{"type": "ip-masq", "catchAll": false}'))
    same_as_said(place, "install")
    place.put({path: text for path, text in files.items() if text is not None})
    same_as_said(place, "install")
    leave_unfinished(place)
    (tmp_path / "bin/ip-masq.before-ip-masq").write_text("somebody's")
    same_as_said(place, *uninstall)
    is_known = "03-half.conflist" not in files  # else nobody can tell whether a list needs ours
    assert ((tmp_path / "bin/ip-masq").read_bytes() == b"somebody's") == is_known
    same_as_said(place, *uninstall)


@pytest.mark.parametrize("kept", [None, "the same", "another"])
def test_somebody_elses_program(tmp_path, kept):
    place = Place(tmp_path)
    place.put({"10-flannel.conflist": KUBE_FLANNEL})
    program = place.bin / "ip-masq"
    program.symlink_to("/gone")
    if kept:
        (place.bin / "ip-masq.before-ip-masq").symlink_to("/gone" if kept == "the same" else "/elsewhere")
    if kept != "another":
        return same_as_said(place, "install")
    before = everything(place)
    assert place("install", "--dry-run", status=1) == place("install", status=1)
    assert everything(place) == before


def test_what_is_half_written_is_told(tmp_path):
    """It may come to have our entry: whether the program is needed is not known then."""
    place = Place(tmp_path)
    place.put({"10-flannel.conflist": KUBE_FLANNEL, "cbr0/50-x.conf": '{"type": "tuning"}'})
    place("install")
    half = place.folder / "10-flannel.conflist"
    half.write_text(half.read_text()[:-20])
    before = everything(place)
    for options in ["--dry-run"], []:
        said = place("uninstall", "--bin-dir", place.bin, "--state-dir", tmp_path / "state", *options)
        assert f"ip-masq: note: {half}: " in said and "it was left; where it is half-written" in said
        assert f"ip-masq: note: could not look whether another list asks for {place.bin}/ip-masq, which stays: {half}: " in said
    assert everything(place) == before


def test_rules_and_records(tmp_path, backend):
    node = Node(tmp_path, backend)
    try:
        before = node.save()
        node.add("pod-1", ips=["10.244.1.5/24"])
        node.add("pod-2", name="other", ips=["10.3.0.5/24"])
        with_pods = node.save()
        (tmp_path / "net.d").mkdir()
        (tmp_path / "bin").mkdir()
        argv = ["uninstall", "--rules", "--conf-dir", tmp_path / "net.d", "--bin-dir", tmp_path / "bin"]
        records = node.files()
        said = node.tool(*argv, "--dry-run")
        assert (node.save(), node.files()) == (with_pods, records)
        lines = said.splitlines()
        for network in "cbr0", "other":
            assert f"would have removed the records of network {network}: 1 attachment" in lines
        rules = [line.removeprefix("would have removed ") for line in lines if "the records of" not in line]
        node.tool("uninstall", "--rules=false", *argv[2:])
        assert (node.save(), node.files()) == (with_pods, records)
        shown = json.loads(node.tool("show", "-o", "json"))
        assert sorted(rules) == sorted(rule["rule"] for rule in shown["rules"])
        node.tool(*argv)
        assert node.save() == before == node.expected()
        assert node.tool(*argv, "--dry-run") == ""
    finally:
        node.close()


def test_the_copy_that_the_agent_made(host):
    """And pods that an install would adopt."""
    host.write("/etc/cni/net.d/10-test.conflist", json.dumps({"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [
        {"type": "bridge", "isGateway": True, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}]]}}]}))
    host.write("/etc/config/.ip-masq-agent", "catchAll: false\n")
    host.run("ln", "-s", ".ip-masq-agent", "/etc/config/ip-masq-agent")
    files = ["/etc/config/ip-masq-agent", "/etc/config/.ip-masq-agent"]
    folders = ["--conf-dir", "/etc/cni/net.d", "--bin-dir", host.bin]
    pod = Namespace("pod")
    try:
        host.cnitool("add", "bridge-net", pod)
        said = host.tool("install", *folders, "--after", "bridge", "--dry-run").splitlines()
        would = [line.removeprefix("would adopt ") for line in said if line.startswith("would adopt ")]
        assert len(would) == 1 and would[0].startswith("bridge-net: 10.22.0.2/24 (")
        host.run("sh", "-ec", "echo '{' > /var/lib/cni/results/bridge-net-other-eth0")  # of whose pod nobody can tell
        wrong = [subprocess.run(host.inside(BINARY, "install", *folders, "--after", "bridge", *options), capture_output=True, text=True, env=host.env)
                 for options in (["--dry-run"], [])]
        assert [each.returncode for each in wrong] == [1, 1] and wrong[0].stderr == wrong[1].stderr != ""
        assert wrong[0].stdout.splitlines()[-1] == f"would adopt {would[0]}"
        host.run("rm", "-r", "/var/lib/cni/results/bridge-net-other-eth0", "/run/cni/ip-masq")
        host.tool("uninstall", "--rules", *folders)
        host.run("sh", "-ec", "echo 'catchAll: false' > /etc/config/.ip-masq-agent; ln -s .ip-masq-agent /etc/config/ip-masq-agent")
        assert f"adopted {would[0]}" in host.tool("install", *folders, "--after", "bridge").splitlines()
        host.run("mkdir", "/run/cni/other")
        host.tool("uninstall", "--conf-dir", "/run/cni/other")  # of another node, perhaps
        said = host.tool("uninstall", *folders, "--dry-run").splitlines()
        assert [line for line in said if "/etc/config" in line] == [f"would have removed {path}" for path in files]
        assert host.run("ls", "-A", "/etc/config").split() == [".ip-masq-agent", "ip-masq-agent"]
        host.tool("uninstall", *folders)
        assert host.run("ls", "-A", "/etc/config") == ""
    finally:
        pod.close()
