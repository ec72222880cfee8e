"""`make bench`: run every benchmark that needs no data of others, one after another.

Each is a program of its own and prints its figures beside its peer's; those that measure accuracy
on real recordings or films want a folder, as their help says, and are listed at the end.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
NEEDS_DATA = {"compose.py": "--videos DIR --library DIR", "music_affect.py": "--data DIR", "music_cost.py": "--music DIR", "picture_affect.py": "--videos DIR", "score_listener.py": "VIDEOS LIBRARY", "score_policies.py": "VIDEOS LIBRARY"}  # fmt: skip  # noqa: E501


def main() -> int:
    """Run the benchmarks; return how many failed."""
    failed = 0
    for script in sorted(HERE.glob("*.py")):
        if script.name in NEEDS_DATA or script.name == Path(__file__).name:
            continue
        print(f"== {script.name}", flush=True)
        started = time.monotonic()
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
        print(f"   {time.monotonic() - started:.0f} s\n", flush=True)
    for name, options in NEEDS_DATA.items():
        print(f"-- not run: python benchmarks/{name} {options}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
