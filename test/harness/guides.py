"""README's and the guides' commands, as they are read and pasted."""

import re
from pathlib import Path
from typing import NamedTuple

from harness.node import ROOT

GUIDES = ROOT / "conf/guides"


class Block(NamedTuple):
    """Commands of a shell."""

    section: tuple  # the headings above it, outermost first, without the page's title
    fate: str       # of the hidden comment above: "run by ..." or "not run: ..."; empty where there is none
    lines: list


def blocks(page):
    """All of a page. In markdown, a comment is no part of what a reader sees."""
    found, section, comment = [], [], ""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if heading := re.match(r"(##+) (.*)", line):
            section = [*section[:len(heading[1]) - 2], heading[2]]
        elif line == "```sh":
            found.append(Block(tuple(section), comment, [line for line in iter(lambda: next(lines), "```")]))
        elif line.startswith("```"):
            for line in lines:
                if line == "```":
                    break
        hidden = re.fullmatch(r"<!-- (.*) -->", line)
        comment = hidden[1] if hidden else ""
    return found


def commands(test, guide, *section):
    """Those of a section that the file `test` is named to run, without the remarks behind them."""
    name = str(Path(test).relative_to(ROOT))
    lines = [re.sub(r" +# .*", "", line) for block in blocks(GUIDES / f"{guide}.md") if block.section == section
             and name in block.fate.removeprefix("run by ").split(", ") for line in block.lines]
    assert lines, f"{guide} has no commands for {name} in {section}"
    return lines


def file_of(guide, *section):
    """(path, text) of the one file of a section, whose first line is a comment with its path."""
    text = (GUIDES / f"{guide}.md").read_text()
    for heading in section:
        text = text.split(f"## {heading}\n", 1)[1]
    return re.search(r"```ini\n# (/\S+)\n(.*?)```", text.split("\n## ", 1)[0], re.DOTALL).groups()
