"""No test waits for ever: what it awaited is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WAITS = {
    "a line": "subprocess.Popen(['sleep', '60'], stdout=subprocess.PIPE).stdout.readline()",
    "an end": "subprocess.Popen(['sleep', '60']).wait()",
    "a condition": "threading.Event().wait()",
    "a thread": "threading.Thread(target=time.sleep, args=[60], daemon=True).start() or threading.enumerate()[-1].join()",
    "many": "list(ThreadPool(2).map(time.sleep, [60, 60]))",
    "in a loop": "while True: pass",
}
PLACES = {"setup": "@pytest.fixture\ndef given():\n    {}\n\ndef test(given): pass\n",
          "call": "def test():\n    {}\n",
          "teardown": "@pytest.fixture\ndef given():\n    yield\n    {}\n\ndef test(given): pass\n"}


@pytest.mark.parametrize("place, wait", [*(("call", wait) for wait in WAITS), ("setup", "a line"), ("teardown", "a line")])
def test_a_wait_without_an_end(tmp_path, place, wait):
    (tmp_path / "test_it.py").write_text("import subprocess, threading, time\nfrom multiprocessing.pool import ThreadPool\nimport pytest\n\n"
                                         + PLACES[place].format(WAITS[wait]))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "harness.longest_wait", "test_it.py"], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "LONGEST_WAIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"> {WAITS[wait]}".replace(" ", "") in done.stdout.replace(" ", ""), done.stdout
    assert "waits here since 1 s" in done.stdout
