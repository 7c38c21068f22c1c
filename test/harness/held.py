#!/usr/bin/env python3
"""Connections that are held while their entries in conntrack go, and what of them a host sees. One program for both ends,
since it runs inside network namespaces.

  held.py see INTERFACE              prints "ready"; when its input ends {"DESTINATION": [each source of packets to it, once]}
  held.py hold [udp:]ADDRESS...      connects to each by TCP, or not at all, to port 7007, and prints "ready"; then, on each
                                     connection for each line of its input, one of
      data   sends some        fin   ends its side        rst   resets
      error  an ICMP error about the connection, as of a host that takes no packet of it
      beyond a segment far beyond the window that the other side offered
      wait   waits for an answer
  it prints what came of it, a line a connection: "done", an answer, or the error that there was
"""

import ipaddress
import json
import select
import socket
import struct
import subprocess
import sys

PATIENCE = 3
PORT = 7007
TCP = 6
# What the interpreter does without starts it sooner.
RUN = [sys.executable, "-S", "-E", __file__]


class Held:
    """Holds connections in a namespace, one to each address; "udp:10.9.9.9": by UDP."""

    def __init__(self, namespace, *addresses):
        self.addresses = addresses
        self.process = subprocess.Popen(namespace.inside(*RUN, "hold", *addresses), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def all(self, action):
        """What came of it, in the order of the addresses."""
        self.process.stdin.write(action + "\n")
        self.process.stdin.flush()
        return [self.process.stdout.readline().rstrip("\n") for _ in self.addresses]

    def __call__(self, action):
        """The same of the only connection."""
        told, = self.all(action)
        return told

    def end(self):
        self.process.kill()
        self.process.communicate()


class Seen:
    """What comes in by an interface of a namespace."""

    def __init__(self, namespace, interface="to-node"):
        self.process = subprocess.Popen(namespace.inside(*RUN, "see", interface),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        """{destination: [source, ...]}"""
        output, _ = self.process.communicate()
        return json.loads(output)


def addresses_of(packet):
    if packet[0] >> 4 == 4:
        source, destination = packet[12:16], packet[16:20]
    else:
        source, destination = packet[8:24], packet[24:40]
    return str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination))


def see(interface):
    seen = {}
    taps = []
    for kind in (0x0800, 0x86dd):
        taps.append(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind)))
        taps[-1].bind((interface, kind))
    print("ready", flush=True)
    ends = False
    while True:
        readable = select.select([sys.stdin, *taps], [], [], 0 if ends else None)[0]
        if ends and not readable:
            break
        for each in readable:
            if each is sys.stdin:
                ends = True
                continue
            packet, (_, _, direction, *_) = each.recvfrom(2048)
            if direction != socket.PACKET_OUTGOING and len(packet) >= (20 if packet[0] >> 4 == 4 else 40):
                source, destination = addresses_of(packet)
                seen.setdefault(destination, set()).add(source)
        if ends and readable == [sys.stdin]:
            break
    print(json.dumps({destination: sorted(sources) for destination, sources in seen.items()}))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def send_error(connection):
    """Port unreachable, about a packet that the other side would have sent."""
    (source, port, *_), (destination, their_port, *_) = connection.getsockname(), connection.getpeername()
    is_ipv6 = ":" in source
    ours, theirs = (ipaddress.ip_address(text).packed for text in (source, destination))
    segment = struct.pack("!HHII", their_port, port, 1, 1) + struct.pack("!BBHHH", 5 << 4, 16, 1024, 0, 0)
    if is_ipv6:
        packet = struct.pack("!IHBB", 6 << 28, len(segment), TCP, 64) + theirs + ours + segment
        message = struct.pack("!BBHI", 1, 4, 0, 0) + packet  # the kernel writes the checksum
        protocol = socket.IPPROTO_ICMPV6
    else:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, TCP, 0) + theirs + ours
        packet = head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment
        message = struct.pack("!BBHI", 3, 3, 0, 0) + packet
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        protocol = socket.IPPROTO_ICMP
    with socket.socket(connection.family, socket.SOCK_RAW, protocol) as raw:
        raw.sendto(message, (destination, 0))


def next_number(connection):
    """Of the next byte to be sent: only a socket under repair tells."""
    repair, repair_queue, queue_sequence = 19, 20, 21  # linux/tcp.h
    connection.setsockopt(socket.IPPROTO_TCP, repair, 1)
    connection.setsockopt(socket.IPPROTO_TCP, repair_queue, 2)
    number = connection.getsockopt(socket.IPPROTO_TCP, queue_sequence)
    connection.setsockopt(socket.IPPROTO_TCP, repair, -1)  # nothing is sent for that
    return number & 0xffffffff


def send_beyond(connection):
    (source, port, *_), (destination, their_port, *_) = connection.getsockname(), connection.getpeername()
    number = (next_number(connection) + (1 << 30)) & 0xffffffff
    segment = struct.pack("!HHII", port, their_port, number, 1) + struct.pack("!BBHHH", 5 << 4, 16, 1024, 0, 0)
    ends = b"".join(ipaddress.ip_address(text).packed for text in (source, destination))
    checked = checksum(ends + struct.pack("!IHBB", len(segment), 0, 0, TCP) + segment)
    segment = segment[:16] + struct.pack("!H", checked) + segment[18:]
    with socket.socket(connection.family, socket.SOCK_RAW, TCP) as raw:
        raw.sendto(segment, (destination, 0))


def act(connection, action):
    if action == "data":
        connection.sendall(b"source")
    elif action == "fin":
        connection.shutdown(socket.SHUT_WR)
    elif action == "rst":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    elif action == "error":
        send_error(connection)
    elif action == "beyond":
        send_beyond(connection)
    elif action == "wait":
        return connection.recv(100).decode()
    return "done"


def connect(address):
    if not address.startswith("udp:"):
        return socket.create_connection((address, PORT), timeout=PATIENCE)
    address = address.removeprefix("udp:")
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    bound.settimeout(PATIENCE)
    bound.connect((address, PORT))
    return bound


def hold(addresses):
    connections = [connect(address) for address in addresses]
    print("ready", flush=True)
    for line in sys.stdin:
        for connection in connections:
            try:
                print(act(connection, line.strip()), flush=True)
            except OSError as error:
                print(error, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "see":
        see(sys.argv[2])
    else:
        hold(sys.argv[2:])
