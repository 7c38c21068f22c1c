"""Where install and the agent put the program on a node whose runtime's files say where it looks, and where they do not agree."""

import json

import pytest
from harness.agents import Agent, page
from test_flavours import KUBELET, LIST, PORTMAP, RUNTIMES, site  # noqa: F401 (a fixture)

CONTAINERD = "/etc/containerd/config.toml"
BY_DEBIAN = '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "{}"\n  conf_dir = "/etc/cni/net.d"\n'
BUILT = f"as containerd is built, {CONTAINERD} names none"
REASON = f"kubeadm: networks in /etc/cni/net.d ({BUILT}), plugins in /opt/cni/bin ({BUILT})"
NOTE = f"ip-masq: note: {REASON}\n"
FIRST = ("have its owner put it there first: flannel's own pod brings flannel, the package or the release of containernetworking's plugins brings bridge, "
         "host-local and portmap")
DONE = f"put /opt/cni/bin/ip-masq\nput the entry into {LIST}\n"
LISTEN = ["--listen", "127.0.0.1:9464"]


def lacks(program, folder="/opt/cni/bin"):
    return f"no program {program} in {folder}, which {LIST} asks for: the runtime looks nowhere else, and no pod starts by that list before that is mended"


def set_up(site, plugins, config="version = 2\n"):
    """plugins: {folder: names}"""
    for path, text in {**KUBELET, CONTAINERD: config, LIST: json.dumps(PORTMAP)}.items():
        site.put(path, text)
    for folder, names in plugins.items():
        bring(site, names, folder)


def bring(site, names, folder="/opt/cni/bin"):
    site.run("mkdir", "-p", folder)
    for name in names.split():
        site.run("sh", "-ec", f"cp /bin/true {folder}/{name}")


def places(site):
    """Folders that have our program, and whether the list has the entry."""
    found = site.run("sh", "-c", "ls /opt/cni/bin/ip-masq /usr/lib/cni/ip-masq 2>/dev/null", check=False).split()
    return found, "ip-masq" in site.run("cat", LIST)


def test_where_the_runtime_says_where_it_looks_no_other_folder_is_right(site):
    """A plugin that is missing there is to come, whatever other folders have."""
    set_up(site, {"/opt/cni/bin": "portmap", "/usr/lib/cni": "flannel portmap"})
    assert site.call("install") == (1, "", f"{NOTE}ip-masq: {lacks('flannel')}\n  {FIRST}\n")
    why = f"--bin-dir is /usr/lib/cni; {REASON}"
    assert site.call("install", "--bin-dir", "/usr/lib/cni") == (
        1, "", f"ip-masq: {why}: with the program elsewhere than the runtime looks no pod would start\n"
        "  leave --bin-dir out; where the runtime does not read those files name both folders: --conf-dir /etc/cni/net.d --bin-dir /usr/lib/cni\n")
    assert places(site) == ([], False)
    both = ["--conf-dir", "/etc/cni/net.d", "--bin-dir", "/usr/lib/cni"]
    assert site.call("install", "--dry-run", *both) == (
        0, f"would have put /usr/lib/cni/ip-masq\nwould have written {LIST}.before-ip-masq\nwould have put the entry into {LIST}\n",
        f"ip-masq: note: {why}\n")
    bring(site, "flannel")
    site.run("rm", "/opt/cni/bin/portmap")
    assert site.call("install") == (0, DONE, f"{NOTE}ip-masq: note: {lacks('portmap')}\n")
    assert site.call("install", "--conf-dir", "/etc/cni/net.d", "--bin-dir", "/opt/cni/bin") == (0, "", f"ip-masq: note: {lacks('portmap')}\n")


def test_a_list_with_an_entry_needs_the_program_whatever_else_is_missing(site):
    set_up(site, {"/opt/cni/bin": "flannel portmap"})
    assert site.call("install") == (0, DONE, NOTE)
    site.run("sh", "-ec", "rm /opt/cni/bin/*")
    said = f"ip-masq: note: {lacks('flannel, portmap')}\n"
    assert site.call("install", "--conf-dir", "/etc/cni/net.d", "--bin-dir", "/opt/cni/bin") == (0, "put /opt/cni/bin/ip-masq\n", said)
    site.run("rm", "/opt/cni/bin/ip-masq", CONTAINERD)  # as in a container, which does not see the runtime's files
    assert site.call("install", "--conf-dir", "/etc/cni/net.d", "--bin-dir", "/opt/cni/bin") == (
        0, "put /opt/cni/bin/ip-masq\n", f"ip-masq: note: no program flannel, portmap in /opt/cni/bin, which {LIST} asks for: no pod starts where the runtime "
        "does not find it elsewhere\n")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_can_be_written(site, is_there):
    """Of several that the runtime searches, as on a node whose /usr nobody writes; doctor's fix goes there as well."""
    site.put(LIST, json.dumps(PORTMAP))
    site.put("/etc/crio/crio.conf.d/10-crio.conf", '[crio.network]\nplugin_dirs = ["/usr/libexec/cni", "/srv/cni/bin"]\n')
    bring(site, "flannel portmap bridge host-local", "/usr/libexec/cni")
    site.run("sh", "-ec", "mount --bind /usr/libexec/cni /usr/libexec/cni; mount -o remount,bind,ro /usr/libexec/cni")
    site.run("sh", "-ec", "mount -t tmpfs private /srv; mkdir -p /srv/cni" + ("/bin" if is_there else ""))
    site.sysctl(net__ipv4__ip_forward=1)
    found = {each["name"]: each["fix"] for each in json.loads(site.tool("doctor", "-o", "json", check=False))["findings"]}
    fix = "ip-masq install --conf-dir /etc/cni/net.d --bin-dir /srv/cni/bin"
    assert found == {"entry-missing": [fix]}
    note = ("ip-masq: note: crio: networks in /etc/cni/net.d (as CRI-O is built, no file of /etc/crio names another), plugins in /usr/libexec/cni or "
            "/srv/cni/bin (plugin_dirs in /etc/crio/crio.conf.d/10-crio.conf)\n")
    assert site.call("install", "--dry-run") == (
        0, f"would have put /srv/cni/bin/ip-masq\nwould have written {LIST}.before-ip-masq\nwould have put the entry into {LIST}\n", note)
    assert site.call(*fix.split()[1:]) == (0, f"put /srv/cni/bin/ip-masq\nput the entry into {LIST}\n", "")
    assert json.loads(site.tool("doctor", "-o", "json", check=False))["findings"] == []


def test_a_runtimes_own_lists_are_for_the_same_plugins(site):
    """Those of a RuntimeClass."""
    config = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]\n  cni_conf_dir = "/etc/cni/kata.d"\n'
    set_up(site, {"/opt/cni/bin": "flannel portmap", "/usr/lib/cni": "flannel portmap"}, config)
    site.put("/etc/cni/kata.d/10-flannel.conflist", json.dumps(PORTMAP))
    done = "put /opt/cni/bin/ip-masq\nput the entry into /etc/cni/kata.d/10-flannel.conflist\n"
    assert site.call("install", "--conf-dir", "/etc/cni/kata.d") == (0, done, NOTE)


def test_the_agent_puts_the_program_back_at_once(site, daemons):
    """While the folder is being made anew, and looks again when what was missing has come."""
    set_up(site, {"/opt/cni/bin": "flannel portmap"})
    site.run("ip", "link", "set", "lo", "up")
    agent = Agent(site, "--keep-installed", *LISTEN)
    daemons.append(agent)
    agent.until(lambda: places(site) == (["/opt/cni/bin/ip-masq"], True) and page(site, "/healthz") == (200, "ok\n"))
    site.run("sh", "-ec", "rm /opt/cni/bin/*")
    agent.until(lambda: places(site)[0] == ["/opt/cni/bin/ip-masq"])
    agent.until_it_says(f"warning: {lacks('flannel, portmap')}")
    bring(site, "portmap")
    agent.until_it_says(f"warning: {lacks('flannel')}")
    assert page(site, "/healthz") == (200, "ok\n")


def test_the_agent_sees_what_it_waits_for(site, daemons):
    """A plugin of the list, and files that say where the runtime looks; no resync is near."""
    set_up(site, {"/opt/cni/bin": "portmap"}, "version = 2\n[plugins\n")
    site.run("ip", "link", "set", "lo", "up")
    agent = Agent(site, "--keep-installed", *LISTEN)
    daemons.append(agent)
    agent.until_it_says(f"cannot keep the entry installed: {CONTAINERD}, line 2: not TOML: ")
    assert page(site, "/healthz")[0] == 503
    assert places(site) == ([], False)
    site.put(CONTAINERD, "version = 2\n")
    agent.until(lambda: page(site, "/healthz") == (503, f"cannot keep the entry installed: {lacks('flannel')}; {FIRST}\n"))
    bring(site, "flannel")
    agent.until(lambda: places(site) == (["/opt/cni/bin/ip-masq"], True) and page(site, "/healthz") == (200, "ok\n"))
    assert not any("(resync)" in line for line in agent.lines)


def test_the_agent_puts_nothing_where_two_runtimes_look_in_different_folders(site, daemons):
    """As install; what it found before stays."""
    set_up(site, {"/opt/cni/bin": "flannel portmap", "/usr/lib/cni": "flannel portmap"}, "version = 2\n" + BY_DEBIAN.format("/usr/lib/cni"))
    podman = "/etc/containers/containers.conf"
    site.put(podman, "[network]\nnetwork_backend = 'cni'\ncni_plugin_dirs = ['/opt/cni/bin']\n")
    site.run("ip", "link", "set", "lo", "up")
    message, hint = site.call("install")[2].removeprefix("ip-masq: ").rstrip().split("\n  ")
    assert message.startswith("what runs pods on this node does not look in the same folders: kubeadm: ")
    agent = Agent(site, "--keep-installed", *LISTEN)
    daemons.append(agent)
    agent.until(lambda: page(site, "/healthz") == (503, f"cannot keep the entry installed: {message}; {hint}\n"))
    assert places(site) == ([], False)
    site.run("rm", podman)
    agent.until(lambda: places(site) == (["/usr/lib/cni/ip-masq"], True) and page(site, "/healthz") == (200, "ok\n"))
    site.put(podman, "[network]\nnetwork_backend = 'cni'\ncni_plugin_dirs = ['/opt/cni/bin']\n")
    agent.until_it_says(f"warning: networks in /etc/cni/net.d, plugins in /usr/lib/cni, until that is mended: {message}")
    site.run("rm", "/usr/lib/cni/ip-masq")
    agent.until(lambda: places(site) == (["/usr/lib/cni/ip-masq"], True))
    assert page(site, "/healthz") == (200, "ok\n")


def test_the_agent_sees_a_runtime_that_comes_later(site, daemons):
    """And the list that it writes anew, without a resync."""
    runtime = RUNTIMES[3]
    agent = Agent(site, "--keep-installed")
    daemons.append(agent)
    agent.until_it_says("cannot keep the entry installed: cannot read the folder /etc/cni/net.d: No such file or directory")
    site.set_up(runtime)
    path = f"{runtime.networks}/10-flannel.conflist"
    agent.until(lambda: "ip-masq" in site.run("cat", path))
    site.put(path, json.dumps(PORTMAP))
    agent.until(lambda: "ip-masq" in site.run("cat", path))
    assert not any("(resync)" in line for line in agent.lines)
