"""A stored trial written as a model again."""

import pytest

from builders import cell_record, final, trial
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.matrix.export import export_trial


def test_a_failed_trial_is_told_with_what_failed(tmp_path):
    """Nobody knows what it would have been, so nothing is built."""
    record = cell_record(
        [trial(0, 0.0, 1.5), trial(1, 0.0, 1.0, failure="on AVX2 the process ended", measurement=None)], final(0, 1.5)
    )
    with pytest.raises(ConfigurationError, match=r"trial 1 of .* failed: on AVX2 the process ended"):
        export_trial(record, 1, None, None, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
