"""The agent's listener under clients of every kind: rules are mended, pages answered and SIGTERM obeyed meanwhile."""

import subprocess
import sys

import pytest
from harness.agents import BLOWS, Agent, is_right, page
from harness.hostile_clients import CLIENTS, PRELUDE
from harness.texts import CBR0


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_clients(node, daemons, client):
    node.add()
    agent = Agent(node, "--listen", "127.0.0.1:9464")
    daemons.append(agent)
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    with subprocess.Popen(node.inside(sys.executable, "-c", PRELUDE + client), stdout=subprocess.PIPE) as clients:
        clients.stdout.readline()
        for _ in range(3):
            BLOWS[node.backend](node)
            agent.until(is_right(node, CBR0))
        assert page(node, "/healthz") == (200, "ok\n")
        assert page(node, "/livez") == (200, "ok\n")
        daemons.clear()
        assert agent.end() == 0
        assert clients.poll() is None, "they were not there to the end"
        clients.kill()


def test_one_request_after_the_other_leaks_nothing(node, daemons):
    """Also where each client goes away in the middle."""
    agent = Agent(node, "--listen", "127.0.0.1:9464")
    daemons.append(agent)
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    node.run(sys.executable, "-c", PRELUDE + """for number in range(2000):
    with connect() as made:
        made.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n"[:number % 28])""")
    agent.until(lambda: len(agent.descriptors) <= 12)
    assert page(node, "/healthz") == (200, "ok\n")
