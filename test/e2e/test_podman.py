"""podman with its CNI back end: a container's address comes from a conflist that ip-masq ends, where podman's own
configuration says that it is."""

import json
import shutil
import tempfile

import pytest
from harness.kubernetes import image
from harness.network import Outside, ask
from harness.node import ROOT, NamespaceOfProcess

IMAGE = "docker.io/test/busybox:1"
CONFLIST = {**json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text()), "cniVersion": "1.0.0"}  # the newest that podman 4.3 knows


@pytest.fixture
def podman(host):
    run_root = tempfile.mkdtemp(prefix="pod")  # podman wants a short path
    config = host.folder / "containers.conf"  # of the whole node, as podman's package has it
    config.write_text(f'[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["{host.bin}"]\nnetwork_config_dir = "/etc/cni/net.d"\n'
                      '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n')
    host.run("mount", "--bind", config, "/usr/share/containers/containers.conf")
    host.use_conflist({**CONFLIST, "plugins": CONFLIST["plugins"][:-1]})
    (host.bin / "ip-masq").unlink()
    assert host.tool("install", "--after", "bridge") == f"put {host.bin}/ip-masq\nput the entry into /etc/cni/net.d/10-test.conflist\n"

    def podman(*argv):
        return host.run("podman", "--storage-driver=vfs", "--runtime", "runc", "--root", host.folder / "storage", "--runroot", run_root,
                        "--tmpdir", host.folder / "tmp", *argv, env={**host.env, "HOME": str(host.folder)})

    podman("load", "-i", image(host.folder / "busybox.tar", IMAGE, {"bin/busybox": "/bin/busybox"}, ["/bin/busybox", "sleep", "infinity"]))
    yield podman
    podman("rm", "-af", "-t", "0")
    podman("rmi", "-af")
    shutil.rmtree(run_root)


LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100"]


@pytest.mark.parametrize("change, says, finding", [
    ({"cniVersion": None, "cniVersions": ["0.4.0", "1.1.0"]}, 'plugin ip-masq does not support config version \\\\"0.1.0\\\\"(.|\n)*network not found', "version-of-newer-libcni"),
    ({"cniVersion": "1.1.0"}, 'unsupported CNI result version "1.1.0"', "version-of-newer-libcni"),
    ({"plugins": [*CONFLIST["plugins"], {"type": "nosuch"}]}, 'failed to find plugin \\\\"nosuch\\\\"(.|\n)*network not found', "plugin-missing"),
], ids=["cniVersions alone", "1.1.0", "no program"])
def test_a_list_that_podman_cannot_have(host, podman, change, says, finding):
    """doctor says so, and nothing else."""
    host.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
    host.use_conflist({key: value for key, value in {**CONFLIST, **change}.items() if value})
    with pytest.raises(AssertionError, match=says):
        podman("run", "-d", "--network", "bridge-net", *LIMITS, IMAGE)
    found = json.loads(host.tool("doctor", "-o", "json", check=False))["findings"]
    assert [(each["name"], each["weight"]) for each in found] == [(finding, "hurts")]
    assert found[0]["does"].startswith("podman loads no ") and found[0]["does"].endswith(": no container of that network starts")


def test_containers_keep_their_address(host, podman):
    outside = [Outside(host, ["203.0.113.9"], ["10.22.0.0/24"], 0), Outside(host, ["10.9.9.9"], ["10.22.0.0/24"], 1)]
    try:
        names = ["first", "second"]
        for name in names:
            podman("run", "-d", "--name", name, "--network", "bridge-net", *LIMITS, IMAGE)
        for name in names:
            state = json.loads(podman("inspect", name))[0]
            address = state["NetworkSettings"]["Networks"]["bridge-net"]["IPAddress"]
            assert ask(NamespaceOfProcess(state["State"]["Pid"]), "tcp:10.9.9.9", "tcp:203.0.113.9") == {
                "tcp:10.9.9.9": address, "tcp:203.0.113.9": Outside.NODE[4]}
        assert len(json.loads(host.tool("show", "-o", "json"))["networks"][0]["attachments"]) == 2
        podman("rm", "-f", "-t", "0", *names)
        assert host.tool("show").startswith("nothing is recorded")
    finally:
        for each in outside:
            each.close()
