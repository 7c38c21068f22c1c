"""What of the program's ELF file makes it hard to attack: the release program and the static one."""

import platform
import re
import subprocess

import pytest
from harness.node import BINARY, STATIC
from harness.system_calls import SANITIZED


def read(program, *options):
    return subprocess.run(["readelf", "-W", *options, program], capture_output=True, text=True, check=True).stdout


@pytest.fixture(params=["release", "static"])
def program(request):
    if request.param == "static":
        request.getfixturevalue("static")
        return STATIC
    if SANITIZED or BINARY.parts[-3:-2] != ("release",):
        pytest.skip("the program under test is built for finding errors, not for nodes")
    return BINARY


def segments(program):
    """{type: flags}"""
    return {found[1]: found[2].replace(" ", "") for found in re.finditer(
        r"^  (\w+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([R ][W ][E ]) ", read(program, "-l"), re.M)}


def test_it_is_loaded_where_nobody_knows(program):
    assert "Type:                              DYN" in read(program, "-h")
    assert "PIE" in re.search(r"\(FLAGS_1\) .*", read(program, "-d"))[0]
    assert (program == STATIC) == ("INTERP" not in segments(program)) == ("(NEEDED)" not in read(program, "-d"))


def test_tables_of_the_linker_and_the_stack_are_out_of_reach(program):
    assert segments(program)["GNU_RELRO"] == "R"
    assert segments(program)["GNU_STACK"] == "RW"
    assert "E" not in {flags[-1] for flags in segments(program).values() if "W" in flags}, "nothing is writable and executable"
    dynamic = read(program, "-d")
    assert re.search(r"\(FLAGS\) +BIND_NOW", dynamic) and re.search(r"\(FLAGS_1\) +Flags: .*NOW", dynamic)


def test_buffers_are_checked(program):
    """By the compiler's own traces: of a static program, whose symbols are its own, as of one that asks for them."""
    symbols = read(program, "-s")
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__(read|memcpy|snprintf|vsnprintf|fprintf|poll)_chk\b", symbols)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="CET is of this processor")
def test_calls_end_where_calls_may(program):
    """In our own code: the note of the whole file needs all libraries to have it, and Debian's have not."""
    main = re.search(r"^\s*\d+: (\w+) +\d+ FUNC .* main$", read(program, "-s"), re.M)
    assert main, "the program has its symbols"
    code = subprocess.run(["objdump", "-d", f"--start-address=0x{main[1]}", f"--stop-address=0x{int(main[1], 16) + 16:x}", program],
                          capture_output=True, text=True, check=True).stdout
    assert "endbr64" in code
