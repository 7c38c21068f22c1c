"""ip-masq install and uninstall: the binary, and the entry in a conflist that a runtime may read at any time."""

import json
import os
import random
import re
import subprocess
import threading

import pytest
from harness.node import BINARY, ROOT, Node, put_plugins

FLANNEL = {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
    {"type": "portmap", "capabilities": {"portMappings": True}}], "zz": {"b": 1, "a": [2, 1]}}
INSTALLED = {**FLANNEL, "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True, "ipMasq": False}},
    FLANNEL["plugins"][1], {"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": True}}]}


@pytest.fixture
def place(tmp_path):
    """A conflist folder; the folder of plugins comes with the first conflist."""
    (tmp_path / "net.d").mkdir()
    return tmp_path


def run(place, *argv, check=True):
    done = subprocess.run([BINARY, *argv, "--conf-dir", place / "net.d", *(["--bin-dir", place / "bin"] if argv[0] == "install" else [])],
                          capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
        return done.stdout
    return done.returncode, done.stdout, done.stderr


def put(place, name, config):
    path = place / "net.d" / name
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    put_plugins(place / "bin", path.read_text())
    return path


@pytest.mark.parametrize("single", [False, True])
def test_flannels_own_subnet_file(place, single):
    """As microk8s' flannel has it: canonical/microk8s#935. Else pods of other nodes would be masqueraded where no list has them."""
    path = "/var/snap/microk8s/common/run/flannel/subnet.env"
    flannel = {**FLANNEL["plugins"][0], "subnetFile": path}
    network = {"name": "cbr0", "cniVersion": "0.3.1", **(flannel if single else {"plugins": [flannel]})}
    file = put(place, "10-flannel.conf" if single else "10-flannel.conflist", network)
    before, conflist = file.read_bytes(), place / "net.d/10-flannel.conflist"
    run(place, "install")
    plugins = json.loads(conflist.read_text())["plugins"]
    assert plugins[-1] == {**INSTALLED["plugins"][-1], "subnetFile": path}
    assert not [name for name in names(place) if "entry" in name]
    conflist.write_text(json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [flannel, {"type": "ip-masq"}]}))
    assert run(place, "install", check=False)[2] == (
        f"ip-masq: note: {conflist}: flannel's plugin reads its networks from {path}, ip-masq's entry does not: "
        f'write "subnetFile": "{path}" into the entry\n')
    if not single:
        conflist.write_bytes(before)
        run(place, "install")
        run(place, "uninstall")
        assert file.read_bytes() == before


def capabilities_of_the_manifest():
    """Of each container that writes into the node's folders, as setpriv takes them."""
    lists = re.findall(r"add: \[(.*DAC_OVERRIDE.*)\]", (ROOT / "conf/kubernetes/ip-masq.yaml").read_text())
    assert len(lists) == 2
    return ["-all," + ",".join("+" + name.strip().lower() for name in names.split(",")) for names in lists]


@pytest.mark.parametrize("capabilities", capabilities_of_the_manifest())
def test_folders_of_another_user(place, capabilities):
    """As kubespray makes them, by a container as the manifest has it."""
    conflist = put(place, "10-flannel.conflist", FLANNEL)
    before = conflist.read_bytes()
    for path in place / "net.d", place / "bin", conflist:
        os.chown(path, 997, 996)
    argv = ["setpriv", f"--bounding-set={capabilities}", "--inh-caps=-all", BINARY]
    folders = ["--conf-dir", place / "net.d", "--bin-dir", place / "bin"]
    subprocess.run([*argv, "install", *folders], check=True)
    assert same(json.loads(conflist.read_text()), INSTALLED)
    assert (conflist.stat().st_uid, conflist.stat().st_gid) == (997, 996)
    subprocess.run([*argv, "uninstall", *folders], check=True)
    assert conflist.read_bytes() == before and (conflist.stat().st_uid, conflist.stat().st_gid) == (997, 996)


def names(place):
    return sorted(path.name for path in (place / "net.d").iterdir())


def same(left, right):
    """Order of keys included."""
    return json.dumps(left) == json.dumps(right)


def test_install_and_uninstall(place):
    text = json.dumps(FLANNEL, indent=1)
    conflist = put(place, "10-flannel.conflist", text)
    conflist.chmod(0o640)
    put(place, "05-other.conflist", {"name": "o", "plugins": [{"type": "bridge"}]})
    assert run(place, "install") == f"put {place}/bin/ip-masq\nput the entry into {conflist}\n"
    assert same(json.loads(conflist.read_text()), INSTALLED)
    assert conflist.stat().st_mode & 0o777 == 0o640
    program = place / "bin/ip-masq"
    assert program.read_bytes() == BINARY.read_bytes() and program.stat().st_mode & 0o777 == 0o755
    assert names(place) == ["05-other.conflist", "10-flannel.conflist", "10-flannel.conflist.before-ip-masq"]

    before = conflist.stat()
    assert run(place, "install") == ""
    assert conflist.stat().st_ino == before.st_ino, "an install that changes nothing writes nothing"

    assert run(place, "uninstall") == f"put {conflist} back\n"
    assert conflist.read_text() == text
    assert names(place) == ["05-other.conflist", "10-flannel.conflist"]
    assert run(place, "uninstall") == ""
    assert program.exists(), "pods that are there need it for their DEL"


def without_capabilities(conflist):
    """As an earlier version would have left it."""
    text = conflist.read_text()
    earlier = text.replace(', "capabilities": {"io.kubernetes.cri.pod-annotations": true}', "")
    assert earlier != text
    return earlier


@pytest.mark.parametrize("subnet_file", [{}, {"subnetFile": "/run/other.env"}])
def test_an_entry_of_an_earlier_install_asks_for_annotations(place, subnet_file):
    before = json.dumps({**FLANNEL, "plugins": [{**FLANNEL["plugins"][0], **subnet_file}]})
    conflist = put(place, "10-flannel.conflist", before)
    run(place, "install")
    installed = conflist.read_text()
    conflist.write_text(without_capabilities(conflist))
    assert run(place, "install") == f"had the entry in {conflist} ask for pods' annotations\n"
    assert conflist.read_text() == installed
    assert run(place, "install") == ""
    assert run(place, "uninstall").startswith(f"put {conflist} back")
    assert conflist.read_text() == before


def test_an_entry_of_somebody_s_stays_as_it_is(place):
    conflist = put(place, "10-flannel.conflist", FLANNEL)
    run(place, "install")
    earlier = without_capabilities(conflist)
    for change in (('"ip-masq"}', '"ip-masq", "catchAll": true}'), ('"ip-masq"}', '"ip-masq", "capabilities": {}}'), ('{"type": "ip-masq"}', '{"type":"ip-masq"}')):
        theirs = earlier.replace(*change)
        assert theirs != earlier
        conflist.write_text(theirs)
        run(place, "install")
        assert conflist.read_text() == theirs
    conflist.write_text(earlier)
    os.link(conflist, place / "another")  # whose owner would be left with the old one
    assert run(place, "install") == ""
    os.unlink(place / "another")
    (place / "net.d/10-flannel.conflist.before-ip-masq").unlink()  # nothing says that install was here
    assert run(place, "install") == ""
    assert conflist.read_text() == earlier


def test_a_newer_program_takes_the_place_of_the_old_one(place):
    put(place, "10-flannel.conflist", FLANNEL)
    run(place, "install")
    (place / "bin/ip-masq").write_bytes(b"\0ip-masq 0.0.1\n\0")
    assert run(place, "install") == f"put {place}/bin/ip-masq\n"
    assert (place / "bin/ip-masq").read_bytes() == BINARY.read_bytes()
    assert sorted(os.listdir(place / "bin")) == ["flannel", "ip-masq", "portmap"]


def test_a_program_that_nobody_can_run_is_put_anew(place):
    put(place, "10-flannel.conflist", FLANNEL)
    run(place, "install")
    (place / "bin/ip-masq").chmod(0o644)
    assert run(place, "install") == f"put {place}/bin/ip-masq\n"
    assert (place / "bin/ip-masq").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_left_of_a_program_is_nobodys(place, is_link):
    """Empty, zeros or cut off, as after the power went: replaced each time, and never kept nor put back."""
    put(place, "10-flannel.conflist", FLANNEL)
    program, real, kept = place / "bin/ip-masq", place / ("real" if is_link else "bin/ip-masq"), place / "bin/ip-masq.before-ip-masq"
    whole = BINARY.read_bytes()
    if is_link:
        real.write_bytes(whole)
        real.chmod(0o755)
        program.symlink_to("../real")
    run(place, "install")
    for left in (b"", whole[:30], whole[:100000], whole[:-1000000], bytes(5000), b""):
        real.write_bytes(left)
        assert run(place, "install", "--dry-run") == f"would have put {program}\n"
        assert run(place, "install") == f"put {program}\n"
        assert real.read_bytes() == whole and program.is_symlink() == is_link and not kept.exists()
    kept.write_bytes(b"")  # by an older ip-masq
    assert run(place, "install") == ""
    status, output, errors = run(place, "uninstall", "--state-dir", place / "state", "--bin-dir", place / "bin", check=False)
    assert (status, output) == (0, f"put {place}/net.d/10-flannel.conflist back\n")
    assert f"ip-masq: note: {kept} was left: it is empty or cut off\n" in errors
    assert real.read_bytes() == whole


@pytest.mark.parametrize("is_link", [False, True])
def test_somebody_elses_program_is_kept(place, is_link):
    """What a link leads to stays as it is; an older one of ours behind a link is replaced there."""
    put(place, "10-flannel.conflist", FLANNEL)
    program, kept, other = place / "bin/ip-masq", place / "bin/ip-masq.before-ip-masq", place / "other"
    other.write_text("#!/bin/sh\nexec nice /usr/local/sbin/ip-masq\n")
    other.chmod(0o4755)
    program.symlink_to("../other") if is_link else other.rename(program)
    assert run(place, "install").startswith(f"kept {program}, which is not ip-masq's, as {kept}\nput {program}\n")
    assert run(place, "install") == ""
    assert program.read_bytes() == BINARY.read_bytes() and not program.is_symlink()
    assert kept.is_symlink() == is_link and kept.read_text().startswith("#!/bin/sh") and kept.stat().st_mode & 0o7777 == 0o4755
    assert run(place, "uninstall", "--state-dir", place / "state", "--bin-dir", place / "bin").endswith(f"put {program} back, as {kept} has it\n")
    assert not kept.is_symlink() and not kept.exists()
    assert program.is_symlink() == is_link and program.read_text().startswith("#!/bin/sh") and program.stat().st_mode & 0o7777 == 0o4755
    run(place, "install")
    program.write_text("something else again")
    assert run(place, "install", check=False) == (
        1, "", f"ip-masq: {program} is not ip-masq's, and there is a {kept} already\n  move one of them away\n")
    program.unlink()
    program.symlink_to("../ours")
    (place / "ours").write_bytes(b"\0ip-masq 0.0.1\n\0")
    assert run(place, "install") == f"put {program}\n"
    assert (place / "ours").read_bytes() == BINARY.read_bytes() and program.is_symlink()


def test_a_link_that_leads_nowhere_is_kept(place):
    """As one of a package that is gone."""
    put(place, "10-flannel.conflist", FLANNEL)
    program, kept = place / "bin/ip-masq", place / "bin/ip-masq.before-ip-masq"
    program.symlink_to("/gone/ip-masq")
    told = f"kept {program}, which is not ip-masq's, as {kept}\nput {program}\n"
    assert run(place, "install", "--dry-run").startswith(f"would have {told}".replace("\nput", "\nwould have put"))
    assert os.readlink(program) == "/gone/ip-masq" and not os.path.lexists(kept)
    assert run(place, "install").startswith(told)
    assert program.read_bytes() == BINARY.read_bytes() and not program.is_symlink() and os.readlink(kept) == "/gone/ip-masq"
    program.unlink()
    program.symlink_to("/gone/ip-masq")
    assert run(place, "install") == f"put {program}\n"
    program.unlink()
    program.symlink_to("/gone/other")
    assert run(place, "install", check=False) == (
        1, "", f"ip-masq: {program} is not ip-masq's, and there is a {kept} already\n  move one of them away\n")
    program.unlink()
    run(place, "install")
    assert run(place, "uninstall", "--state-dir", place / "state", "--bin-dir", place / "bin").endswith(f"put {program} back, as {kept} has it\n")
    assert os.readlink(program) == "/gone/ip-masq" and not os.path.lexists(kept)


@pytest.mark.parametrize("delegate, expected", [
    ({"ipMasq": True}, {"ipMasq": True}), ({"ipMasq": False}, {"ipMasq": False}), ({}, {"ipMasq": False}), (None, {"ipMasq": False})])
def test_flannels_delegate(place, delegate, expected):
    plugin = {"type": "flannel", **({} if delegate is None else {"delegate": delegate})}
    conflist = put(place, "10-flannel.conflist", {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [plugin]})
    run(place, "install")
    assert json.loads(conflist.read_text())["plugins"] == [{"type": "flannel", "delegate": expected}, INSTALLED["plugins"][-1]]


def test_an_entry_that_is_there_keeps_its_keys_and_place(place):
    config = {**INSTALLED, "plugins": [INSTALLED["plugins"][0], {"type": "ip-masq", "catchAll": False}, INSTALLED["plugins"][1]]}
    conflist = put(place, "10-flannel.conflist", config)
    assert run(place, "install") == f"put {place}/bin/ip-masq\n"
    assert same(json.loads(conflist.read_text()), config)


def test_a_single_plugin_becomes_a_list(place):
    config = {"cniVersion": "0.4.0", "name": "plain", "type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}
    path = put(place, "10-plain.conf", config)
    run(place, "install", "--after", "bridge")
    assert names(place) == ["10-plain.conf.before-ip-masq", "10-plain.conflist"]
    assert same(json.loads((place / "net.d/10-plain.conflist").read_text()), {
        "cniVersion": "0.4.0", "name": "plain",
        "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}, INSTALLED["plugins"][-1]]})
    assert run(place, "install", "--after", "bridge") == ""
    assert run(place, "uninstall") == f"put {path} back\n"
    assert names(place) == ["10-plain.conf"]
    assert json.loads(path.read_text()) == config


def test_uninstall_keeps_what_was_written_since(place):
    conflist = put(place, "10-flannel.conflist", FLANNEL)
    run(place, "install")
    changed = json.loads(conflist.read_text())
    changed["plugins"].insert(1, {"type": "bandwidth"})
    put(place, "10-flannel.conflist", changed)
    assert run(place, "uninstall") == f"took the entry out of {conflist}\n"
    changed["plugins"].pop()
    del changed["plugins"][0]["delegate"]["ipMasq"]
    assert conflist.read_text() == json.dumps(changed)
    assert names(place) == ["10-flannel.conflist"]


@pytest.mark.parametrize("config, why", [
    (None, None), ("{", "it is not JSON: it goes wrong at byte 2"), ("[]", "it is []: expected an object"),
    ('{"name": "x", "plugins": "none"}', '"plugins" is "none": expected an array'), ({"name": "x", "plugins": [{"type": "bridge"}]}, None)])
def test_where_there_is_nothing_to_stand_behind(place, config, why):
    if config is not None:
        path = put(place, "10-x.conflist", config)
        before = path.read_text()
    status, output, errors = run(place, "install", check=False)
    assert (status, output) == (1, "")
    assert errors == (f'ip-masq: no conflist in {place}/net.d has a plugin of type "flannel"\n'
                      "  install that plugin first, or name another with --after\n" + (f"  {place}/net.d/10-x.conflist: {why}\n" if why else ""))
    assert config is None or path.read_text() == before
    assert not (place / "bin/ip-masq").exists()


def test_folders_that_are_not_there_or_cannot_be_written(place):
    assert run(place / "nowhere", "install", check=False)[2].startswith(
        f"ip-masq: cannot read the folder {place}/nowhere/net.d: No such file")
    conflist = put(place, "10-flannel.conflist", FLANNEL)
    subprocess.run(["mount", "--bind", "-o", "ro", place / "bin", place / "bin"], check=True)
    try:
        status, _, errors = run(place, "install", check=False)
    finally:
        subprocess.run(["umount", place / "bin"], check=True)
    assert status == 1 and re.fullmatch(rf'ip-masq: cannot create {place}/bin/\.ip-masq-new-\d+: Read-only file system\n  "findmnt -T {place}/bin" tells '
                                       "what is mounted read-only there\n", errors)
    assert same(json.loads(conflist.read_text()), FLANNEL)


def test_a_full_disk_leaves_the_conflist(place):
    folder = place / "net.d"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "small", folder], check=True)
    try:
        conflist = put(place, "10-flannel.conflist", FLANNEL)
        status, _, errors = run(place, "install", check=False)
        assert (status, errors) == (1, f"ip-masq: cannot write {conflist}.before-ip-masq: No space left on device\n"
                                       f'  "df -h {folder}" tells of the room there, "df -i {folder}" of how many files there may be\n')
        assert same(json.loads(conflist.read_text()), FLANNEL)
        assert names(place) == ["10-flannel.conflist"]
    finally:
        subprocess.run(["umount", folder], check=True)


def test_no_reader_ever_sees_half_a_conflist(place):
    """Installs and uninstalls, killed at any moment, beside a runtime that reads all the time."""
    conflist = put(place, "10-flannel.conflist", FLANNEL)
    stop = threading.Event()
    odd = []

    def read():
        while not stop.is_set():
            text = conflist.read_text()
            try:
                types = [plugin["type"] for plugin in json.loads(text)["plugins"]]
            except ValueError:
                types = text
            if types not in (["flannel", "portmap"], ["flannel", "portmap", "ip-masq"]):
                odd.append(types)

    reader = threading.Thread(target=read)
    reader.start()
    dice = random.Random(5)
    for number in range(120):
        process = subprocess.Popen([BINARY, "install" if number % 2 == 0 else "uninstall", "--conf-dir", place / "net.d",
                                    "--bin-dir", place / "bin"], stdout=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0, 0.008))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    run(place, "install")
    stop.set()
    reader.join()
    assert odd == []
    assert same(json.loads(conflist.read_text()), INSTALLED)


def test_rules_go_with_uninstall_where_that_is_asked_for(tmp_path, backend):
    node = Node(tmp_path, backend)
    try:
        before = node.save()
        node.add("pod-1", ips=["10.244.1.5/24"])
        node.add("pod-2", name="other", ips=["10.3.0.5/24"])
        node.record("broken").write_text("{")
        (tmp_path / "net.d").mkdir()
        assert node.tool_status("uninstall", "--conf-dir", tmp_path / "net.d", "--state-dir", node.state) == (
            0, "", "ip-masq: note: rules of 2 recorded pods stay for them; most runtimes send no DEL without the entry: once these pods are gone, "
            '"ip-masq uninstall --rules" takes what is left away\n')
        assert node.save() != before
        (tmp_path / "bin").mkdir()
        program, kept = tmp_path / "bin/ip-masq", tmp_path / "bin/ip-masq.before-ip-masq"
        program.write_bytes(BINARY.read_bytes())
        kept.write_text("somebody's")
        where = "--conf-dir", tmp_path / "net.d", "--bin-dir", tmp_path / "bin"
        assert node.tool("uninstall", *where) == "" and kept.exists(), "pods that are recorded need ours for their DEL"
        node.tool("uninstall", "--rules", *where)
        assert program.read_text() == "somebody's" and not kept.exists()
        assert node.save() == before == node.expected()
        assert list(node.files()) == ["lock"]
        assert node.call("DEL", "pod-1").error is None
    finally:
        node.close()


def test_the_shipped_conflists_are_as_installed(place):
    for name in ("10-flannel-ip-masq.conflist", "10-bridge-ip-masq.conflist"):
        put(place, name, (ROOT / "conf" / name).read_text())
    assert run(place, "install") == f"put {place}/bin/ip-masq\n"
    assert run(place, "install", "--after", "bridge") == ""


@pytest.fixture
def waiting(place):
    """An install that waits for a conflist."""
    process = subprocess.Popen([BINARY, "install", "--wait", "--conf-dir", place / "net.d", "--bin-dir", place / "bin"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f'no conflist in {place}/net.d has a plugin of type "flannel": waiting for it\n'
    yield process
    process.kill()
    process.communicate()


def test_install_waits_for_the_conflist(place, waiting):
    put(place, "05-other.conflist", {"name": "o", "plugins": [{"type": "bridge"}]})
    put_plugins(place / "bin", json.dumps(FLANNEL))
    conflist = put(place, "10-flannel.conflist", "{")
    conflist.write_text(json.dumps(FLANNEL))
    assert waiting.communicate() == (
        f"put {place}/bin/ip-masq\nput the entry into {conflist}\n",
        f"ip-masq: note: {place}/net.d/05-other.conflist is loaded before {conflist}: pods get that network, unless the runtime is told otherwise\n")
    assert waiting.returncode == 0
    assert same(json.loads(conflist.read_text()), INSTALLED)


def test_an_install_that_waits_can_be_ended(place, waiting):
    waiting.terminate()
    assert waiting.communicate() == ("", f'ip-masq: no conflist in {place}/net.d has a plugin of type "flannel"\n')
    assert waiting.returncode == 1
    assert not (place / "bin").exists()
