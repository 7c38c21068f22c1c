"""Clients of the agent's listener that nobody wishes for: each is a program of its own, PRELUDE + CLIENTS[kind], that asks at
127.0.0.1:9464, says once that it is under way, and ends by itself."""

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
told = False
def under_way():
    global told
    if not told: print(flush=True)
    told = True
"""
CLIENTS = {
    "slow": """def step(made):
    made.sendall(b"GET /healthz HTTP/1.1\\r\\nX: ")
    under_way()
    while True:
        made.sendall(b"x")
        time.sleep(0.8)
go_on(step)""",
    "many": """held = [connect() for _ in range(200)]
under_way()
while time.monotonic() < end:
    held = held[1:] + [connect()]
    time.sleep(0.005)""",
    "deaf": """def step(made):
    made.sendall(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    under_way()
    time.sleep(2)
for _ in range(40): threading.Thread(target=go_on, args=(step, 1024), daemon=True).start()
time.sleep(100)""",
    "greedy": """def step(made):
    made.sendall(b"GET /healthz HTTP/1.1\\r\\n")
    under_way()
    made.sendall(b"x" * 1000000)
go_on(step)""",
    "garbage": """def step(made):
    made.sendall(os.urandom(100))
    made.sendall(b"\\r\\n\\r\\n")
    under_way()
    made.recv(1000)
go_on(step)""",
}
