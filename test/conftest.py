import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import longest_wait  # noqa: E402
from harness.host import TOOLS, Host  # noqa: E402
from harness.kubernetes import HELM, PROGRAMS, Cluster  # noqa: E402
from harness.node import STATIC, Namespace, Node  # noqa: E402

PASSED = pytest.StashKey[bool]()
PODMAN = ["podman", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", "runc"]


def pytest_configure(config):
    config.pluginmanager.register(longest_wait)


def pytest_collection_modifyitems(items):
    """The file that takes longest begins first."""
    items.sort(key=lambda item: item.path.name != "test_every_system_call.py")


def pytest_terminal_summary(terminalreporter):
    """How many system calls were refused or the last, wherever the tests of them ran."""
    points = [value for report in terminalreporter.stats.get("passed", []) for name, value in report.user_properties if name == "points"]
    if points:
        terminalreporter.write_line(f"{sum(points)} points in {len(points)} calls of the plugin")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.stash[PASSED] = item.stash.get(PASSED, True) and not report.failed


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    """Only what failed leaves its files: each node has copies of its plugins, and two thousand nodes do not fit on a small disk."""
    yield
    folder = item.funcargs.get("tmp_path")
    if folder and item.stash.get(PASSED, False):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["iptables", "nftables"])
def backend(request):
    return request.param


@pytest.fixture
def node(tmp_path, backend):
    """A node with nothing on it, on either back end."""
    made = Node(tmp_path, backend)
    yield made
    made.close()


@pytest.fixture
def tools():
    """The CNI plugins and cnitool are there."""
    if not (TOOLS / "cnitool").exists():
        pytest.skip("the CNI plugins are not there: scripts/install-tools could not reach the Go module proxy")


@pytest.fixture
def host(tools, tmp_path):
    """A node with the CNI plugins and cnitool."""
    made = Host(tmp_path)
    yield made
    made.close()


@pytest.fixture
def static():
    """There is a static program."""
    if not STATIC.exists():
        pytest.skip("there is no static program: scripts/build-static could not get Debian's source package")


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


@pytest.fixture
def cluster(tools, tmp_path):
    """Two nodes and a control plane, not started."""
    if not (PROGRAMS / "kubelet").exists():
        pytest.skip("Kubernetes is not there: scripts/install-tools could not reach the Go module proxy")
    made = Cluster(tmp_path)
    yield made
    made.tell()
    made.close()


@pytest.fixture
def helm():
    """helm is there."""
    if not HELM.exists():
        pytest.skip("helm is not there: scripts/install-tools could not reach the Go module proxy")


@pytest.fixture
def daemons():
    """Those that are appended are ended with the test, the last one first."""
    started = []
    yield started
    for daemon in reversed(started):
        daemon.end()
