"""Presets that ship are settings of the commands that offer them."""

import pytest

from segue.tasks.playlist.agents.config import TuneConfig
from segue.tasks.playlist.config import PRETRAIN_PRESETS, TUNE_PRESETS, PretrainConfig
from segue.tasks.playlist.run_folder import model_class
from segue.tasks.playlist.tune import agent_class


@pytest.mark.parametrize("name", PRETRAIN_PRESETS.names)
def test_presets_of_pretrain_name_settings_that_exist(name):
    config = PretrainConfig.load(PRETRAIN_PRESETS.file(name))
    for model in config.models:
        model_class(model).config_type.parse(config.settings.get(model, {}), name)
    assert set(config.settings) <= set(config.models)


@pytest.mark.parametrize("name", TUNE_PRESETS.names)
def test_presets_of_tune_name_settings_that_exist(name):
    config = TuneConfig.load(TUNE_PRESETS.file(name))
    agent_class(config.agent).config_type.parse(config.settings, name)
