#!/usr/bin/env python3
"""Adds up JUnit reports: names what failed or was skipped, ends with "N passed, N failed, N skipped".

Exit status 1 where a test failed, a report holds no test, or a test was skipped for a reason that is not expected."""

import re
import sys
import xml.etree.ElementTree as ElementTree

# Reasons that depend on the machine, or on the preset, not on the code.
EXPECTED_SKIPS = re.compile(r"could not reach the Go module proxy|could not get Debian's source package|could not fetch Debian's kernels"
                            r"|could not reach PyPI|is built for finding errors, not for nodes|CET is of this processor"
                            r"|(zsh|fish|systemd) is not installed")


def main(paths):
    passed = failed = skipped = 0
    complaints = []
    for path in paths:
        try:
            cases = list(ElementTree.parse(path).iter("testcase"))
        except ElementTree.ParseError:
            cases = []
        if not cases:
            failed += 1
            complaints.append(f"{path}: no test ran to its end")
        for case in cases:
            name = f"{path}: {case.get('classname')} {case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                complaints.append(f"failed: {name}")
            elif skip is not None:
                skipped += 1
                reason = skip.get("message") or skip.text or "no reason given"
                if not EXPECTED_SKIPS.search(reason):
                    complaints.append(f"skipped, which is not expected: {name}: {reason}")
            else:
                passed += 1
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if complaints or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
