#!/usr/bin/env python3
"""Connections on which both sides send all the time. Runs inside network namespaces.

  stream.py serve ADDRESS...               sends, every 2 ms, to whoever sent something last to port 7100 by UDP, or has opened a connection
                                           of TCP; prints "ready"
  stream.py send udp|tcp ADDRESS           sends there every 5 ms, and prints "ready" once it got something; of each line of its
                                           input, prints "done" when it has sent 20 more, or the error that it met
"""

import itertools
import socket
import sys
import threading
import time

PORT = 7100


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve_udp(address):
    bound = socket.socket(family_of(address), socket.SOCK_DGRAM)
    bound.bind((address, PORT))
    _, peer = bound.recvfrom(100)
    bound.settimeout(0.002)
    while True:
        try:
            bound.sendto(b"stream", peer)
            _, peer = bound.recvfrom(100)
        except OSError:
            pass  # nothing came, or nobody is there any more


def serve_tcp(address):
    with socket.create_server((address, PORT), family=family_of(address)) as listener:
        connection, _ = listener.accept()
    try:
        while True:
            connection.sendall(b"stream")
            time.sleep(0.002)
    except OSError:
        connection.close()


def serve(addresses):
    threads = [threading.Thread(target=one, args=(address,)) for address in addresses for one in (serve_udp, serve_tcp)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)


class Sender:
    def __init__(self, kind, address):
        self.connection = socket.socket(family_of(address), kind)
        self.sent, self.error, self.changed = 0, None, threading.Condition()
        self.is_stream = kind == socket.SOCK_STREAM
        threading.Thread(target=self.keep_sending, args=(address,), daemon=True).start()

    def keep_sending(self, address):
        for attempt in itertools.count():
            try:
                if attempt == 0 or (self.is_stream and self.sent == 0):
                    self.connection.connect((address, PORT))
                self.connection.send(b"more")
                if self.sent == 0:
                    self.connection.recv(100)
            except OSError as error:
                if self.sent > 0 and self.is_stream:
                    self.tell(error)
                    return
            self.tell(None)
            time.sleep(0.005)

    def tell(self, error):
        with self.changed:
            self.sent, self.error = self.sent + 1, error
            self.changed.notify_all()

    def wait_for_more(self, number):
        with self.changed:
            end = self.sent + number
            self.changed.wait_for(lambda: self.error or self.sent >= end)
            return self.error or "done"


def send(protocol, address):
    sender = Sender({"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[protocol], address)
    sender.wait_for_more(1)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(sender.wait_for_more(20), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        send(*sys.argv[2:])
