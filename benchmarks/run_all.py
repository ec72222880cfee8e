"""`make bench`: run every benchmark that needs no data of others, one after another.

Each is a program of its own and prints its figures beside its peer's; those that measure accuracy
on real recordings or films want a folder, as their help says, and are listed at the end. A peer
that has a module of its own, `*_peer.py`, is run by its benchmark. A long one is
run in its quick setting.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
NEEDS_DATA = {"audio_weights.py": "--run DIR", "compose.py": "--videos DIR --library DIR", "music_affect.py": "--data DIR", "music_cost.py": "--music DIR", "picture_affect.py": "--videos DIR", "score_listener.py": "VIDEOS LIBRARY", "score_policies.py": "VIDEOS LIBRARY"}  # fmt: skip  # noqa: E501
QUICK = {"audio_ddpo.py": ["--quick"]}
"""Options with which a long benchmark is run here."""


def main() -> int:
    """Run the benchmarks; return how many failed."""
    failed = 0
    for script in sorted(HERE.glob("*.py")):
        left_out = script.name in NEEDS_DATA or script.name == Path(__file__).name
        if left_out or script.stem.endswith("_peer"):
            continue
        print(f"== {script.name}", flush=True)
        started = time.monotonic()
        command = [sys.executable, str(script), *QUICK.get(script.name, [])]
        failed += subprocess.run(command, check=False).returncode != 0
        print(f"   {time.monotonic() - started:.0f} s\n", flush=True)
    for name, options in NEEDS_DATA.items():
        print(f"-- not run: python benchmarks/{name} {options}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
