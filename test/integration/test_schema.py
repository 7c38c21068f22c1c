"""conf/schema accepts what is shown, and refuses what ip-masq refuses, as far as a schema can tell."""

import json
import re
import subprocess

import pytest
from harness.config_files import BROKEN
from harness.host import TOOLS
from harness.node import ROOT
from test_bad_input import KEYS
from test_readme import first_cells, guide, section

SCHEMAS = ROOT / "conf/schema"
ENTRY, FILE = SCHEMAS / "entry.schema.json", SCHEMAS / "file.schema.json"
CHECKER = TOOLS / "python/bin/check-jsonschema"
README = (ROOT / "README.md").read_text()

# What takes arithmetic, or two keys at once.
BEYOND_A_SCHEMA = ("an aligned network", "that nonMasqueradeCIDRs does not list", "expected at most 1 (cidrLimit)",
                   "podSubnets does not hold the pod's address", 'toPorts is "2000-1000"', 'toPorts is "1-10,10-20"', 'toPorts is "5-1"',
                   'yieldMarks is "0x3/0x1"', "policies has two of the name")
# What the checker's reader of YAML takes for something else than Kubernetes' does, or fails at itself.
READ_OTHERWISE = ("- y\n", "name: on\n", "!!binary", "!!int", "%FOO", "[" * 1000, "&a [*a]", "*c,*c", "[::1/128]")


@pytest.fixture
def accepted(tmp_path):
    """accepted(schema, [text], kind): for each text whether the schema accepts it."""
    if not CHECKER.exists():
        pytest.skip("check-jsonschema is not there: scripts/install-tools could not reach PyPI")

    def accepted(schema, texts, kind):
        files = [tmp_path / f"{number}.{kind}" for number in range(len(texts))]
        for file, text in zip(files, texts):
            file.write_bytes(text.encode())
        done = subprocess.run([CHECKER, "--schemafile", schema, "-o", "json", *files], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        answer = json.loads(done.stdout)
        refused = {found["filename"] for found in [*answer["errors"], *answer.get("parse_errors", [])]}
        return [str(file) not in refused for file in files]

    return accepted


def entries_of(value):
    """Of a conflist, or of an entry."""
    return [each for each in value.get("plugins", [value]) if each.get("type") == "ip-masq"]


def configs_of(path):
    """The ConfigMap's in a manifest: the lines below "config: |", indented."""
    return [re.sub("^    ", "", text, flags=re.MULTILINE) for text in re.findall(r"^  config: \|\n((?:    .*\n)+)", path.read_text(), re.MULTILINE)]


def test_both_are_schemas():
    if not CHECKER.exists():
        pytest.skip("check-jsonschema is not there: scripts/install-tools could not reach PyPI")
    done = subprocess.run([CHECKER, "--check-metaschema", ENTRY, FILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "ok -- validation done\n")


def test_samples_are_accepted(accepted):
    shown = [*(path.read_text() for path in sorted((ROOT / "conf").glob("*.conflist"))),
             *(block for block in re.findall(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))]
    entries = [json.dumps(entry) for text in shown for entry in entries_of(json.loads(text))]
    assert len(entries) >= 3
    assert accepted(ENTRY, entries, "json") == [True] * len(entries)
    files = [text for path in sorted((ROOT / "conf/kubernetes").glob("*.yaml")) for text in configs_of(path)]
    for page in ("configuration-file", "policies"):
        files += re.findall(r"^```yaml\n(.*?)^```$", guide(page), re.MULTILINE | re.DOTALL)
    assert len(files) >= 3
    assert accepted(FILE, files, "yaml") == [True] * len(files)


def test_bad_entries_are_refused(accepted):
    ours = set(json.loads(ENTRY.read_text())["properties"])
    told = {json.dumps({"type": "ip-masq", **keys}): message for keys, message in KEYS if set(keys) <= ours}
    expected = {text: any(part in message for part in BEYOND_A_SCHEMA) for text, message in told.items()}
    assert dict(zip(told, accepted(ENTRY, list(told), "json"))) == expected
    beyond = ["policies" in json.loads(text) for text, is_beyond in expected.items() if is_beyond]
    assert len(told) > 70 and beyond.count(False) < 12 and beyond.count(True) == 3


def test_bad_files_are_refused(accepted):
    told = {text: message for text, _, message in BROKEN if not any(part in text for part in READ_OTHERWISE)}
    expected = {text: any(part in message for part in BEYOND_A_SCHEMA) for text, message in told.items()}
    assert dict(zip(told, accepted(FILE, list(told), "yaml"))) == expected


def test_keys_that_are_near_to_one_of_a_file_are_refused(accepted):
    assert accepted(FILE, ["nonMasqueradeCIDR: [10.0.0.0/8]\n", "masqLinkLocals: true\n", "stateDir: /run\n"], "yaml") == [False] * 3


def test_keys_are_the_same_everywhere():
    """In the code, README's table in both languages, the man page, and the schemas."""
    code = re.findall(r'\{"(\w+)"(, true)?(, false)?\}', (ROOT / "lib/config/key_names.hpp").read_text())
    names = [name for name, *_ in code]
    entry, file = (json.loads(path.read_text())["properties"] for path in (ENTRY, FILE))
    assert [name for name in entry if name != "type"] == [name for name, _, is_not_in_netconf in code if not is_not_in_netconf]
    assert list(file) == [name for name, is_in_file, _ in code if is_in_file]
    section = file["nodes"]["items"]["properties"]
    assert section == {"match": section["match"], **{name: {"$ref": f"#/properties/{name}"} for name in file if name != "nodes"}}
    for readme in ("README.md", "README.zh-CN.md"):
        assert [name for name in first_cells((ROOT / readme).read_text()) if name in names][:len(names)] == names
    assert re.findall(r"^\.It Va (\w+)$", (ROOT / "conf/man/ip-masq.8").read_text(), re.MULTILINE) == names


def test_defaults_are_those_of_the_readme():
    entry, file = (json.loads(path.read_text())["properties"] for path in (ENTRY, FILE))
    rows = [line.strip("|").split(" | ") for line in section("Configuration").splitlines() if line.startswith("| `")]
    for names, default, *_ in rows[:len(entry)]:
        for name in re.findall(r"`(\w+)`", names):
            if name in entry:
                schema = file.get(name, entry[name])
                told = [json.loads(code) if re.fullmatch(r"true|false|\d+|[\[\"].*", code) else code for code in re.findall(r"`([^`]+)`", default)]
                assert schema.get("default", []) in (told, told[0] if told else None), name
