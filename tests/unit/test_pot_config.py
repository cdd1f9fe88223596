"""POT's configuration files: comments, translation, warnings of what has no meaning, errors with file and line."""

import json

import pytest

from quantize_zoo.config import load_pot
from quantize_zoo.config.pot import Images
from quantize_zoo.errors import ConfigurationError

TUNED = {
    "model": {"model_name": "net", "model": "net.xml", "weights": "net.bin"},
    "engine": {"config": "checker.yml"},
    "compression": {
        "target_device": "CPU",
        "algorithms": [
            {"name": "ActivationChannelAlignment", "params": {"stat_subset_size": 300}},
            {"name": "TunableQuantization", "params": {"tuning_scope": ["layer"], "stat_subset_size": 200}},
            {"name": "FastBiasCorrection", "params": {"stat_subset_size": 100}},
        ],
    },
    "optimizer": {"name": "Tpe", "params": {"max_trials": 7, "accuracy_loss": 0.1}},
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a configuration, text or values, whose files exist in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("net.xml", "net.bin", "checker.yml"):
        (tmp_path / name).touch()
    (tmp_path / "images").mkdir()

    def loading(content):
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (tmp_path / "pot.json").write_text(text)
        return load_pot(tmp_path / "pot.json")

    return loading


def quantizing(*algorithms, **changes):
    listed = [{"name": name, "params": params} for name, params in algorithms]
    return {**TUNED, "optimizer": None, "compression": {"algorithms": listed}, **changes}


def test_tunable_quantization_and_tpe_are_taken_over(load):
    job = load(TUNED)
    assert [each.name for each in job.compression.algorithms] == [
        each["name"] for each in TUNED["compression"]["algorithms"]
    ]
    assert [each.params.stat_subset_size for each in job.compression.algorithms] == [300, 200, 100]
    assert (job.name, job.target, job.warnings) == ("net", "CPU", ())
    assert (job.optimizer.max_trials, job.optimizer.accuracy_loss) == (7, 0.1)


def test_comments_and_trailing_commas_are_allowed(load):
    text = json.dumps(TUNED, indent=1).replace('"net"', '"net" /* not // a "comment" */')
    text = "// first line\n" + text.replace("0.1\n", "0.1, // percent\n")
    assert load(text).optimizer.accuracy_loss == 0.1


def test_text_that_looks_like_a_comment_inside_a_string_stays(load):
    engine = {"launchers": [], "datasets": [{"data_source": "http://host/*a*/"}]}
    assert load({**TUNED, "engine": engine}).engine.config["models"][0]["datasets"] == engine["datasets"]


def test_default_quantization_is_alignment_min_max_and_bias_correction(load):
    job = load(quantizing(("DefaultQuantization", {"preset": "mixed", "stat_subset_size": 50})))
    names = [each.name for each in job.compression.algorithms]
    assert names == ["ActivationChannelAlignment", "TunableQuantization", "FastBiasCorrection"]
    assert {each.params.stat_subset_size for each in job.compression.algorithms} == {50}
    assert job.compression.tunable.preset == "mixed"
    assert job.optimizer is None


def test_a_search_is_pots_as_are_its_bias_corrections(load):
    assert load(TUNED).optimizer.compatibility == "pot"


def test_slow_bias_correction_is_the_sequential_one(load):
    job = load(quantizing(("DefaultQuantization", {"use_fast_bias": False})))
    assert job.compression.algorithms[-1].name == "BiasCorrection"


def test_min_max_quantization_takes_the_whole_dataset_unless_told(load):
    estimator = {"preset": "quantile", "max": {"aggregator": "median", "outlier_prob": 1e-3}}
    job = load(quantizing(("MinMaxQuantization", {"activations": {"range_estimator": estimator}})))
    (algorithm,) = job.compression.algorithms
    assert algorithm.params.stat_subset_size is None
    assert algorithm.params.activations.range_estimator.max.aggregator == "median"


def test_model_type_of_the_compression_reaches_the_quantization(load):
    content = quantizing(("MinMaxQuantization", {}))
    content["compression"]["model_type"] = "transformer"
    assert load(content).compression.tunable.model_type == "transformer"


def test_model_is_named_after_its_file_if_nothing_else(load):
    assert load({**TUNED, "model": {"model": "net.xml"}}).name == "net"


def test_zeros_of_the_benchmark_leave_the_choice_open(load):
    content = json.loads(json.dumps(TUNED))
    content["optimizer"]["params"]["benchmark"] = {"nthreads": 2, "nstreams": 0, "batch_size": 0}
    benchmark = load(content).optimizer.benchmark
    assert (benchmark.nthreads, benchmark.nstreams, benchmark.batch_size) == (2, 1, 1)


def test_engine_of_images_is_a_folder(load):
    job = load({**TUNED, "engine": {"type": "simplified", "data_source": "images", "layout": "NHWC"}})
    assert isinstance(job.engine, Images)
    assert job.engine.layout == "NHWC"


@pytest.mark.parametrize(
    ("part", "key", "replacement"),
    [
        ("model", "keep_uncompressed_weights", "INT8 when it compiles"),
        ("optimizer", "multinode", "one machine"),
        ("optimizer", "anneal", "TPE"),
    ],
)
def test_key_without_meaning_is_a_warning_that_says_what_replaces_it(load, part, key, replacement):
    content = json.loads(json.dumps(TUNED))
    (content[part]["params"] if part == "optimizer" else content[part])[key] = {"name": "node"}
    (warning,) = load(content).warnings
    line = 1 + next(n for n, text in enumerate(json.dumps(content, indent=1).splitlines()) if f'"{key}"' in text)
    assert f"pot.json:{line}: {key} is ignored" in warning
    assert replacement in warning


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**TUNED, "extra": 1}, "pot.json:43: unknown key 'extra'"),
        ({**TUNED, "engine": {"config": "missing.yml"}}, "no such file"),
        ({**TUNED, "engine": {"type": "free"}}, "engine.type: unknown value 'free'"),
        ({**TUNED, "engine": {"type": "simplified", "data_source": "nowhere"}}, "no such file: nowhere"),
        ({**TUNED, "model": {"model": "missing.xml"}}, "pot.json:3: model.model: no such file"),
        (quantizing(("MinMaxQuantisation", {})), "did you mean 'MinMaxQuantization'"),
        (quantizing(("FastBiasCorrection", {})), "no quantization among the algorithms"),
        (quantizing(("MinMaxQuantization", {"presett": "mixed"})), "did you mean 'preset'"),
        (quantizing(("DefaultQuantization", {"preset": "fast"})), "unknown value 'fast'"),
        ({**TUNED, "compression": {**TUNED["compression"], "target_device": "TPU"}}, "unknown value 'TPU'"),
        ('{"model": {"model": "net.xml"},\n "engine" {}}', "pot.json:2: JSON syntax error"),
        ('{"model": {"model": "net.xml"},\n "model": {}}', "key 'model' appears twice"),
    ],
)
def test_error_names_what_is_wrong_and_where(load, content, message):
    with pytest.raises(ConfigurationError) as raised:
        load(content)
    assert message in str(raised.value)


def test_error_in_a_later_algorithm_points_at_its_line(load):
    content = json.loads(json.dumps(TUNED))
    content["compression"]["algorithms"][2]["params"]["treshold"] = 1
    line = 1 + next(n for n, text in enumerate(json.dumps(content, indent=1).splitlines()) if "treshold" in text)
    with pytest.raises(ConfigurationError, match=rf"pot\.json:{line}: .*treshold"):
        load(content)
