"""The generator of logs: its size, its structure, its traps, and one seed, one log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.tasks.playlist.data.config import PrepareConfig
from segue.tasks.playlist.data.generate import ODD_TITLES, generate_log
from segue.tasks.playlist.data.prepare import prepare
from segue.tasks.playlist.data.prepared import load_prepared


def test_both_kinds_hold_the_same_listening(tmp_path: Path) -> None:
    played = generate_log(tmp_path / "log.tsv", rows=3000, users=4, tracks=300)
    again = generate_log(tmp_path / "again.tsv", rows=3000, users=4, tracks=300)
    other = generate_log(tmp_path / "other.tsv", rows=3000, users=4, tracks=300, seed=1)
    listens = generate_log(
        tmp_path / "log.jsonl", rows=3000, users=4, tracks=300, kind="listenbrainz"
    )
    assert played == again == listens <= 300
    text = (tmp_path / "log.tsv").read_bytes()
    assert text == (tmp_path / "again.tsv").read_bytes() != (tmp_path / "other.tsv").read_bytes()
    assert other > 10
    config = PrepareConfig(min_plays=1, min_length=1, keep_unseen=True, name="log")
    facts = [prepare(tmp_path / f"log.{x}", tmp_path / x, config) for x in ("tsv", "jsonl")]
    assert facts[0]["rows"] == facts[1]["rows"] == {"read": 3000, "used": 3000}
    assert facts[0]["fingerprint"] == facts[1]["fingerprint"]
    assert facts[0]["tracks"] == played
    rows = [line.split("\t") for line in text.decode().splitlines()]
    assert all(len(row) == 6 for row in rows)
    assert len({row[5] for row in rows} & set(ODD_TITLES)) > 15


@pytest.mark.parametrize("follow", [0.0, 0.5, 1.0])
def test_the_next_track_follows_as_often_as_asked(follow: float, tmp_path: Path) -> None:
    generate_log(tmp_path / "log.tsv", rows=8000, users=3, tracks=5000, follow=follow, power=1)
    prepare(tmp_path / "log.tsv", tmp_path / "out", PrepareConfig(min_plays=1, min_length=2))
    data = load_prepared(tmp_path / "out")
    sessions, titles = data.before_test, data.vocabulary.titles
    names = [title.split(" of ") for title in titles]  # "Song 17 of 4": the seventh track of it
    told, followed = 0, 0
    for i in range(len(sessions)):
        pairs = zip(sessions[i][:-1].tolist(), sessions[i][1:].tolist(), strict=True)
        for a, b in pairs:
            if len(names[a]) == len(names[b]) == 2 and a != b:
                told += 1
                first, second = (int(names[k][0].split()[1]) for k in (a, b))
                same = names[a][1] == names[b][1]
                followed += same and second % 10 == (first + 1) % 10
    assert told > 4000
    assert followed / told == pytest.approx(follow, abs=0.03)


def test_few_albums_make_most_plays(tmp_path: Path) -> None:
    shares = []
    for power in (1.0, 3.0):
        generate_log(tmp_path / "log.tsv", rows=20_000, users=3, tracks=1000, power=power)
        prepare(tmp_path / "log.tsv", tmp_path / "out", PrepareConfig(min_plays=1))
        plays = np.sort(load_prepared(tmp_path / "out").vocabulary.plays)[::-1]
        shares.append(plays[:100].sum() / plays.sum())
    # a tenth of the tracks: .1 of the plays where all are alike, .1^(1/3) = .46 by the power law
    assert shares[0] < 0.2
    assert shares[1] == pytest.approx(0.46, abs=0.05)
