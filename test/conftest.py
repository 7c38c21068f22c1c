import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.host import TOOLS, Host  # noqa: E402
from harness.node import Node  # noqa: E402


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
def daemons():
    """Those that are appended are ended with the test, the last one first."""
    started = []
    yield started
    for daemon in reversed(started):
        daemon.end()
