"""Rules that hand packets to a program: nobody can tell what it does, but where none is there they are lost."""

import signal
import subprocess
import sys

import pytest
from harness.doctor import ALL, NONE, heard, findings, weights

# Binds to a queue, and tells that it did. linux/netfilter/nfnetlink_queue.h
READ_QUEUE = """import signal, socket, struct, sys
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
queue = int(sys.argv[1])
bind = struct.pack("=HHBxH", 8, 1, 1, 0)
netlink.send(struct.pack("=IHHIIBBH", 20 + len(bind), 3 << 8 | 2, 5, 1, 0, 0, 0, socket.htons(queue)) + bind)
assert struct.unpack_from("=i", netlink.recv(4096), 16) == (0,)
print("bound", flush=True)
signal.pause()
"""

RULES = {
    "legacy": ("iptables-legacy -A FORWARD -i cni0 -j NFQUEUE --queue-num 7", "iptables-legacy -t filter -A FORWARD -i cni0 -j NFQUEUE", 7),
    "legacy, several": ("iptables-legacy -t mangle -A PREROUTING -j NFQUEUE --queue-balance 6:7", "iptables-legacy -t mangle -A PREROUTING -j NFQUEUE", 6),
    "iptables-nft": ("iptables-nft -A FORWARD -i cni0 -j NFQUEUE --queue-num 7", "nft ip filter FORWARD handle {handle}: -i cni0 -j NFQUEUE", 7),
}


@pytest.fixture
def reader(world):
    running = []

    def read(queue):
        process = subprocess.Popen([*world.inside(), sys.executable, "-c", READ_QUEUE, str(queue)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout.readline() == "bound\n"

    yield read
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("command, text, lost", RULES.values(), ids=RULES)
def test_a_queue_that_nothing_reads(world, pod, reader, command, text, lost):
    world.run(*command.split())
    assert heard(world, pod) == NONE
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    where = found["forward-drops-pods"]["where"]
    assert where[0].startswith(text.split("{handle}")[0]) and where[0].endswith(text.split("{handle}")[-1] + f" (nothing reads queue {lost})")
    assert any(line.startswith(f"# start what reads queue {lost} again, or") for line in found["forward-drops-pods"]["fix"])
    for queue in range(lost, 8):
        reader(queue)
    assert weights(world) == {"rules-not-understood": "note"}


@pytest.mark.parametrize("command", [f"{RULES['legacy'][0]} --queue-bypass", f"{RULES['iptables-nft'][0]} --queue-bypass"])
def test_a_queue_that_need_not_be_read(world, pod, command):
    world.run(*command.split())
    assert heard(world, pod) == ALL
    assert weights(world) == {"rules-not-understood": "note"}
