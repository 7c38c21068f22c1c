import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.node import Node  # noqa: E402


@pytest.fixture
def node(tmp_path):
    """A node with nothing on it."""
    made = Node(tmp_path)
    yield made
    made.close()


@pytest.fixture
def host(tmp_path):
    """A node with the CNI plugins and cnitool."""
    from harness.host import TOOLS, Host
    if not (TOOLS / "cnitool").exists():
        pytest.skip("the CNI plugins are not there: scripts/install-tools could not reach the Go module proxy")
    made = Host(tmp_path)
    yield made
    made.close()
