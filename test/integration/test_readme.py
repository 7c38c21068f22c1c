"""README says the same as the code."""

import re
import subprocess
from pathlib import Path

import pytest
from harness.doctor import finding_names
from harness.node import ROOT, STATIC

README = (ROOT / "README.md").read_text()


def section(title):
    return re.search(rf"^## {title}$(.*?)(?=^##+ )", README, re.MULTILINE | re.DOTALL)[1]


def first_cells(text):
    """The names in the first column of the section's tables."""
    return [name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def test_the_configuration_table_names_every_key(node):
    known = re.findall(r'\{"(\w+)"', (ROOT / "lib/config/key_names.hpp").read_text())
    documented = first_cells(section("Configuration"))
    assert documented == known
    code, message = node.call("ADD", "pod-1", {**node.netconf(), **{key: {} for key in documented}}).error
    assert code == 7
    assert sorted(re.findall(r"(\w+) is \{\}", message)) == sorted(documented)


def test_the_commands_are_those_of_the_help(node):
    documented = [re.match(r"ip-masq (\w+)", name)[1] for name in first_cells(section("By hand")) if name.startswith("ip-masq ")]
    assert documented == re.findall(r"^  ip-masq (\w+) ", node.tool("--help"), re.MULTILINE)


def test_the_install_command_puts_the_plugin_where_it_says(static, tmp_path):
    assert "cmake --install build/static" in section("Install")
    subprocess.run(["cmake", "--install", STATIC.parents[1], "--prefix", tmp_path], check=True, capture_output=True)
    installed = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert installed == ["bin/ip-masq", "share/man/man8/ip-masq.8"]
    assert subprocess.run([tmp_path / "bin/ip-masq", "--version"], check=True, capture_output=True, text=True).stdout.startswith("ip-masq ")


def test_every_finding_of_doctor_is_listed():
    assert sorted(first_cells(section("What doctor finds"))) == sorted(finding_names())


def test_the_error_codes_are_those_of_the_code():
    documented = sorted(int(code) for code in re.findall(r"^\| (\d+) \|", section("Errors"), re.MULTILINE))
    codes = (ROOT / "plugin/verbs/error_codes.hpp").read_text()
    assert documented == sorted({int(code) for code in re.findall(r"return (\d+);", codes)})


def headings(text):
    """Their levels, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)]


def code_blocks(text):
    """Comments of shell commands are translated, all else is the same."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r" *#.*", "", block) if language == "sh" else block for language, block in blocks]


def rows(text):
    """Of each table's rows what no translation changes: code in the first cell, numbers in all."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    return [(re.findall(r"`[^`]+`", row[0]), len(row), [cell for cell in row if re.fullmatch(r"[-+\d.,]+[x%]?(, \d+x)?( \(.*\))?", cell)]) for row in cells]


def test_the_chinese_readme_is_in_step():
    chinese = (ROOT / "README.zh-CN.md").read_text()
    assert headings(chinese) == headings(README)
    assert code_blocks(chinese) == code_blocks(README)
    assert rows(chinese) == rows(README)
    links = [link.replace(".zh-CN.md", ".md") for link in re.findall(r"\]\((conf/[^)]+)\)", chinese)]
    assert sorted(set(links)) == sorted(set(re.findall(r"\]\((conf/[^)]+)\)", README)))


@pytest.mark.parametrize("path", sorted((ROOT / "conf/guides").glob("*.zh-CN.md")), ids=lambda path: path.name)
def test_a_chinese_guide_is_in_step(path):
    chinese, english = path.read_text(), Path(str(path).replace(".zh-CN.md", ".md")).read_text()
    assert headings(chinese) == headings(english)
    assert code_blocks(chinese) == code_blocks(english)
    assert rows(chinese) == rows(english)


def test_the_flavours_of_the_guide_are_those_of_the_help(node):
    text = re.sub(r"\s+", " ", node.tool("--help"))
    known = re.split(", | or ", re.search(r"whose folders are meant: auto, (.*?) \(default", text)[1])
    assert [row.split("`")[1] for row in (ROOT / "conf/guides/flavours.md").read_text().splitlines() if row.startswith("| `")] == known
