"""README and the guides say the same as the code, and as each other."""

import re
import subprocess

import pytest
from harness.doctor import finding_names
from harness.guides import GUIDES, blocks
from harness.node import ROOT, STATIC

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted(path for path in GUIDES.glob("*.md") if not path.name.endswith(".zh-CN.md"))]


def section(title):
    return re.search(rf"^## {title}$(.*?)(?=^##+ )", README, re.MULTILINE | re.DOTALL)[1]


def guide(name):
    return (GUIDES / f"{name}.md").read_text()


def first_cells(text):
    """The names in the first column of the section's tables."""
    return [name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])]


def test_the_configuration_table_names_every_key(node):
    known = re.findall(r'\{"(\w+)"', (ROOT / "lib/config/key_names.hpp").read_text())
    documented = first_cells(section("Configuration"))
    assert documented == known
    code, message = node.call("ADD", "pod-1", {**node.netconf(), **{key: {} for key in documented}}).error
    assert code == 7
    assert sorted([*re.findall(r"(\w+) is \{\}", message), "nodes"]) == sorted(documented)


@pytest.mark.parametrize("page, title", [("README.md", "Limits"), ("README.zh-CN.md", "限制")])
def test_the_limits_are_those_of_the_code(node, page, title):
    """So many are taken, one more is not."""
    text = re.search(rf"^## {title}$\n\n- (.*?)^- ", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)[1]
    told = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]+", text)]
    keys = {"nonMasqueradeCIDRs": lambda count: [f"10.{number}.0.0/16" for number in range(count)],
            "yieldMarks": lambda count: [str(number + 1) for number in range(count)],
            "podSubnets": lambda count: ["10.244.0.0/16", *(f"10.{number}.0.0/16" for number in range(count - 1))],
            "toPorts": lambda count: ",".join(str(2 * number + 1) for number in range(count)),
            "subnetFile": lambda count: "/" + "x" * (count - 1)}
    assert len(told) == len(keys)
    for (key, value), most in zip(keys.items(), told):
        for count, refusal in ((most, None), (most + 1, 7)):
            error = node.call("ADD", "pod-1", node.netconf(**{key: value(count)})).error
            assert (error and error[0]) == refusal, (key, count, error)


def test_the_commands_are_those_of_the_help(node):
    documented = [re.match(r"ip-masq (\w+)", name)[1] for name in first_cells(guide("commands")) if name.startswith("ip-masq ")]
    assert documented == re.findall(r"^  ip-masq (\w+) ", node.tool("--help"), re.MULTILINE)


def test_the_man_page_has_all_commands_options_and_files(node):
    """Keys: test_schema.py."""
    man, said = (ROOT / "conf/man/ip-masq.8").read_text(), node.tool("--help")
    options = r"(?:-(\w), )?--([a-z-]+)"
    assert re.findall(r"^\.It Fl (?:(\w) , )?-([a-z-]+)", man, re.MULTILINE) == re.findall(rf"^  {options}.* {{2,}}", said, re.MULTILINE)
    commands = re.findall(r"^  ip-masq (\w+) ", said, re.MULTILINE)
    synopsis = man[man.index(".Sh SYNOPSIS"):man.index(".Sh DESCRIPTION")]
    assert re.findall(r"^\.Nm\n\.Cm (\w+)", synopsis, re.MULTILINE) == commands
    assert re.findall(r"^\.It Cm (\w+)", man, re.MULTILINE) == commands
    assert set(re.findall(r"\.Op Fl -?([a-z-]{2,})", synopsis)) == {name for _, name in re.findall(rf"^  {options}.* {{2,}}", said, re.MULTILINE)} - {"output"}
    files = set(re.findall(r"^\.It Pa (\S+?)/?$", man, re.MULTILINE))
    assert {"/opt/cni/bin/ip-masq", *re.findall(r"\((?:default|else)\s+(/\S+?)[;)]", said.replace("/opt/cni/bin;", "/opt/cni/bin/ip-masq;"))} <= files
    assert {"/run/flannel/subnet.env", "/etc/config/ip-masq-agent"} <= files


def test_the_install_command_puts_the_plugin_where_it_says(static, tmp_path):
    assert "cmake --install build/static" in section("Install")
    subprocess.run(["cmake", "--install", STATIC.parents[1], "--prefix", tmp_path], check=True, capture_output=True)
    installed = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert installed == ["bin/ip-masq", "share/man/man8/ip-masq.8"]
    assert subprocess.run([tmp_path / "bin/ip-masq", "--version"], check=True, capture_output=True, text=True).stdout.startswith("ip-masq ")


def test_every_finding_of_doctor_is_listed():
    assert sorted(first_cells(guide("doctor"))) == finding_names()


def test_the_error_codes_are_those_of_the_code():
    documented = sorted(int(code) for code in re.findall(r"^\| (\d+) \|", guide("errors"), re.MULTILINE))
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
    cells = [[cell.strip().replace("–", " to ") for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    return [(re.findall(r"`[^`]+`", row[0]), len(row), [cell for cell in row if re.fullmatch(r"[-+\d.,]+[x%]?(, \d+x)?( \(.*\))?", cell)]) for row in cells]


def test_the_rules_that_the_guide_shows_are_those_that_stand(node):
    keys = {"nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"]}
    node.add("pod-1", ips=["10.244.1.5/24"], **keys)
    node.add("pod-2", ips=["10.9.0.7/32"], **keys)
    nftables, iptables = re.findall(r"^```\n(.*?)^```$", guide("kernel"), re.MULTILINE | re.DOTALL)
    shown = [re.sub(r" {4,}\(.*\)$", "", line.strip()) for line in (nftables if node.backend == "nftables" else iptables).splitlines()]
    assert shown == [line.strip() for line in (node.save().splitlines() if node.backend == "nftables" else node.rules())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_run_or_says_why_not(page):
    for block in blocks(page):
        assert re.match(r"run by test/|not run: ", block.fate), block
        for test in re.findall(r"test/[\w/]+\.py", block.fate):
            assert (ROOT / test).exists(), test


def links(text):
    """Where they lead, of a page and of its twin alike."""
    return sorted(set(target.replace(".zh-CN.md", ".md").split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_chinese_page_is_in_step(page):
    english, chinese = page.read_text(), page.with_suffix(".zh-CN.md").read_text()
    assert headings(chinese) == headings(english)
    assert code_blocks(chinese) == code_blocks(english)
    assert rows(chinese) == rows(english)
    assert links(chinese) == links(english)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_chinese_page_has_the_words_of_operators(page):
    """Pod, 网段, 其他程序, 改写源 IP, 上联口: not what a dictionary has."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.with_suffix(".zh-CN.md").read_text(), flags=re.DOTALL)
    assert re.findall(r"(?<![\w./-])pods?(?![\w./-])|子网|别人|隐藏|上行", text) == []


@pytest.mark.parametrize("page", [path for page in PAGES for path in (page, page.with_suffix(".zh-CN.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)]


def test_the_files_that_contributing_names_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = [name for name in re.findall(r"`([\w./-]+/[\w./-]*)`", text) if not name.startswith("build/")]
    assert len(named) > 40
    for parent in ("lib", "plugin", "test"):
        for folder in (ROOT / parent).iterdir():
            assert f"{parent}/{folder.name}/" in text or not folder.is_dir() or folder.name == "__pycache__", folder
    for name in [*named, *re.findall(r"^((?:plugin|lib|conf|scripts|test)/[\w/]*) ", text, re.MULTILINE)]:
        assert (ROOT / name).exists(), name


def test_the_flavours_of_the_guide_are_those_of_the_help(node):
    text = re.sub(r"\s+", " ", node.tool("--help"))
    known = re.split(", | or ", re.search(r"whose folders are meant: auto, (.*?) \(default", text)[1])
    assert [row.split("`")[1] for row in guide("flavours").splitlines() if row.startswith("| `")] == known
