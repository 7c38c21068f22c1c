"""ip-masq completion: what shells offer is what --help says."""

import re
import shutil
import subprocess

import pytest
from harness.node import BINARY


def told(*argv):
    return subprocess.run([BINARY, *argv], capture_output=True, text=True, check=True).stdout


HELP = told("--help")
COMMANDS = re.findall(r"^  ip-masq (\w+) ", HELP, re.MULTILINE)


@pytest.fixture
def offered(tmp_path):
    """What bash offers after a line, the last word of which may be begun."""
    script = tmp_path / "completion"
    script.write_text(told("completion", "bash"))

    def offered(line):
        ask = f'source {script}; COMP_WORDS=({line}); [[ "{line}" != *" " ]] || COMP_WORDS+=(""); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); '
        ask += '_ip_masq; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-u", "-c", ask], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return offered


@pytest.mark.parametrize("line, words", [
    ("ip-masq ", [*COMMANDS, "--help", "--version"]),
    ("ip-masq un", ["uninstall"]),
    ("ip-masq sync ", ["--state-dir", "--help"]),
    ("ip-masq --state-dir /x adopt -", ["--state-dir", "--flavour", "--conf-dir", "--dry-run", "-o", "--output", "--help"]),
    ("ip-masq show -o ", ["text", "json"]),
    ("ip-masq show --output j", ["json"]),
    ("ip-masq install --conf-dir /et", ["/etc"]),
    ("ip-masq agent --config-from /etc/hostn", ["/etc/hostname"]),
    ("ip-masq agent --listen ", []),
    ("ip-masq completion f", ["fish"]),
])
def test_what_bash_offers(offered, line, words):
    assert offered(line) == words


def test_each_command_has_the_options_that_its_help_names(offered):
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)(?: \S+)?  +(?:((?:\w+, )*\w+): )?", HELP, re.MULTILINE)
    assert len(options) > 10
    for command in COMMANDS:
        named = [option for option, commands in options if not set(commands.split(", ")) & set(COMMANDS) or command in commands.split(", ")]
        assert [word for word in offered(f"ip-masq {command} --")] == [*named, "--help"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_another_shell_takes_it(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(told("completion", shell))
    subprocess.run([shell, "-n", script], check=True)


def test_a_shell_that_is_not_known():
    done = subprocess.run([BINARY, "completion", "csh"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        2, "", 'ip-masq: there is no completion for "csh": expected bash, zsh or fish; see ip-masq --help\n')


OPTIONS = re.findall(r"^  (?:-\w, )?(--[\w-]+) ([\w:|]+) +(?:((?:\w+, )*\w+): )?", HELP, re.MULTILINE)
OPERANDS = {name: operands.split() for name, operands in re.findall(r"^  ip-masq (\w+)((?: [A-Z]+| bash\|zsh\|fish)*) ", HELP, re.MULTILINE)}


def refused(*argv):
    done = subprocess.run([BINARY, *argv], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_value_is_empty(command):
    """As of a variable that a script has not set: never the folder that is there without it, nor the one that the shell stands in."""
    assert {option for option, _, _ in OPTIONS} >= {"--state-dir", "--config-from", "--listen", "--conf-dir", "--bin-dir", "--after", "--port", "--output"}
    operands = ["10.1.1.1"] * len(OPERANDS[command])
    for option, value, commands in OPTIONS:
        of = set(commands.split(", ")) & set(COMMANDS)
        told = f"{option} is empty: expected {value}" if not of or command in of or option == "--output" else f"{command} has no option {option}"
        for given in ([option, ""], [f"{option}="]):
            assert refused(command, *operands, *given) == (2, "", f"ip-masq: {told}; see ip-masq --help\n")
    for place in range(len(operands)):
        empty = [*operands[:place], "", *operands[place + 1:]]
        assert refused(command, *empty) == (
            2, "", f"ip-masq: an argument of {command} is empty: expected {' '.join(OPERANDS[command])}; see ip-masq --help\n")
