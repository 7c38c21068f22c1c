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
