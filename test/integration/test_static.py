"""The static program where there is nothing else: an empty folder as its root, and an image FROM scratch."""

import json
import os
import shutil
import subprocess
import tempfile

import pytest
from harness.node import ROOT, Namespace
from harness.texts import CBR0

STATIC = ROOT / "build/static/plugin/ip-masq"
PODMAN = ["podman", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", "runc"]


@pytest.fixture(autouse=True)
def static():
    if not STATIC.exists():
        pytest.skip("there is no static program: scripts/build-static could not get Debian's source package")


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


@pytest.fixture
def podman(tmp_path):
    """Runs podman with a storage and a network namespace of its own."""
    run_root = tempfile.mkdtemp(prefix="pod")  # podman wants a short path
    namespace = Namespace("podman")
    storage = [*PODMAN, "--root", tmp_path / "storage", "--runroot", run_root, "--tmpdir", tmp_path / "tmp"]

    def podman(*argv):
        # Not ip netns exec, which hides the cgroups that a runtime looks for.
        inside = ["unshare", "-m", "nsenter", f"--net={namespace.path}"]
        done = subprocess.run([*inside, *storage, *argv], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield podman
    podman("rmi", "-af")
    namespace.close()
    shutil.rmtree(run_root)


def test_the_image(podman, tmp_path):
    """It installs the program and the entry from inside a container."""
    podman("build", "--isolation=chroot", "-f", ROOT / "conf/container/Containerfile", "-t", "ip-masq", STATIC.parent)
    net_d, bin_dir = tmp_path / "net.d", tmp_path / "bin"
    net_d.mkdir()
    bin_dir.mkdir()
    (net_d / "10-flannel.conflist").write_text('{"name": "cbr0", "plugins": [{"type": "flannel"}]}')
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100"]
    podman("run", "--rm", "--network=none", "--read-only", *limits, "-v", f"{net_d}:/net.d", "-v", f"{bin_dir}:/bin.d",
           "ip-masq", "install", "--conf-dir", "/net.d", "--bin-dir", "/bin.d")
    assert [plugin["type"] for plugin in json.loads((net_d / "10-flannel.conflist").read_text())["plugins"]] == ["flannel", "ip-masq"]
    assert (bin_dir / "ip-masq").read_bytes() == STATIC.read_bytes()
