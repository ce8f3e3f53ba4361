"""Fail when tests against real BitTorrent programs were left out: a skip is no pass. Takes pytest's JUnit XML."""

from __future__ import annotations

import sys
from xml.etree import ElementTree


def main(path: str) -> int:
    """Report what was skipped; 0 where every interop test ran, 1 otherwise."""
    ran = 0
    skipped = []
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        reason = case.find("skipped")
        if "interop" not in name:
            continue
        if reason is None:
            ran += 1
        else:
            skipped.append(f"{name}: {reason.get('message')}")
    for line in skipped:
        print(f"interop test skipped: {line}", file=sys.stderr)
    if not ran:
        print("no interop test ran", file=sys.stderr)
    print(f"interop: {ran} ran, {len(skipped)} skipped")
    return 1 if skipped or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
