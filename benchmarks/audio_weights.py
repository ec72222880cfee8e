"""Write the models that the package ships: the nano model, its listeners, and one tuning.

    segue audio prepare --out DATA
    segue audio pretrain --data DATA --run RUN
    segue audio tune --run RUN --data DATA --name rl-0 --seed 0
    python benchmarks/audio_weights.py --run RUN --tuned rl-0 [--out DIR]

Prints the size of everything. The base model is rounded to half precision; the adapter was tuned on
the unrounded one, and says so. RUN's clips must come from the sound bank, not from the additive
synthesiser (`prepare` says which).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from segue.core.files import read_json, write_json
from segue.tasks.audio.models.stored import load_nano, save_nano
from segue.tasks.audio.players import LISTENERS, shipped_folder

LICENCE = (
    "Trained on clips of this program's own music, rendered with the sound bank TimGM6mb by Tim "
    "Brechbill, which is published under GPL-2.0; these weights are data and are offered under the "
    "same licence. The program is Apache-2.0."
)
COMMAND = "python benchmarks/audio_weights.py --run RUN --tuned rl-0"


def main() -> None:
    """Copy a run into the package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--tuned", default="rl-0")
    parser.add_argument("--out", type=Path, default=shipped_folder())
    options = parser.parse_args()
    out: Path = options.out
    for part in (LISTENERS, "tuned"):  # the licence and what explains it stay
        shutil.rmtree(out / part, ignore_errors=True)
    model = load_nano(options.run)
    kept = ("data", "data_name", "training")
    facts = {k: v for k, v in read_json(options.run / "nano.json").items() if k in kept}
    made = {"licence": LICENCE, "command": COMMAND}
    save_nano(out, model, {**facts, **made}, precision="float16")
    (out / LISTENERS).mkdir()
    for path in sorted((options.run / LISTENERS).iterdir()):
        if path.suffix == ".json":
            write_json(out / LISTENERS / path.name, {**read_json(path), **made})
        else:
            shutil.copy(path, out / LISTENERS / path.name)
    tuned, place = options.run / "tuned" / options.tuned, out / "tuned" / options.tuned
    place.mkdir(parents=True)
    shutil.copy(tuned / "adapter.safetensors", place)
    adapter = dict(read_json(tuned / "adapter.json"))
    identity = load_nano(out).identity
    write_json(
        place / "adapter.json",
        {**adapter, **made, "identity": identity, "tuned_on": adapter["identity"]},
    )
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        print(f"{path.stat().st_size / 1e6:7.3f} MB  {path.relative_to(out)}")
    print(f"{sum(p.stat().st_size for p in out.rglob('*') if p.is_file()) / 1e6:7.3f} MB in all")


if __name__ == "__main__":
    main()
