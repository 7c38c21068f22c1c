"""The agent's listener under clients of every kind: rules are mended, pages answered and SIGTERM obeyed meanwhile."""

import subprocess
import sys

import pytest
from harness.agents import BLOWS, Agent, is_right, page
from harness.texts import CBR0

# Each a program of its own, at 127.0.0.1:9464, that says when it is under way and ends by itself.
PRELUDE = """import os, socket, threading, time
end = time.monotonic() + 100
def connect(size=None):
    while time.monotonic() < end:
        try:
            made = socket.socket()
            if size: made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            made.connect(("127.0.0.1", 9464))
            return made
        except OSError:
            time.sleep(0.01)
    raise SystemExit
def go_on(step, *args):
    while time.monotonic() < end:
        made = connect(*args)
        try: step(made)
        except OSError: pass
        made.close()
"""
CLIENTS = {
    "slow": """def step(made):
    made.sendall(b"GET /healthz HTTP/1.1\\r\\nX: ")
    print(flush=True)
    while True:
        made.sendall(b"x")
        time.sleep(0.8)
go_on(step)""",
    "many": """held = [connect() for _ in range(200)]
print(flush=True)
while time.monotonic() < end:
    held = held[1:] + [connect()]
    time.sleep(0.005)""",
    "deaf": """def step(made):
    made.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    print(flush=True)
    time.sleep(2)
for _ in range(40): threading.Thread(target=go_on, args=(step, 1024), daemon=True).start()
time.sleep(100)""",
    "greedy": """def step(made):
    made.sendall(b"GET /healthz HTTP/1.1\\r\\n")
    print(flush=True)
    made.sendall(b"x" * 1000000)
go_on(step)""",
    "garbage": """def step(made):
    made.sendall(os.urandom(100))
    made.sendall(b"\\r\\n\\r\\n")
    print(flush=True)
    made.recv(1000)
go_on(step)""",
}


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
