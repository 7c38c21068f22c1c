"""The agent of a node, and what happens to it."""

import os
import signal
import subprocess
import sys

from harness.daemons import PATIENCE, wait_until
from harness.node import BINARY


class Agent:
    """Runs on a node until ended; `lines`: what it has logged."""

    def __init__(self, node, *flags, through=(), **variables):
        """`through`: a program that runs it, and is replaced by it."""
        self.node = node
        self.path = node.folder / "agent.log"
        self.log = open(self.path, "w")
        self.process = subprocess.Popen(node.inside(*through, BINARY, "agent", "--state-dir", node.state, *flags), stdout=self.log,
                                        stderr=subprocess.STDOUT,
                                        env={**os.environ, **node.env, "ASAN_OPTIONS": "quarantine_size_mb=1", **variables})

    @property
    def lines(self):
        return [line.removeprefix("ip-masq agent: ") for line in self.path.read_text().splitlines()]

    @property
    def descriptors(self):
        return os.listdir(f"/proc/{self.process.pid}/fd")

    def until(self, condition, pause=0.05):
        wait_until(condition, self.process, "the agent", pause)

    def until_it_says(self, text):
        self.until(lambda: any(text in line for line in self.lines))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.log.close()
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
