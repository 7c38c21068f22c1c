"""An end for waits that have none of their own: a line of a program that never speaks, the end of one that hangs. It is so far
off that no machine is too slow for it, and is there so that what was awaited has a name."""

import contextlib
import os
import signal

import pytest

LONGEST = float(os.environ.get("LONGEST_WAIT", 40 * 60))


@contextlib.contextmanager
def bound(what):
    """Of the main thread. What is awaited while things are cleared up has an end as well."""
    def end(number, frame):
        pytest.fail(f"{what} waits here since {LONGEST:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LONGEST, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup():
    with bound("the preparation of a test"):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    with bound("a test"):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown():
    with bound("the end of a test"):
        yield
