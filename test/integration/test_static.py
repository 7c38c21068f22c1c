"""The static program where there is nothing else: an empty folder as its root, and an image FROM scratch."""

import json
import subprocess

import pytest
from harness.node import ROOT, STATIC, put_plugins
from harness.texts import CBR0

pytestmark = pytest.mark.usefixtures("static")


@pytest.fixture
def empty(node):
    """A folder with the program in it and nothing else."""
    folder = node.folder / "root"
    folder.mkdir()
    (folder / "ip-masq").write_bytes(STATIC.read_bytes())
    (folder / "ip-masq").chmod(0o755)
    return folder


def test_it_serves_a_runtime_in_an_empty_root(node, empty):
    def call(command):
        conf = node.netconf(stateDir="/state")
        done = subprocess.run(node.inside("chroot", empty, "/ip-masq"), env=node.environment(command, "pod-1", XTABLES_LOCKFILE="/lock"),
                              input=json.dumps(conf), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    answer = json.loads(call("ADD"))
    assert answer["ips"] == [{"address": "10.244.1.5/24"}]
    assert node.save() == node.expected(CBR0)
    call("CHECK")
    call("DEL")
    assert node.save() == node.expected()
    assert sorted(path.name for path in (empty / "state").iterdir()) == ["lock"]


def test_the_image(podman, tmp_path):
    """It installs the program and the entry from inside a container."""
    podman("build", "--isolation=chroot", "-f", ROOT / "conf/container/Containerfile", "-t", "ip-masq", STATIC.parent)
    net_d, bin_dir = tmp_path / "net.d", tmp_path / "bin"
    net_d.mkdir()
    (net_d / "10-flannel.conflist").write_text('{"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{"type": "flannel"}]}')
    put_plugins(bin_dir, (net_d / "10-flannel.conflist").read_text())
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100"]
    podman("run", "--rm", "--network=none", "--read-only", *limits, "-v", f"{net_d}:/net.d", "-v", f"{bin_dir}:/bin.d",
           "ip-masq", "install", "--conf-dir", "/net.d", "--bin-dir", "/bin.d")
    assert [plugin["type"] for plugin in json.loads((net_d / "10-flannel.conflist").read_text())["plugins"]] == ["flannel", "ip-masq"]
    assert (bin_dir / "ip-masq").read_bytes() == STATIC.read_bytes()
    # By its name, as kubectl exec has it.
    assert podman("run", "--rm", "--network=none", "--entrypoint", '["ip-masq"]', *limits, "ip-masq", "--version").startswith("ip-masq ")
