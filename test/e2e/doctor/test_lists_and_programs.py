"""The lists of the folder and the programs that they ask for: where libcni says no, doctor says why."""

import json
import os
import subprocess

import pytest
from harness.doctor import EMPTY, LOOPBACK, PLAIN, carry_out, conflist, doctor, findings
from harness.host import ROOT, TOOLS
from harness.node import BINARY

LIST = "/etc/cni/net.d/10-test.conflist"
FAILS = "an ADD fails: no pod starts, and none can be ended"


def said(host, *argv):
    """{name: (weight, what was found)}"""
    return {name: (each["weight"], each["where"]) for name, each in findings(host, *argv).items()}


def add(host, pod):
    """What libcni says to a pod that is to start, and is not started."""
    done = subprocess.run(host.inside(TOOLS / "cnitool", "add", "plain", pod.path), capture_output=True, text=True, env={**os.environ, **host.env})
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.fixture
def plain(host):
    host.use_conflist(conflist())
    assert findings(host) == {}
    return host


# ---- lists

@pytest.mark.parametrize("text, reason", [
    ("\ufeff" + json.dumps(conflist()), "it begins with a byte order mark"),
    (json.dumps(conflist())[:90], "it is not JSON: it goes wrong at byte 91"),
    ("", "it is not JSON: it goes wrong at byte 1"),
    (json.dumps({key: value for key, value in conflist().items() if key != "name"}), 'it has no "name"'),
    (json.dumps({**conflist(), "cniVersion": 0.3}), '"cniVersion" is 0.3: expected a string'),
    (json.dumps({**conflist(), "plugins": []}), '"plugins" is empty'),
], ids=["byte order mark", "cut off", "empty", "no name", "version", "no plugins"])
def test_the_only_list_is_refused(plain, pod, text, reason):
    plain.tool("uninstall")
    plain.use_conflist(PLAIN)
    plain.tool("install", "--after", "bridge")
    plain.write(LIST, text)
    plain.run("rm", "/etc/cni/net.d/200-loopback.conflist")
    found = findings(plain)
    assert found == {"no-list-loads": {
        "name": "no-list-loads", "weight": "hurts", "does": "the runtime has no network: no pod starts, and none can be ended",
        "where": [f"{LIST}: {reason}"],
        "fix": ["# mend the file where it says so; ip-masq install --dry-run tells whether a pod could start then",
                f"# what it was before ip-masq install stands in {LIST}.before-ip-masq"]}}
    assert add(plain, pod)
    carry_out(plain, *found.values())
    plain.run("cp", f"{LIST}.before-ip-masq", LIST)
    plain.tool("install", "--after", "bridge")
    assert findings(plain) == {}


def test_a_list_that_is_beyond_what_is_read(host):
    """Whether it is loaded nobody can say."""
    host.run("rm", "/etc/cni/net.d/200-loopback.conflist")
    host.write(LIST, json.dumps(conflist()) + " " * (1 << 20))
    status, told = doctor(host)
    assert (status, told["findings"]) == (3, [])
    assert told["notLooked"] == [f"whether the runtime loads {LIST}: it is larger than 1 MiB"]


def test_no_list_and_no_runtime(host):
    host.run("rm", "/etc/cni/net.d/200-loopback.conflist")
    for argv, why in (("--flavour", "auto"), EMPTY), ((), "for the list that pods get: there is none in /etc/cni/net.d"):
        status, told = doctor(host, *argv)
        assert (status, told["findings"], told["notLooked"]) == (3, [], [why])


def test_the_only_list_is_gone(plain, pod):
    """What install left in the folder shows that it is the one."""
    plain.tool("uninstall")
    plain.use_conflist(PLAIN)
    plain.tool("install", "--after", "bridge")
    plain.run("rm", LIST, "/etc/cni/net.d/200-loopback.conflist")
    assert said(plain) == {"no-list-loads": ("hurts", [
        "no list is in /etc/cni/net.d", f"{LIST}.before-ip-masq is of ip-masq install: the list that it was made beside is gone"])}
    assert add(plain, pod)


def test_podmans_list_comes_first(plain):
    """containerd and CRI-O take the first, whatever its name is."""
    plain.write("/etc/cni/net.d/01-podman.conflist", json.dumps({**PLAIN, "name": "podman"}))
    found = findings(plain)
    assert said(plain) == {"entry-missing": ("hurts", [
        "/etc/cni/net.d/01-podman.conflist is what the runtime loads, and has no entry of ip-masq", f"{LIST} has one, and comes later"])}
    carry_out(plain, found["entry-missing"])
    assert findings(plain) == {}


def test_a_list_that_was_written_anew_before_any_pod(host):
    """As k3s does at each start; after a reboot there are no records."""
    host.use_conflist(PLAIN)
    assert findings(host) == {}  # nobody said that it is to be there
    host.tool("install", "--after", "bridge")
    host.use_conflist(PLAIN)
    assert said(host) == {"entry-missing": ("hurts", [
        f"{LIST} is what the runtime loads, and has no entry of ip-masq",
        f"{LIST}.before-ip-masq is of ip-masq install: the file was written anew since"])}
    carry_out(host, *findings(host).values())
    assert findings(host) == {}
    host.tool("uninstall")
    host.use_conflist(PLAIN)
    assert findings(host) == {}


def test_a_list_of_nobody_and_no_runtime(host):
    """Where pods get theirs is not known: they may have another, without the entry."""
    for conf in PLAIN, LOOPBACK:
        host.use_conflist(conf)
        status, told = doctor(host, "--flavour", "auto")
        assert (status, told["findings"], told["notLooked"]) == (3, [], [
            "for the list that pods get: no runtime's configuration is found, and of those in /etc/cni/net.d none is flannel's, or of a "
            "network of ip-masq; --conf-dir DIR or --flavour say where it is"])
        assert findings(host) == {}


def test_flannels_list_without_our_entry(host):
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    conf["plugins"] = [plugin for plugin in conf["plugins"] if plugin["type"] != "ip-masq"]
    host.use_conflist(conf)
    loads = f"{LIST} is what the runtime loads, and has no entry of ip-masq"
    assert said(host) == {"entry-missing": ("hurts", [loads, "/opt/cni/bin/ip-masq is there, and no list asks for it"])}
    host.run("sh", "-ec", "mkdir /run/cni/other; cp /opt/cni/bin/* /run/cni/other; rm /run/cni/other/ip-masq")
    # Where the program never was it is not known that anybody wants it.
    assert said(host, "--bin-dir", "/run/cni/other") == {"entry-missing": ("note", [loads])}
    carry_out(host, findings(host)["entry-missing"])
    assert findings(host) == {}


# ---- programs

def test_the_program_is_missing(plain):
    plain.run("rm", "/opt/cni/bin/ip-masq")
    (found,) = json.loads(plain.run(BINARY, "doctor", "-o", "json", check=False))["findings"]
    assert (found["name"], found["weight"], found["where"]) == ("program-missing", "hurts", [f"no program /opt/cni/bin/ip-masq, which {LIST} asks for"])
    plain.run("sh", "-ec", found["fix"][0].replace("ip-masq", str(BINARY), 1))
    assert findings(plain) == {}


def test_a_folder_that_is_named_is_the_one(plain):
    """Links in it lead where a container does not see it, as those of k3s: of these it could not look."""
    plain.run("sh", "-ec", "mkdir /run/cni/named; for each in bridge host-local; do ln -s /nowhere/$each /run/cni/named; done")

    def not_seen(*names):
        return [f"whether /run/cni/named/{each} can be run: it is a link to /nowhere/{each}, which is not there, or not seen here" for each in names]

    status, told = doctor(plain, "--bin-dir", "/run/cni/named")
    finding, = told["findings"]
    assert (status, finding["name"], finding["weight"], finding["where"], told["notLooked"]) == (
        1, "program-missing", "hurts", [f"no program /run/cni/named/ip-masq, which {LIST} asks for"], not_seen("bridge", "host-local"))
    carry_out(plain, finding)
    status, told = doctor(plain, "--bin-dir", "/run/cni/named")
    assert (status, told["findings"], told["notLooked"]) == (3, [], not_seen("bridge", "host-local"))
    plain.run("ln", "-sf", "/nowhere/ip-masq", "/run/cni/named/ip-masq")
    status, told = doctor(plain, "--bin-dir", "/run/cni/named")
    assert (status, told["findings"], told["notLooked"]) == (3, [], not_seen("bridge", "host-local", "ip-masq"))
    plain.run("sh", "-ec", "cd /run/cni/named; rm *; mkdir ip-masq; cp /opt/cni/bin/bridge /opt/cni/bin/host-local .")
    found = findings(plain, "--bin-dir", "/run/cni/named")
    assert found["program-missing"]["where"] == [f"no program /run/cni/named/ip-masq, which {LIST} asks for: /run/cni/named/ip-masq is a folder"]
    carry_out(plain, *found.values())
    assert findings(plain, "--bin-dir", "/run/cni/named") == {}
    assert plain.run("ls", "/run/cni/named").split() == ["bridge", "host-local", "ip-masq", "ip-masq.moved"]


def test_a_folder_that_is_named_and_has_nothing(plain):
    assert {name: (each["where"], each["fix"][0]) for name, each in findings(plain, "--bin-dir", "/nowhere").items()} == {
        "program-missing": ([f"no program /nowhere/ip-masq, which {LIST} asks for"],
                            "# see first where the runtime looks for plugins: none of the list's others is in /nowhere"),
        "plugin-missing": ([f"no program /nowhere/{each}, which {LIST} asks for" for each in ("bridge", "host-local")],
                           "# have their owners put them there: flannel's own pod brings flannel, the package or the release of "
                           "containernetworking's plugins brings bridge, host-local and portmap")}


def test_folders_of_plugins_that_others_use(plain):
    """The runtime of k3s looks in a folder of its own; Debian's has plugins of the same names."""
    other = "/usr/lib/cni"
    plain.run("sh", "-ec", f"cp /opt/cni/bin/bridge /opt/cni/bin/host-local {other}")
    where = [f"no program {other}/ip-masq, which {LIST} asks for"]
    assert said(plain) == {"program-missing": ("note", where)}
    plain.run("sh", "-ec", "rm /opt/cni/bin/bridge")  # ours alone is there
    assert said(plain) == {"program-missing": ("hurts", where)}


@pytest.mark.parametrize("program", ["bridge", "host-local"])
def test_another_plugin_is_missing(plain, pod, program):
    """Of the list, or one that a plugin of it calls."""
    plain.run("rm", f"/opt/cni/bin/{program}")
    assert said(plain) == {"plugin-missing": ("hurts", [f"no program /opt/cni/bin/{program}, which {LIST} asks for"])}
    assert f'failed to find plugin "{program}"' in add(plain, pod)


def test_no_folder_has_any_program(plain):
    plain.run("sh", "-ec", "rm /opt/cni/bin/*")
    told = json.loads(plain.tool("doctor", "-o", "json", check=False))
    assert (told["node"], told["findings"]) == ("not known", [])
    assert told["notLooked"] == [
        f"for the programs that {LIST} asks for: it is not known where the runtime looks for plugins, and none of the usual folders has "
        "any of them; --bin-dir DIR says where"]


@pytest.mark.parametrize("how, trouble", [
    (": >$1", "is empty"),
    ("chmod 644 $1", "has a mode that lets nobody run it"),
    ("head -c 5000 $1 >$1.new; cat $1.new >$1; rm $1.new", "is cut off: it has 5000 bytes of at least "),
    ("echo hello >$1", "is no program: neither ELF nor a script with #!"),
    (r"printf '\363\000' | dd of=$1 bs=1 seek=18 conv=notrunc status=none", "is of another machine: ELF's number of it is 243, and "),
], ids=["empty", "mode", "cut off", "text", "machine"])
@pytest.mark.parametrize("program", ["ip-masq", "bridge"])
def test_a_program_that_cannot_be_run(plain, pod, program, how, trouble):
    path = f"/opt/cni/bin/{program}"
    plain.run("sh", "-ec", how, "sh", path)
    (found,) = json.loads(plain.run(BINARY, "doctor", "-o", "json", check=False))["findings"]
    assert (found["name"], found["weight"], found["does"]) == ("program-cannot-run", "hurts", FAILS)
    (where,) = found["where"]
    assert where.startswith(f"{path} {trouble}") and where.endswith(f", and {LIST} asks for it")
    assert add(plain, pod)
    assert found["fix"] == ["ip-masq install --conf-dir /etc/cni/net.d --after bridge --bin-dir /opt/cni/bin" if program == "ip-masq"
                            else f"# have its owner put it there anew: {path}"]
    if program == "ip-masq":
        plain.run("sh", "-ec", found["fix"][0].replace("ip-masq", str(BINARY), 1))
        assert findings(plain) == {}


def test_a_file_system_that_no_program_runs_from(plain):
    plain.run("sh", "-ec", "mkdir /run/cni/none; mount -t tmpfs -o noexec private /run/cni/none; cp /opt/cni/bin/* /run/cni/none")
    found = findings(plain, "--bin-dir", "/run/cni/none")
    assert said(plain, "--bin-dir", "/run/cni/none") == {"program-cannot-run": ("hurts", [
        f"/run/cni/none/{each} is on a file system that is mounted noexec, and {LIST} asks for it" for each in ("bridge", "host-local", "ip-masq")])}
    assert found["program-cannot-run"]["fix"] == ["# mount the file system of /run/cni/none so that programs run there (remount,exec)"]
    plain.run("mount", "-o", "remount,exec", "/run/cni/none")
    assert findings(plain, "--bin-dir", "/run/cni/none") == {}
