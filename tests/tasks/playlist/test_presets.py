"""Presets that ship are settings of the commands that offer them."""

import pytest

from segue.core.errors import UnknownName, UsageError
from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.config import PRESETS, PretrainConfig, preset_file
from segue.tasks.playlist.run_folder import model_class
from segue.tasks.playlist.tune import agent_class


@pytest.mark.parametrize("name", PRESETS["pretrain"])
def test_presets_of_pretrain_name_settings_that_exist(name):
    config = PretrainConfig.load(preset_file("pretrain", name, None))
    for model in config.models:
        model_class(model).config_type.parse(config.settings.get(model, {}), name)
    assert set(config.settings) <= set(config.models)


@pytest.mark.parametrize("name", PRESETS["tune"])
def test_presets_of_tune_name_settings_that_exist(name):
    config = TuneConfig.load(preset_file("tune", name, None))
    agent_class(config.agent).config_type.parse(config.settings, name)


def test_a_preset_of_another_command_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="unknown preset 'original'"):
        preset_file("tune", "original", None)
    with pytest.raises(UsageError, match="both given"):
        preset_file("tune", "smoke", tmp_path / "mine.toml")
