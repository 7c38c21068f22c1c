"""The agent of a node, and what happens to it."""

import itertools
import os
import signal
import socket
import subprocess
import sys

from harness.daemons import PATIENCE, wait_until
from harness.node import BINARY

NUMBERS = itertools.count()


class Agent:
    """Runs on a node until ended; `lines`: what it has logged, `notify`: a socket at which it tells what systemd would hear."""

    def __init__(self, node, *flags, through=(), **variables):
        """`through`: a program that runs it, and is replaced by it."""
        self.node = node
        self.path = node.folder / "agent.log"
        self.log = open(self.path, "w")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(PATIENCE)
        path = node.folder / f"notify{next(NUMBERS)}"
        self.notify.bind(str(path))
        self.process = subprocess.Popen(node.inside(*through, BINARY, "agent", "--state-dir", node.state, *flags), stdout=self.log,
                                        stderr=subprocess.STDOUT,
                                        env={**os.environ, **node.env, "NOTIFY_SOCKET": str(path),
                                             "ASAN_OPTIONS": "quarantine_size_mb=1", **variables})

    @property
    def lines(self):
        return [line.removeprefix("ip-masq agent: ") for line in self.path.read_text().splitlines()]

    @property
    def descriptors(self):
        return os.listdir(f"/proc/{self.process.pid}/fd")

    def until(self, condition, pause=0.05):
        wait_until(condition, self.process, "the agent", pause)

    def until_it_runs(self):
        """Its first pass is over: what is changed from now on is seen by a later one."""
        assert self.notify.recv(100) == b"READY=1"

    def until_it_says(self, text):
        self.until(lambda: any(text in line for line in self.lines))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.log.close()
        self.notify.close()
        return status


def page(node, path):
    """(status, body) of what the agent answers at 127.0.0.1:9464; (0, why) where nobody does."""
    script = f"""import urllib.error, urllib.request
try: answer = urllib.request.urlopen("http://127.0.0.1:9464{path}")
except urllib.error.HTTPError as error: answer = error
except OSError as error: raise SystemExit(print(0, error, end=""))
print(answer.status, answer.read().decode(), end="")"""
    status, body = node.run(sys.executable, "-c", script).split(" ", 1)
    return int(status), body


def is_right(node, *subnets):
    return lambda: node.save() == node.expected(*subnets)


# Somebody takes away what is ours.
BLOWS = {"iptables": lambda node: node.iptables("-F", "IP-MASQ-PODS"), "nftables": lambda node: node.nft("flush", "ruleset")}
