"""Packets of pods, as a node gets them, and as the world outside it sees them.

Both ends of the node are held by one process: frames go in where pods are, and come out at the uplink or where pods are. So a
question costs two system calls, and its source can be any pod's. Each is a new connection: no decision of before counts."""

import ipaddress
import json
import os
import select
import socket
import struct
import time

PATIENCE = 0.25  # seconds until a packet that does not come out counts as dropped
FIN_PATIENCE = 0.02  # once all that was sent after it came out
ETHERTYPE = {4: 0x0800, 6: 0x86dd}
UDP, TCP = 17, 6
FIN = "fin"  # a TCP segment that ends a connection that nobody began: no NAT can be asked about it


def family_of(address):
    return 6 if ":" in address else 4


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def segment(source, destination, protocol, ports, tag):
    """UDP with the tag as its data, or TCP, a SYN or a FIN, with the tag as its sequence number."""
    flags, protocol = (17, TCP) if protocol == FIN else (2, protocol)
    payload = struct.pack("!I", tag)
    if protocol == UDP:
        head, place = struct.pack("!HHHH", *ports, 12, 0), 6
    else:
        head, payload, place = struct.pack("!HHIIBBHHH", *ports, tag, 0, 5 << 4, flags, 1024, 0, 0), b"", 16
    size = len(head) + len(payload)
    if len(source) == 4:
        pseudo = source + destination + struct.pack("!BBH", 0, protocol, size)
    else:
        pseudo = source + destination + struct.pack("!IHBB", size, 0, 0, protocol)
    whole = checksum(pseudo + head + payload) or 0xffff
    return head[:place] + struct.pack("!H", whole) + head[place + 2:] + payload


def packet(source, destination, protocol, ports, tag):
    source, destination = (ipaddress.ip_address(text).packed for text in (source, destination))
    data = segment(source, destination, protocol, ports, tag)
    protocol = TCP if protocol == FIN else protocol
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + source + destination + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), tag & 0xffff, 0, 64, protocol, 0) + source + destination
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def read(data):
    """(tag, source) of a packet of ours; None of another one."""
    if len(data) < 28:
        return None
    if data[0] >> 4 == 4:
        protocol, source, data = data[9], data[12:16], data[(data[0] & 15) * 4:]
    else:
        protocol, source, data = data[6], data[8:24], data[40:]
    if protocol == UDP and len(data) >= 12:
        tag = data[8:12]
    elif protocol == TCP and len(data) >= 20 and data[13] in (2, 17):
        tag = data[4:8]
    else:
        return None
    return struct.unpack("!I", tag)[0], str(ipaddress.ip_address(source))


class Wire:
    """Made in the namespace at the other end of the node's links. `pods`: the name of the link there that leads to where the
    node has its pods; `gateway`: the hardware address of the node on it."""

    def __init__(self, pods, gateway):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.setblocking(False)
        self.pods = pods
        links = json.loads(os.popen("ip -j link").read())
        mine = next(link["address"] for link in links if link["ifname"] == pods)
        self.ethernet = bytes.fromhex((gateway + mine).replace(":", ""))
        self.asked = 0

    def ask(self, questions):
        """`questions`: (source, destination, protocol). Of each the source address that was seen, None where nothing came."""
        tags = {}
        in_order = sorted(enumerate(questions), key=lambda each: each[1][2] != FIN)
        for number, (source, destination, protocol) in in_order:
            self.asked += 1
            ports = 1024 + self.asked % 60000, 7000 + self.asked // 60000
            frame = self.ethernet + struct.pack("!H", ETHERTYPE[family_of(source)])
            tags[self.asked] = number
            self.socket.sendto(frame + packet(source, destination, protocol, ports, self.asked), (self.pods, 0))
        seen = [None] * len(questions)
        deadline = time.monotonic() + PATIENCE
        while tags:
            if all(questions[number][2] == FIN for number in tags.values()):
                deadline = min(deadline, time.monotonic() + FIN_PATIENCE)
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                break
            data, (_, _, kind, *_) = self.socket.recvfrom(2048)
            answer = read(data[14:]) if kind != socket.PACKET_OUTGOING else None
            if answer and answer[0] in tags:
                seen[tags.pop(answer[0])] = answer[1]
        return seen
