"""From a log to recommendations through the commands, and what goes wrong on the way."""

import json

import pytest

from segue.cli import root
from segue.core.errors import ConfigError, DataError, MissingModel, RunError, UsageError
from segue.core.options import run as run_command
from segue.tasks.playlist.config import EvaluateConfig, PretrainConfig
from segue.tasks.playlist.evaluate import evaluate
from segue.tasks.playlist.history import history_of
from segue.tasks.playlist.pretrain import pretrain
from segue.tasks.playlist.recommend import Suggester
from segue.tasks.playlist.results import save_evaluation, shortened
from segue.tasks.playlist.run_folder import load_model, stored_models
from tests.tasks.playlist.small import ARTISTS, TRACKS, small_data

SIMPLE = ("popularity", "item-cf", "markov")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("listening"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    pretrain(data, folder, PretrainConfig(models=SIMPLE))
    return folder


def test_models_are_judged_on_the_same_questions(data, run):
    table = evaluate(run, data, EvaluateConfig(resamples=200))
    values = {row.model: row.metrics["ndcg@10"].value for row in table.rows}
    assert len(data.vocabulary) == ARTISTS * TRACKS
    # The next track follows from the last in nine of ten steps; counts alone know one in ten.
    assert values["markov"] > 0.85
    assert values["random"] < 0.05
    assert values["popularity"] < 0.3
    covered = {row.model: row.metrics.get("coverage@10") for row in table.rows}
    assert covered["markov"].value > 2 * covered["popularity"].value > 0
    assert table.rows[0].role == "random"
    again = evaluate(run, data, EvaluateConfig(resamples=200))
    assert again == table
    assert set(shortened(table).metric_names) < set(table.metric_names)


def test_masking_hides_what_was_heard_and_prefixes_ask_more(data, run):
    masked = evaluate(run, data, EvaluateConfig(resamples=100, repeats="masked"))
    # Sessions of six or more tracks walk round four: the answer has been heard before.
    assert masked.row("markov").metrics["hit@10"].value < 0.2
    prefixes = evaluate(run, data, EvaluateConfig(resamples=100, protocol="prefixes"))
    assert prefixes.data.n > 4 * masked.data.n
    few = evaluate(run, data, EvaluateConfig(resamples=100, protocol="prefixes", limit=50))
    assert few.data.n == 50


def test_an_evaluation_leaves_table_card_and_pictures(data, run):
    config = EvaluateConfig(resamples=100)
    table = evaluate(run, data, config)
    save_evaluation(run, table, config)
    kept = json.loads((run / "evaluation-last.json").read_text())
    assert kept == table.to_dict()
    assert (run / "figures" / "last.png").stat().st_size > 5000
    card = (run / "README.md").read_text()
    assert "figures/last.png" in card
    assert "markov" in card


def test_recommendations_come_from_the_run_alone(run):
    suggester = Suggester(run, "markov")
    found = suggester(history_of(["Artist 7 - Song 1", "artist 7 - SONG 2", "Nobody - Nothing"]), 3)
    assert (found.tracks[0].artist, found.tracks[0].title) == ("Artist 7", "Song 3")
    assert (found.known, found.unknown) == (2, ("Nobody - Nothing",))
    with pytest.raises(UsageError, match="none of the 1 tracks of the history is known"):
        suggester(history_of(["Nobody - Nothing"]), 3)


def test_an_interrupted_run_goes_on_and_ends_the_same(data, run, tmp_path, monkeypatch):
    from segue.tasks.playlist.models.item_cf import ItemCF

    def fail(self, *_, **__):
        raise KeyboardInterrupt

    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(ItemCF, "fit", fail)
        with pytest.raises(KeyboardInterrupt):
            pretrain(data, folder, PretrainConfig(models=SIMPLE))
    assert list(stored_models(folder)) == ["popularity"]
    pretrain(data, folder, None, resume=True)
    for name in SIMPLE:
        path = f"models/{name}/model.safetensors"
        assert (folder / path).read_bytes() == (run / path).read_bytes()


def test_wrong_settings_and_folders_are_refused_before_any_work(data, run, tmp_path):
    with pytest.raises(ConfigError, match="unknown model 'itemcf'"):
        PretrainConfig.load(None, ['models=["itemcf"]'])
    wrong = PretrainConfig(models=("item-cf",), settings={"item-cf": {"neighbors": 5}})
    with pytest.raises(ConfigError, match="unknown setting 'neighbors'"):
        pretrain(data, tmp_path / "never", wrong)
    with pytest.raises(RunError, match="not empty"):
        pretrain(data, run, PretrainConfig(models=SIMPLE))
    with pytest.raises(MissingModel, match="no run of `segue playlist pretrain`"):
        Suggester(tmp_path)
    model = run / "models" / "markov" / "model.safetensors"
    kept = model.read_bytes()
    try:
        model.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
            load_model(run, "markov")
    finally:
        model.write_bytes(kept)


def test_the_commands_say_what_is_wrong_in_one_line(run, tmp_path, capsys):
    cases = {
        ("recommend", "--run", str(run)): "Give --history or --batch",
        ("recommend", "--run", str(run), "--history", "x - y; z - w"): "none of the 2 tracks",
        ("recommend", "--run", str(run), "--history", "Artist 1 - Song 1", "--model", "svd"):
            "unknown model of this run 'svd'",
        ("evaluate", "--run", str(run), "--data", str(tmp_path / "no")): "no such prepared folder",
        ("pretrain", "--data", "d", "--run", "r", "--seeds", "a"): "--seeds 'a' is not a list",
        ("pretrain", "--resume", "--models", "markov", "--run", "r"): "keeps its settings",
    }  # fmt: skip
    for arguments, message in cases.items():
        code = run_command(root, ["playlist", *arguments])
        shown = capsys.readouterr()
        assert code in (1, 2)
        assert message in shown.err
        assert shown.err.count("\n") == 1
        assert not shown.out


def test_one_history_and_a_batch_of_them_by_the_command(run, tmp_path, capsys):
    text = "Artist 3 - Song 0; Artist 3 - Song 1"
    asked = ["playlist", "recommend", "--run", str(run), "--model", "markov"]
    assert run_command(root, [*asked, "--history", text, "-n", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tracks"][0]["title"] == "Song 2"
    assert len(found["tracks"]) == 2
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"id": "a", "history": ["Artist 3 - Song 1"]}\n{"history": 5}\nnot json\n')
    assert run_command(root, [*asked, "--batch", str(batch), "-n", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["id"] == "a"
    assert lines[0]["tracks"][0]["title"] == "Song 2"
    assert "no list of texts called 'history'" in lines[1]["error"]
    assert "not JSON" in lines[2]["error"]
