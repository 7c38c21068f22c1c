"""What runtimes' own files say of the lists that pods get, as doctor reads them."""

import json

import pytest
from harness.agents import Agent
from harness.node import BINARY
from test_flavours import FLANNEL, KUBELET, RUNTIMES, Runtime, site  # noqa: F401 (a fixture)

KUBEADM = RUNTIMES[0]
K3S, RKE2, CRIO, PODMAN = ({each.flavour: each for each in RUNTIMES}[flavour] for flavour in ("k3s", "rke2", "crio", "podman"))


def doctor(site, *options):
    """({name: finding}, what could not be looked at)"""
    site.sysctl(net__ipv4__ip_forward=1)
    said = json.loads(site.tool("doctor", "-o", "json", *options, check=False))
    return {each["name"]: each for each in said["findings"]}, said["notLooked"]


MYNET = {"cniVersion": "0.4.0", "name": "mynet", "plugins": [{"type": "bridge", "bridge": "cni-podman0", "ipam": {"type": "host-local"}}]}


def set_up_crio(site, network):
    runtime = CRIO
    site.set_up(runtime)
    site.put("/etc/crio/crio.conf.d/20-mine.conf", f'[crio.network]\ncni_default_network = "{network}"\n')
    return runtime


def test_crio_names_the_network_of_pods(site):
    """Not the first, which has an entry, but the one that it is told."""
    set_up_crio(site, "mynet")
    status, _, notes = site.call("install")
    assert (status, notes.splitlines()[-1]) == (0, 'ip-masq: note: /etc/cni/net.d/10-flannel.conflist is the network "cbr0": pods get the network '
                                                   '"mynet", as cni_default_network in /etc/crio/crio.conf.d/20-mine.conf says')
    waits = doctor(site)
    assert waits[1] == [] and {name: (each["weight"], each["where"]) for name, each in waits[0].items()} == {"network-not-there": (
        "hurts", ['no list in /etc/cni/net.d has the name "mynet", as cni_default_network in /etc/crio/crio.conf.d/20-mine.conf says'])}
    site.put("/etc/cni/net.d/87-podman-bridge.conflist", json.dumps(MYNET))
    found, not_looked = doctor(site)
    assert not_looked == [] and found == {"entry-missing": {
        "name": "entry-missing", "weight": "hurts", "does": "new pods of this node have no rules of ours: others' decide",
        "where": ["/etc/cni/net.d/87-podman-bridge.conflist is what the runtime loads, as cni_default_network in "
                  "/etc/crio/crio.conf.d/20-mine.conf says, and has no entry of ip-masq",
                  "/etc/cni/net.d/10-flannel.conflist has one"],
        "fix": ["# let CRI-O name the list that pods are to use, cni_default_network in /etc/crio/crio.conf.d/20-mine.conf; or:",
                "ip-masq install --conf-dir /etc/cni/net.d --after bridge --bin-dir /opt/cni/bin"]}}
    for line in found["entry-missing"]["fix"]:
        site.run("sh", "-ec", line.replace("ip-masq", str(BINARY), 1))
    assert doctor(site) == ({}, [])


def test_crio_names_a_network_that_comes_later(site):
    """As MicroShift does: CRI-O's own list, which comes first, is nobody's."""
    set_up_crio(site, "cbr0")
    site.put("/etc/cni/net.d/0-crio-bridge.conflist", json.dumps({**MYNET, "name": "crio"}))
    status, _, notes = site.call("install")
    assert status == 0 and len(notes.splitlines()) == 1  # where it looks, and nothing of the order
    assert doctor(site) == ({}, [])


def test_crio_passes_over_a_list_whose_programs_it_does_not_find(site):
    """As where it looks in one folder, and flannel's pod brings flannel to another (cri-o/cri-o#3823)."""
    site.set_up(CRIO)
    site.put("/etc/cni/net.d/100-crio-bridge.conf", json.dumps({**MYNET["plugins"][0], "cniVersion": "0.3.1", "name": "crio-bridge"}))
    site.run("mv", "/opt/cni/bin/flannel", "/opt/away")
    assert doctor(site) == ({}, [])  # pods get the bridge, and nobody asked for ip-masq there
    site.run("mv", "/opt/away", "/opt/cni/bin/flannel")
    site.tool("install")
    assert doctor(site) == ({}, [])
    for program, name in {"flannel": "plugin-missing", "ip-masq": "program-missing"}.items():
        site.run("mv", f"/opt/cni/bin/{program}", "/opt/away")
        found, not_looked = doctor(site)
        assert not_looked == [] and {name: each["weight"] for name, each in found.items()} == {name: "hurts", "entry-missing": "hurts"}
        assert found[name]["does"].startswith("CRI-O passes over that list: new pods get the one in /etc/cni/net.d/100-crio-bridge.conf")
        assert found["entry-missing"]["where"] == [
            "/etc/cni/net.d/100-crio-bridge.conf is what the runtime loads, and has no entry of ip-masq",
            "/etc/cni/net.d/10-flannel.conflist has one, and CRI-O passes over it: it misses a program that the list asks for"]
        assert found["entry-missing"]["fix"][0] == "# bring the program that it misses; or:"
        site.run("mv", "/opt/away", f"/opt/cni/bin/{program}")
    assert doctor(site) == ({}, [])


def test_a_list_by_name_where_each_plugin_stands_in_another(site):
    """install takes the first list that has a plugin: what it would not reach is put by hand."""
    set_up_crio(site, "mynet")
    site.put("/etc/cni/net.d/05-other.conflist", json.dumps({**MYNET, "name": "other", "plugins": [*MYNET["plugins"], {"type": "ip-masq"}]}))
    site.put("/etc/cni/net.d/87-podman-bridge.conflist", json.dumps(MYNET))
    site.run("cp", BINARY, "/opt/cni/bin")
    assert doctor(site)[0]["entry-missing"]["fix"][1:] == [
        '# put {"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": true}} behind the other plugins of '
        "/etc/cni/net.d/87-podman-bridge.conflist by hand: each of them stands in a list before it, which ip-masq install takes"]


@pytest.mark.parametrize("runtime", [KUBEADM, K3S, CRIO], ids=["kubeadm", "k3s", "crio"])
def test_a_list_called_podman_comes_first(site, runtime):
    """podman's own is no other than any other list for whoever runs pods."""
    site.set_up(runtime)
    site.call("install")
    assert doctor(site) == ({}, [])
    site.put(f"{runtime.networks}/05-podman.conflist", json.dumps({**MYNET, "name": "podman"}))
    found, not_looked = doctor(site)
    assert not_looked == [] and {name: each["weight"] for name, each in found.items()} == {"entry-missing": "hurts"}
    assert found["entry-missing"]["where"][0] == f"{runtime.networks}/05-podman.conflist is what the runtime loads, and has no entry of ip-masq"


def test_podman_alone_takes_each_list_by_its_name(site):
    site.set_up(PODMAN)
    site.call("install")
    site.put("/etc/cni/net.d/05-podman.conflist", json.dumps({**MYNET, "name": "podman"}))
    assert doctor(site) == ({}, [])


def test_k3s_writes_its_list_anew_and_no_record_is_left(site):
    """As after a reboot."""
    runtime = K3S
    site.set_up(runtime)
    conflist = f"{runtime.networks}/10-flannel.conflist"
    loads = f"{conflist} is what the runtime loads, and has no entry of ip-masq"

    def missing():
        ((name, each),) = doctor(site)[0].items()
        return name, each["weight"], each["where"]

    assert missing() == ("entry-missing", "note", [loads])
    site.call("install")
    assert doctor(site) == ({}, [])
    site.put(conflist, json.dumps({**FLANNEL, "cniVersion": "1.0.0"}))
    backup = f"{conflist}.before-ip-masq is of ip-masq install: the file was written anew since"
    program = f"{runtime.plugins}/ip-masq is there, and no list asks for it"
    assert missing() == ("entry-missing", "hurts", [loads, backup, program])
    site.run("rm", f"{conflist}.before-ip-masq")
    assert missing() == ("entry-missing", "hurts", [loads, program])
    site.run("rm", f"{runtime.plugins}/ip-masq")
    assert missing() == ("entry-missing", "note", [loads])


@pytest.mark.parametrize("file, text", [
    ("config.yaml", "write-kubeconfig-mode: '0644'\ndata-dir: /mnt/data  # the large disk\n"),
    ("config.yaml.d/10.yaml", 'data-dir: "/mnt/data/"\n'),
])
@pytest.mark.parametrize("runtime", [K3S, RKE2], ids=["k3s", "rke2"])
def test_rancher_keeps_its_data_elsewhere(site, runtime, file, text):
    data = f"/var/lib/rancher/{runtime.flavour}"
    site.run("mount", "-t", "tmpfs", "private", "/mnt")
    moved = Runtime(runtime.flavour, {path.replace(data, "/mnt/data"): each.replace(data, "/mnt/data") for path, each in runtime.files.items()},
                    *(each.replace(data, "/mnt/data") for each in (runtime.networks, runtime.plugins, runtime.networks_by, runtime.plugins_by)))
    site.set_up(moved)
    site.put(f"/etc/rancher/{runtime.flavour}/{file}", text)
    assert [each["weight"] for each in doctor(site)[0].values()] == ["note"]
    assert site.call("install") == (
        0, f"put {moved.plugins}/ip-masq\nput the entry into {moved.networks}/10-flannel.conflist\n", f"ip-masq: note: {moved.reason}\n")
    assert doctor(site) == ({}, [])


def test_a_runtime_of_containerd_has_lists_of_its_own(site):
    """Pods of a RuntimeClass get networks from there."""
    runtime = KUBEADM
    site.set_up(runtime)
    site.put("/etc/containerd/config.toml", runtime.files["/etc/containerd/config.toml"] + """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  runtime_type = "io.containerd.kata.v2"
  cni_conf_dir = "/etc/cni/kata.d"
""")
    site.put("/etc/cni/kata.d/10-flannel.conflist", json.dumps(FLANNEL))
    assert "runtime-without-entry" not in doctor(site)[0]  # nobody asks for us yet
    site.call("install")
    found, not_looked = doctor(site)
    assert not_looked == [] and found == {"runtime-without-entry": {
        "name": "runtime-without-entry", "weight": "hurts",
        "does": "new pods of that runtime are not recorded: others' rules decide, where no pod that is recorded has its pod subnet",
        "where": ['/etc/cni/kata.d/10-flannel.conflist is what pods of the runtime "kata" get, as cni_conf_dir in /etc/containerd/config.toml '
                  "says, and has no entry of ip-masq"],
        "fix": [f"ip-masq install --conf-dir /etc/cni/kata.d --bin-dir {runtime.plugins}"]}}
    site.run("sh", "-ec", found["runtime-without-entry"]["fix"][0].replace("ip-masq", str(BINARY), 1))
    assert doctor(site) == ({}, [])
    site.put("/etc/cni/kata.d/10-flannel.conflist", json.dumps(MYNET))
    assert {name: each["weight"] for name, each in doctor(site)[0].items()} == {"runtime-without-entry": "note"}


def test_what_keeps_pods_of_one_runtime_from_starting(site):
    """All that is found of the node's own lists is found of those; and uninstall takes the entry out of all of them."""
    runtime = KUBEADM
    site.set_up(runtime)
    site.put("/etc/containerd/config.toml", runtime.files["/etc/containerd/config.toml"] + """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  cni_conf_dir = "/etc/cni/kata.d"
""")
    site.call("install")
    its = ('cni_conf_dir in /etc/containerd/config.toml says that pods of the runtime "kata" get the lists of /etc/cni/kata.d')
    kata = "/etc/cni/kata.d/10-flannel.conflist"

    def said():
        found, not_looked = doctor(site)
        assert not_looked == []
        assert all(each["does"].startswith('of pods of the runtime "kata": ') and each["where"][-1] == its for each in found.values())
        return {name: (each["weight"], each["where"][:-1]) for name, each in found.items()}

    assert said() == {"no-list-loads": ("note", ["no list is in /etc/cni/kata.d"])}
    site.put(kata, json.dumps(FLANNEL))
    site.call("install", "--conf-dir", "/etc/cni/kata.d", "--bin-dir", runtime.plugins)
    assert said() == {}
    right = site.run("cat", kata)
    site.put(kata, "{")
    assert said() == {"no-list-loads": ("hurts", [f"{kata}: it is not JSON: it goes wrong at byte 2"])}
    site.put(kata, json.dumps({**FLANNEL, "plugins": [{"type": "flannel"}, {"type": "nosuch"}, {"type": "ip-masq", "nonMasqueradeCIDRs": ["x"]}]}))
    assert said() == {
        "plugin-missing": ("hurts", [f"no program {runtime.plugins}/nosuch, which {kata} asks for"]),
        "entry-refused": ("hurts", [f'{kata}: nonMasqueradeCIDRs is "x": expected a network such as 10.0.0.0/8 or fd00::/8'])}
    site.put(kata, right)
    assert said() == {}
    status, told, _ = site.call("uninstall", "--dry-run")
    assert (status, told.count("would have put /etc/cni/")) == (0, 2)
    assert site.call("uninstall")[:2] == (0, f"put {runtime.networks}/10-flannel.conflist back\nput {kata} back\n")
    assert json.loads(site.run("cat", kata)) == FLANNEL


@pytest.mark.parametrize("runtime", [KUBEADM, K3S, CRIO], ids=["kubeadm", "k3s", "crio"])
def test_ip_masq_is_given_up(site, runtime):
    """The program stays for pods that run; who takes it away then is not told any more that the entry is missing."""
    site.set_up(runtime)
    site.call("install")
    status, done, notes = site.call("uninstall")
    program = f"{runtime.plugins}/ip-masq"
    assert (status, done) == (0, f"put {runtime.networks}/10-flannel.conflist back\n")
    assert notes.splitlines()[1:] == [f"ip-masq: note: {program} stays, since pods that run need it for their end, and doctor misses the entry "
                                      f"as long as it is there: once none of these pods is left, rm {program}"]
    found, not_looked = doctor(site)
    assert not_looked == [] and found == {"entry-missing": {
        "name": "entry-missing", "weight": "hurts", "does": "new pods of this node have no rules of ours: others' decide",
        "where": [f"{runtime.networks}/10-flannel.conflist is what the runtime loads, and has no entry of ip-masq",
                  f"{program} is there, and no list asks for it"],
        "fix": [f"ip-masq install --conf-dir {runtime.networks} --bin-dir {runtime.plugins}",
                f"# or, where ip-masq is given up, once no pod needs it for its end: rm {program}"]}}
    site.run("sh", "-ec", found["entry-missing"]["fix"][1].split("end: ")[1])
    assert {name: each["weight"] for name, each in doctor(site)[0].items()} == {"entry-missing": "note"}
    assert len(site.call("uninstall")[2].splitlines()) == 1


def test_a_program_of_somebody_elses_under_our_name(site):
    """It is no sign of ours, nobody is told to take it away, and where a list asks for it no ADD is ours."""
    runtime = KUBEADM
    site.set_up(runtime)
    program, conflist = f"{runtime.plugins}/ip-masq", f"{runtime.networks}/10-flannel.conflist"
    theirs = "#!/bin/sh\necho theirs\n"
    site.put(program, theirs)
    site.run("chmod", "755", program)
    install = f"ip-masq install --conf-dir {runtime.networks} --bin-dir {runtime.plugins}"

    def said():
        found, not_looked = doctor(site)
        assert not_looked == []
        return {name: (each["weight"], each["where"], each["fix"]) for name, each in found.items()}

    not_asked = {"entry-missing": ("note", [f"{conflist} is what the runtime loads, and has no entry of ip-masq"], [install])}
    assert said() == not_asked
    assert site.call("install")[0] == 0
    assert said() == {}
    assert site.call("uninstall")[1] == f"put {conflist} back\nput {program} back, as {program}.before-ip-masq has it\n"
    assert said() == not_asked and site.run("cat", program) == theirs
    site.call("install")
    site.run("mv", f"{program}.before-ip-masq", program)
    assert said() == {"another-program": ("hurts", [f"{program} is not ip-masq's, and {conflist} asks for it"], [install])}
    site.run("sh", "-ec", install.replace("ip-masq", str(BINARY), 1))
    assert said() == {} and site.run("cat", f"{program}.before-ip-masq") == theirs


def test_a_list_asks_for_the_program_yet(site, daemons):
    """Of another folder than the one that uninstall is told: nobody else's program comes back, and nobody is told to take ours away. Nor
    where an agent puts the entry back."""
    runtime = KUBEADM
    site.set_up(runtime)
    site.put("/etc/containerd/config.toml", runtime.files["/etc/containerd/config.toml"] + """
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  cni_conf_dir = "/etc/cni/kata.d"
""")
    program, conflist = f"{runtime.plugins}/ip-masq", f"{runtime.networks}/10-flannel.conflist"
    site.put("/etc/cni/kata.d/10-flannel.conflist", json.dumps(FLANNEL))
    site.put(program, "#!/bin/sh\necho theirs\n")
    site.call("install")
    site.call("install", "--conf-dir", "/etc/cni/kata.d")
    status, done, notes = site.call("uninstall", "--conf-dir", "/etc/cni/kata.d")
    assert (status, done, notes.splitlines()[1:]) == (0, "put /etc/cni/kata.d/10-flannel.conflist back\n", [
        f"ip-masq: note: {conflist} asks for {program}, which stays: without it no pod of that list starts or ends; "
        f"ip-masq uninstall --conf-dir {runtime.networks} takes the entry out there"])
    assert site.run("cmp", program, BINARY) == ""
    site.run("rm", f"{program}.before-ip-masq")
    agent = Agent(site, "--keep-installed")
    daemons.append(agent)
    agent.until_it_runs()
    status, done, notes = site.call("uninstall")
    assert (status, done) == (0, f"put {conflist} back\n")
    assert notes.splitlines()[-1] == (f"ip-masq: note: an agent runs on {site.state}, and with --keep-installed it puts the entry back: stop it, then "
                                      "ip-masq uninstall again")
    assert "rm " not in notes
    agent.until(lambda: "ip-masq" in site.run("cat", conflist))
    agent.end()
    assert site.call("uninstall")[2].splitlines()[-1].endswith(f"once none of these pods is left, rm {program}")


@pytest.mark.parametrize("remedy", ["rm {0}/10-flannel.conflist", "mv {0}/10-flannel.conflist {0}/10-flannel.conflist.bak", "rm -r {0}"],
                         ids=["deleted", "moved aside", "folder deleted"])
@pytest.mark.parametrize("runtime", [KUBEADM, K3S, CRIO], ids=["kubeadm", "k3s", "crio"])
def test_the_list_is_gone(site, runtime, remedy):
    """As kubeadm reset and those who clean up leave it: no pod starts."""
    site.set_up(runtime)
    site.call("install")
    assert doctor(site) == ({}, [])
    site.run("sh", "-ec", remedy.format(runtime.networks))
    conflist = f"{runtime.networks}/10-flannel.conflist"
    has_backup = remedy[:4] != "rm -"
    assert doctor(site) == ({"no-list-loads": {
        "name": "no-list-loads", "weight": "hurts", "does": "the runtime has no network: no pod starts, and none can be ended",
        "where": [f"no list is in {runtime.networks}",
                  *[f"{conflist}.before-ip-masq is of ip-masq install: the list that it was made beside is gone"] * has_backup,
                  f"{runtime.plugins}/ip-masq is there, and no list asks for it"],
        "fix": ["# have its owner bring the list anew, as flannel's pod does when it starts; then see whether doctor misses the entry",
                *[f"# what it was before ip-masq install stands in {conflist}.before-ip-masq"] * has_backup]}}, [])
    site.run("rm", "-f", f"{runtime.plugins}/ip-masq", f"{conflist}.before-ip-masq")
    assert doctor(site) == ({}, [f"for the list that pods get: there is none in {runtime.networks}"])
    site.put(conflist, json.dumps(FLANNEL))
    assert site.call("install")[0] == 0
    assert doctor(site) == ({}, [])


def test_the_list_is_gone_and_another_stands_there(site):
    """CRI-O's own, which pods get from then on."""
    runtime = CRIO
    site.set_up(runtime)
    loopback = f"{runtime.networks}/200-loopback.conf"
    site.put(loopback, json.dumps({"cniVersion": "0.3.1", "name": "loopback", "type": "loopback"}))
    site.call("install")
    assert doctor(site) == ({}, [])
    conflist = f"{runtime.networks}/10-flannel.conflist"
    site.run("rm", conflist)
    assert doctor(site) == ({"entry-missing": {
        "name": "entry-missing", "weight": "hurts", "does": "new pods of this node have no rules of ours: others' decide",
        "where": [f"{loopback} is what the runtime loads, and has no entry of ip-masq",
                  f"{conflist}.before-ip-masq is of ip-masq install: its list is gone"],
        "fix": [f"# have its owner bring {conflist} anew, as flannel's pod does when it starts",
                "# or, where this list is meant: see first where the runtime looks for plugins: none of the list's others is in /opt/cni/bin"]}}, [])


@pytest.mark.parametrize("runtime", RUNTIMES[2:], ids=[f"{each.flavour}-{number}" for number, each in enumerate(RUNTIMES[2:])])
def test_a_flavour_that_is_named_and_not_there(site, runtime):
    assert doctor(site, "--flavour", runtime.flavour)[0] == {}
    assert doctor(site, "--flavour", runtime.flavour)[1][-1].startswith(("for the list that pods get: there is none in /", "cannot read the folder /"))


FEDORAS = Runtime("crio", {"/etc/crio/crio.conf": """[crio.network]
plugin_dirs = [
	"/opt/cni/bin",
	"/usr/libexec/cni",
]
"""}, "/etc/cni/net.d", "/opt/cni/bin", "as CRI-O is built, no file of /etc/crio names another", "plugin_dirs in /etc/crio/crio.conf",
                  searched="/opt/cni/bin or /usr/libexec/cni")
NAMED = ("--bin-dir", "/opt/cni/bin", "--conf-dir", "/etc/cni/net.d")


def test_two_folders_of_plugins_of_which_one_is_named(site):
    """The distribution's plugins in one, flannel's in the other."""
    site.set_up(FEDORAS)
    site.run("sh", "-ec", "mkdir -p /usr/libexec/cni; mv /opt/cni/bin/bridge /opt/cni/bin/host-local /usr/libexec/cni")
    site.call("install", *NAMED)
    for options in (), NAMED[:2], NAMED[2:], NAMED, ("--bin-dir", "/usr/libexec/cni"), ("--flavour", "crio", *NAMED):
        assert doctor(site, *options) == ({}, []), options
    site.run("rm", "/usr/libexec/cni/bridge")
    missing = "no program /opt/cni/bin/bridge or /usr/libexec/cni/bridge, which /etc/cni/net.d/10-flannel.conflist asks for"
    for options in (), NAMED:
        assert {name: (each["weight"], each["where"]) for name, each in doctor(site, *options)[0].items()} == {"plugin-missing": ("hurts", [missing])}


def test_two_folders_of_plugins_as_a_container_sees_them(site):
    """It has the one that it was given, and no file of the runtime's."""
    site.set_up(FEDORAS)
    site.run("sh", "-ec", "mkdir -p /usr/libexec/cni; mv /opt/cni/bin/bridge /opt/cni/bin/host-local /usr/libexec/cni; rm -r /etc/crio")
    site.call("install", *NAMED)
    assert doctor(site, *NAMED) == ({"plugin-missing": {
        "name": "plugin-missing", "weight": "note", "does": "an ADD fails: no pod starts, unless the runtime looks for plugins in other folders as well",
        "where": [f"no program /opt/cni/bin/{each}, which /etc/cni/net.d/10-flannel.conflist asks for" for each in ("bridge", "host-local")],
        "fix": ["# have their owners put them there: flannel's own pod brings flannel, the package or the release of containernetworking's "
                "plugins brings bridge, host-local and portmap", "# where it does, and they are there, nothing is wrong"]}}, [
            f"whether the runtime finds {each} in another folder: it is not in /opt/cni/bin/{each}, which /etc/cni/net.d/10-flannel.conflist asks for; "
            "--bin-dir, given once for each folder where the runtime looks, tells" for each in ("bridge", "host-local")])
    assert doctor(site, *NAMED, "--bin-dir", "/usr/libexec/cni") == ({}, [])
    assert site.call("install", *NAMED, "--bin-dir", "/usr/libexec/cni") == (2, "", "ip-masq: install takes one --bin-dir; see ip-masq --help\n")
    for path, text in KUBELET.items():
        site.put(path, text)  # whose runtime has no file: it is as it is built, with one folder
    assert {name: each["weight"] for name, each in doctor(site, *NAMED)[0].items()} == {"plugin-missing": "hurts"}
    site.run("rm", *KUBELET, "/opt/cni/bin/flannel")
    assert {name: each["weight"] for name, each in doctor(site, *NAMED)[0].items()} == {"plugin-missing": "hurts"}
