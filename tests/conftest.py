"""Numbers are compared at f32 with AVX2 at most, the same on every CPU; to be set before OpenVINO is loaded."""

import os

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from quantize_zoo.config import ModelConfig, load_model_config

# How fast inputs are generated says something of the machine, not of the code.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")

ZOO = Path(__file__).parents[1] / "model_zoo_configs"


@pytest.fixture(scope="session")
def zoo() -> Path:
    return ZOO


@pytest.fixture(scope="session")
def mobilenet() -> ModelConfig:
    return load_model_config(ZOO / "embedded" / "digits-mobilenet.yml")
