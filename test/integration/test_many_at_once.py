"""Calls beside each other, beside other programs, and killed at any moment."""

import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness.texts import CBR0, Subnet


def ips_of(number):
    """Ten pods to a subnet."""
    return [f"10.{number // 10}.1.{number % 10 + 2}/24"]


def put_foreign_rule(node):
    """A rule of somebody else, which must be there in the end."""
    if node.backend == "nftables":
        node.nft("-f", "-", input="table ip foreign { chain post { type nat hook postrouting priority srcnat; "
                                  "ip saddr 198.51.100.0/24 counter masquerade; }; chain rival { }; }")
    else:
        node.iptables("-A", "POSTROUTING", "-s", "198.51.100.0/24", "-j", "MASQUERADE")


class Rival(threading.Thread):
    """Another program that inserts and deletes rules of its own, as it should."""

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.stop = threading.Event()
        self.failures = []
        self.rounds = 0

    def change(self, address):
        if self.node.backend == "nftables":
            self.node.nft("add", "rule", "ip", "foreign", "rival", "ip", "saddr", address, "return")
            self.node.nft("flush", "chain", "ip", "foreign", "rival")
        else:
            self.node.iptables("-A", "POSTROUTING", "-s", address, "-j", "RETURN")
            self.node.iptables("-D", "POSTROUTING", "-s", address, "-j", "RETURN")

    def run(self):
        while not self.stop.is_set():
            try:
                self.change(f"192.0.2.{self.rounds % 250}")
            except AssertionError as failure:
                self.failures.append(str(failure))
            self.rounds += 1

    def end(self):
        self.stop.set()
        self.join()
        assert self.failures == []
        assert self.rounds > 0


def test_a_hundred_adds_and_dels_from_sixteen_processes_beside_another_program(node):
    put_foreign_rule(node)
    before = node.save()
    rival = Rival(node)
    rival.start()

    def pod(number):
        node.add(f"pod-{number}", ips=ips_of(number))
        if number % 2:
            node.delete(f"pod-{number}", ips=ips_of(number))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(pod, range(100)))
    rival.end()

    assert len(node.recorded()) == 50
    assert node.check("pod-2", ips=ips_of(2)) is None
    subnets = [Subnet(f"10.{number}.1.0/24") for number in range(10)]
    if node.backend == "nftables":
        assert node.save() == before + node.expected(*subnets)
    else:
        foreign = "-A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE\n"
        assert foreign in node.save()
        assert node.save().replace(foreign, "") == node.expected(*subnets)

    rival = Rival(node)
    rival.start()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: node.delete(f"pod-{number}", ips=ips_of(number)), range(100)))
    rival.end()
    assert node.save() == before
    assert list(node.files()) == ["lock"]


def test_the_same_container_from_many_processes(node):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: node.add("pod-1"), range(32)))
    assert node.save() == node.expected(CBR0)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: node.delete("pod-1"), range(32)))
    assert node.save() == node.expected()


def test_killed_at_any_moment(node):
    """300 ADDs and DELs, each killed after a random part of the time that it takes: the next call mends."""
    put_foreign_rule(node)
    before = node.save()
    started = time.monotonic()
    node.add("pod-0", ips=ips_of(0))
    node.delete("pod-0", ips=ips_of(0))
    usual = (time.monotonic() - started) / 2
    dice = random.Random(7)
    killed = 0

    for number in range(150):
        pod, ips = f"pod-{number % 3}", ips_of(10 * (number % 3))
        for command in ("ADD", "DEL"):
            process = node.start(command, pod, node.netconf(ips=ips))
            try:
                process.wait(dice.uniform(0, 1.2) * usual)
            except subprocess.TimeoutExpired:
                # The namespace's exec replaces itself by the plugin, so this is the plugin, or is about to be.
                process.kill()
                killed += process.wait() == -signal.SIGKILL
            process.stdout.close()
            process.stderr.close()
        if number % 3 == 2:
            pod, ips = f"pod-{number}", ips_of(10 * (number % 3))
            node.add(pod, ips=ips)
            assert node.check(pod, ips=ips) is None
            node.delete(pod, ips=ips)

    assert killed > 50
    for number in range(3):
        node.delete(f"pod-{number}", ips=ips_of(10 * number))
    assert node.save() == before
    assert list(node.files()) == ["lock"]


def test_no_attachment_is_lost_by_a_kill(node):
    """An ADD that answered is recorded, whatever happens to the calls after it."""
    dice = random.Random(8)
    for number in range(60):
        node.add(f"pod-{number}")
        process = node.start("ADD", f"pod-{number}", node.netconf())
        try:
            process.wait(dice.uniform(0, 0.004))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()
        assert node.check(f"pod-{number}") is None
    recorded = node.recorded()
    assert len(recorded) == 60
    assert node.save() == node.expected(CBR0)
