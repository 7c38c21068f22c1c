#!/usr/bin/env python3
"""Who sees which source address. One program for both ends, since it runs inside network namespaces.

  witness.py serve ADDRESS...       answers TCP, UDP and ICMP at these addresses; prints "ready"
  witness.py ask PROTOCOL:ADDRESS[:PORT]...   asks each, prints {"PROTOCOL:ADDRESS": source address seen there, or null}
  witness.py watch PROTOCOL:ADDRESS[:PORT]... asks each every 10 ms until its input ends; "ready" after the first answers, then
                                              prints {"PROTOCOL:ADDRESS": [each source seen, once], ..., "rounds": N}, and on
                                              standard error when each was seen first

TCP and UDP answers carry the source address. An ICMP echo is answered by the kernel; its source is asked for over TCP.
"""

import json
import os
import select
import socket
import struct
import sys
import threading
from datetime import datetime

PORT = 7007
PATIENCE = 3


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def plain(address):
    return address.split("%")[0].removeprefix("::ffff:")


class Server:
    def __init__(self, addresses):
        self.addresses = addresses
        self.echoes = {}
        self.changed = threading.Condition()

    def serve(self):
        for address in self.addresses:
            for answer in (self.tcp, self.udp):
                threading.Thread(target=answer, args=(self.bind(address, answer == self.tcp),), daemon=True).start()
        for family, protocol, echo, skip in ((socket.AF_INET, socket.IPPROTO_ICMP, 8, 20),
                                             (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 0)):
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            threading.Thread(target=self.icmp, args=(raw, echo, skip), daemon=True).start()
        print("ready", flush=True)
        threading.Event().wait()

    @staticmethod
    def bind(address, is_tcp):
        bound = socket.socket(family_of(address), socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, PORT))
        if is_tcp:
            bound.listen(64)
        return bound

    def tcp(self, listener):
        while True:
            connection, peer = listener.accept()
            threading.Thread(target=self.answer_tcp, args=(connection, plain(peer[0])), daemon=True).start()

    def answer_tcp(self, connection, peer):
        with connection:
            question = connection.recv(100).decode()
            if question.startswith("echo "):
                tag = question.split()[1]
                with self.changed:
                    self.changed.wait_for(lambda: tag in self.echoes, PATIENCE)
                    peer = self.echoes.get(tag, "")
            connection.sendall(peer.encode())

    @staticmethod
    def udp(bound):
        while True:
            _, peer = bound.recvfrom(100)
            bound.sendto(plain(peer[0]).encode(), peer)

    def icmp(self, raw, echo, skip):
        while True:
            packet, peer = raw.recvfrom(2000)
            if packet[skip] == echo:
                with self.changed:
                    self.echoes[packet[skip + 8:].decode(errors="replace")] = plain(peer[0])
                    self.changed.notify_all()


def ask_tcp(address, port, question="source"):
    with socket.create_connection((address, port), timeout=PATIENCE) as connection:
        connection.sendall(question.encode())
        return connection.recv(100).decode() or None


def ask_udp(address, port):
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as bound:
        bound.settimeout(PATIENCE)
        bound.connect((address, port))
        bound.send(b"source")
        return bound.recv(100).decode()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def ask_icmp(address, port):
    is_ipv6 = ":" in address
    tag = os.urandom(8).hex()
    header = struct.pack("!BBHHH", 128 if is_ipv6 else 8, 0, 0, os.getpid() & 0xffff, 1)
    if not is_ipv6:  # of ICMPv6 the kernel writes the checksum
        header = header[:2] + struct.pack("!H", checksum(header + tag.encode())) + header[4:]
    protocol = socket.IPPROTO_ICMPV6 if is_ipv6 else socket.IPPROTO_ICMP
    with socket.socket(family_of(address), socket.SOCK_RAW, protocol) as raw:
        raw.sendto(header + tag.encode(), (address, 0))
        raw.setblocking(False)
        deadline = PATIENCE
        while select.select([raw], [], [], deadline)[0]:
            if tag.encode() in raw.recv(2000):
                break
        else:
            return None
    return ask_tcp(address, port, f"echo {tag}")


def ask(question):
    protocol, rest = question.split(":", 1)
    address, port = rest, PORT
    if rest.startswith("["):
        address, port = rest[1:].split("]:")
    elif rest.count(":") == 1:
        address, port = rest.split(":")
    try:
        return {"tcp": ask_tcp, "udp": ask_udp, "icmp": ask_icmp}[protocol](address, int(port))
    except OSError:
        return None


def ask_all(questions):
    """Side by side: several that are dead take no longer than one."""
    answers = dict.fromkeys(questions)
    threads = [threading.Thread(target=lambda each=question: answers.update({each: ask(each)})) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


FEWEST_ROUNDS = 10


def watch(questions):
    """Each question in a thread of its own: an answer that is long in coming holds up no other."""
    seen = {question: [] for question in questions}
    times = dict.fromkeys(questions, 0)
    first_answers = threading.Barrier(len(questions) + 1)
    ends = threading.Event()

    def keep_asking(question):
        while not ends.is_set() or times[question] <= FEWEST_ROUNDS:
            source = ask(question)
            if source not in seen[question]:
                seen[question].append(source)
                print(f"{datetime.now().time()}: {question} sees {source}", file=sys.stderr)
            times[question] += 1
            if times[question] == 1:
                first_answers.wait()
            ends.wait(0.01)

    threads = [threading.Thread(target=keep_asking, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    first_answers.wait()
    print("ready", flush=True)
    sys.stdin.read()
    ends.set()
    for thread in threads:
        thread.join()
    print(json.dumps({**seen, "rounds": min(times.values())}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Server(sys.argv[2:]).serve()
    elif sys.argv[1] == "watch":
        watch(sys.argv[2:])
    else:
        print(json.dumps(ask_all(sys.argv[2:])))
