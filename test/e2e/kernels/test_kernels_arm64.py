"""The same on another processor, beside the others: a guest of it takes longer than all of theirs."""

import pytest
from guests import said_on
from test_kernels import *  # noqa: F403  the tests


@pytest.fixture(scope="session", params=["bookworm-arm64"])
def kernel(request, tmp_path_factory):
    """Linux 6.1 on an arm64."""
    return said_on(request.param, tmp_path_factory)
