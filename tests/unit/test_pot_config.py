"""POT's configuration files: comments, translation, warnings of what has no meaning, errors with file and line."""

import json
from pathlib import Path

import pytest
import yaml

from quantize_zoo.config import GiveBack, PotOptions, load_pot, pot_of_options
from quantize_zoo.config.pot import Images, Noise, check_options, image_files
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


@pytest.mark.parametrize("first", ["DefaultQuantization", "MinMaxQuantization", "QuantNoiseEstimator"])
def test_a_wrong_value_is_called_by_the_files_own_position(load, first):
    """One of POT's algorithms may be several here, or none."""
    wrong = ("MinMaxQuantization", {"preset": "perfomance"})
    with pytest.raises(ConfigurationError, match=r"algorithms.1.params.preset: unknown value 'perfomance'") as caught:
        load(quantizing((first, {"stat_subset_size": 10} if first != "QuantNoiseEstimator" else {}), wrong))
    lines = Path("pot.json").read_text().splitlines()
    assert '"perfomance"' in lines[int(caught.value.where.rsplit(":", 1)[1]) - 1]


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


# --- what POT's files and command line say


def written(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    return tmp_path / name


def test_yaml_is_read_as_json_is(load, tmp_path):
    text = yaml.safe_dump(TUNED)
    assert load_pot(written(tmp_path, "pot.yaml", text)).compression == load(TUNED).compression


@pytest.mark.parametrize("name", ["pot.json", "pot.yml"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("models:\n- name: net\n  launchers: []\n", "a configuration of the accuracy checker"),
        ("evaluations:\n- name: net\n", "a configuration of the accuracy checker"),
        ("launchers: []\ndatasets: []\n", "a file of the accuracy checker's definitions"),
        ('{"models": [{"name": "net"}]}', "a configuration of the accuracy checker"),
        ("models: [net.yml]\ndevices: [CPU]\n", "a matrix"),
        ("name: net\nmodel: net.xml\naccuracy_checker: checker.yml\n", "a model's YAML"),
    ],
)
def test_a_file_of_another_command_is_recognised(load, tmp_path, name, content, kind):
    with pytest.raises(ConfigurationError, match=rf"{name}:1: this is {kind}, no configuration of POT"):
        load_pot(written(tmp_path, name, content))


@pytest.mark.parametrize(
    ("target", "preset", "read"),
    [
        ("ANY", "accuracy", "mixed"), ("CPU", "asymmetric", "mixed"), ("GPU", "accuracy", "mixed"),
        ("NPU", "accuracy", "accuracy"), ("NPU", "asymmetric", "accuracy"), ("CPU", "symmetric", "performance"),
        ("CPU", "mixed", "mixed"),
    ],
)  # fmt: skip
def test_presets_are_read_as_pots_command_read_them(load, target, preset, read):
    content = quantizing(("DefaultQuantization", {"preset": preset}))
    content["compression"]["target_device"] = target
    job = load(content)
    assert job.compression.tunable.preset == read
    assert [f"preset {preset} is read as mixed" in warning for warning in job.warnings] == (
        [True] if preset in ("accuracy", "asymmetric") and read == "mixed" else []
    )


@pytest.mark.parametrize("model_type", ["None", None])
def test_no_model_type_is_written_in_two_ways(load, model_type):
    content = quantizing(("DefaultQuantization", {}))
    content["compression"]["model_type"] = model_type
    assert load(content).compression.tunable.model_type is None


def test_default_quantization_hands_its_threshold_to_the_bias_correction(load):
    job = load(quantizing(("DefaultQuantization", {"threshold": 7.5, "apply_for_all_nodes": False})))
    assert job.compression.algorithms[-1].params.threshold == 7.5
    assert job.warnings == ()


def test_biases_of_all_operations_are_a_warning(load):
    (warning,) = load(quantizing(("DefaultQuantization", {"apply_for_all_nodes": True}))).warnings
    assert "apply_for_all_nodes is ignored: biases are corrected where weights are quantized" in warning


def test_slow_bias_correction_has_pots_threshold(load):
    job = load(quantizing(("DefaultQuantization", {"use_fast_bias": False})))
    assert job.compression.algorithms[-1].params.threshold == 1000


@pytest.mark.parametrize("value", ["5", "false", 0, None, []])
def test_only_booleans_choose_the_bias_correction(load, value):
    with pytest.raises(ConfigurationError, match=r"use_fast_bias: must be true or false"):
        load(quantizing(("DefaultQuantization", {"use_fast_bias": value})))


@pytest.mark.parametrize("value", [0, False, 3])
@pytest.mark.parametrize("key", ["nthread", "duration_second"])
def test_a_mistyped_key_of_the_benchmark_is_told_whatever_its_value(load, key, value):
    content = json.loads(json.dumps(TUNED))
    content["optimizer"]["params"]["benchmark"] = {key: value}
    with pytest.raises(ConfigurationError, match=f"unknown key 'optimizer.benchmark.{key}'"):
        load(content)


def test_false_is_no_number_of_threads(load):
    content = json.loads(json.dumps(TUNED))
    content["optimizer"]["params"]["benchmark"] = {"nthreads": False}
    with pytest.raises(ConfigurationError, match=r"benchmark\.nthreads"):
        load(content)


def test_a_name_below_ignored_is_an_operations_and_stays(load):
    ignored = {"scope": ["seed"], "operations": [{"type": "MVN", "attributes": {"seed": 1}}]}
    job = load(quantizing(("DefaultQuantization", {"ignored": ignored})))
    assert job.compression.tunable.ignored.operations[0].attributes == {"seed": 1}
    assert job.warnings == ()


def test_an_estimator_scope_without_estimators_is_a_warning(load):
    params = {"tuning_scope": ["layer"], "estimator_tuning_scope": ["preset"]}
    job = load(quantizing(("TunableQuantization", params)))
    assert job.compression.tunable.estimator_tuning_scope == ()
    assert "estimator_tuning_scope is ignored: range_estimator is not in tuning_scope" in job.warnings[0]


# --- accuracy-aware quantization


def test_accuracy_aware_quantization_is_default_quantization_and_a_search(load):
    job = load(quantizing(("AccuracyAwareQuantization", {"preset": "mixed", "stat_subset_size": 50})))
    names = [each.name for each in job.compression.algorithms]
    assert names == ["ActivationChannelAlignment", "TunableQuantization", "FastBiasCorrection"]
    assert (job.is_search, job.optimizer) == (True, None)
    aware = job.accuracy_aware
    assert (aware.maximal_drop, aware.drop_type, aware.give_back) == (0.01, "absolute", GiveBack(changes=("pipeline",)))


def test_accuracy_aware_parameters_say_how_layers_are_given_back(load):
    params = {
        "maximal_drop": 0.02, "drop_type": "relative", "max_iter_num": 5, "use_prev_if_drop_increase": False,
        "base_algorithm": "MinMaxQuantization", "tune_hyperparams": True, "convert_to_mixed_preset": True,
        "metrics": [{"name": "map", "baseline_value": 0.7}],
    }  # fmt: skip
    job = load(quantizing(("AccuracyAwareQuantization", params)))
    assert [each.name for each in job.compression.algorithms] == ["TunableQuantization"]
    assert job.accuracy_aware.give_back == GiveBack(most=5, steps_back=False, changes=("activations", "estimator"))
    assert (job.accuracy_aware.drop_type, job.accuracy_aware.metrics[0].baseline_value) == ("relative", 0.7)
    assert job.warnings == ()


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [
        ("ranking_subset_size", 300, "errors of their outputs"), ("metric_subset_ratio", 0.5, "on all samples"),
        ("annotation_conf_threshold", 0.6, "annotation_free"), ("annotation_free", True, "that of the annotation"),
    ],
)  # fmt: skip
def test_an_accuracy_aware_parameter_without_meaning_says_what_replaces_it(load, key, value, instead):
    (warning,) = load(quantizing(("AccuracyAwareQuantization", {key: value}))).warnings
    assert f"{key} is ignored" in warning
    assert instead in warning


def test_several_metrics_say_which_one_is_kept(load):
    params = {"metrics": [{"name": "first"}, {"name": "second"}]}
    (warning,) = load(quantizing(("AccuracyAwareQuantization", params))).warnings
    assert "accuracy is that of 'first', the first; second: not looked at" in warning


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"maximal_drp": 1}, "did you mean 'maximal_drop'"), ({"maximal_drop": -1}, "maximal_drop"),
        ({"drop_type": "relativ"}, "did you mean 'relative'"), ({"tune_hyperparams": "no"}, "tune_hyperparams"),
        ({"base_algorithm": "TunableQuantization"}, "base_algorithm"), ({"presett": "mixed"}, "did you mean 'preset'"),
    ],
)  # fmt: skip
def test_a_wrong_accuracy_aware_parameter_is_told_with_its_line(load, params, message):
    with pytest.raises(ConfigurationError, match=r"pot\.json:\d+: ") as raised:
        load(quantizing(("AccuracyAwareQuantization", params)))
    assert message in str(raised.value)


def test_accuracy_awareness_and_tpe_are_two_searches(load):
    with pytest.raises(ConfigurationError, match="AccuracyAwareQuantization is a search, and Tpe is another one"):
        load(quantizing(("AccuracyAwareQuantization", {}), optimizer=TUNED["optimizer"]))


# --- engines


def test_datasets_of_their_own_calibrate_and_evaluate(load):
    crop, resize = [{"type": "crop"}], [{"type": "resize"}]
    datasets = {
        "preprocessing": crop,
        "optimization": {"name": "plain", "data_source": "images"},
        "evaluation": {"name": "scored", "data_source": "images", "preprocessing": resize},
    }
    engine = load(quantizing(("DefaultQuantization", {}), engine={"launchers": [], "datasets": datasets})).engine
    listed = engine.config["models"][0]["datasets"]
    assert [(each["name"], each["preprocessing"]) for each in listed] == [("scored", resize), ("plain", crop)]
    assert engine.calibration == 1


def test_the_checkers_paths_may_stand_in_the_engine(load, tmp_path):
    (tmp_path / "definitions.yml").touch()
    engine = {"config": "checker.yml", "source": "data", "annotations": "labels", "definitions": "definitions.yml"}
    found = load({**TUNED, "engine": engine}).engine
    assert (found.paths.source, found.paths.annotations) == (tmp_path / "data", tmp_path / "labels")
    assert found.definitions == tmp_path / "definitions.yml"


@pytest.mark.parametrize("engine", [{"config": "checker.yml", "launcher": []}, {"datasets": [], "launcher": []}])
def test_a_mistyped_key_of_the_engine_is_told(load, engine):
    with pytest.raises(ConfigurationError, match=r"unknown key 'engine\.launcher'[\s\S]*did you mean 'launchers'"):
        load({**TUNED, "engine": engine})


def test_an_engine_without_data_makes_noise_and_says_so(load):
    job = load(quantizing(("DefaultQuantization", {}), engine={"type": "data_free", "shape": "[None, 3, 16, 24]"}))
    assert job.engine == Noise(shape=(None, 3, 16, 24))
    assert "pictures of random noise" in job.warnings[0]


def test_an_engine_without_data_takes_the_pictures_that_are_there(load, tmp_path):
    (tmp_path / "images" / "one.png").touch()
    engine = {"type": "data_free", "data_source": "images", "generate_data": "True", "layout": "NCHW"}
    job = load(quantizing(("DefaultQuantization", {}), engine=engine))
    assert (job.engine, job.warnings) == (Images(data_source="images", layout="NCHW"), ())


def test_images_are_a_folder_a_pattern_or_a_list(tmp_path):
    for name in ("b.png", "a.png", "c.jpg"):
        (tmp_path / name).touch()
    listed = written(tmp_path, "list.txt", "c.jpg\nb.png\n")
    assert [each.name for each in image_files(tmp_path)] == ["a.png", "b.png", "c.jpg", "list.txt"]
    assert [each.name for each in image_files(tmp_path / "*.png")] == ["a.png", "b.png"]
    assert [each.name for each in image_files(listed)] == ["c.jpg", "b.png"]


@pytest.mark.parametrize("kind", ["simplified", "data_free"])
@pytest.mark.parametrize(
    ("line", "remedy"), [("b.png 3", "remove what follows it"), ("c.png", "relative to the list's folder")]
)
def test_a_line_of_a_list_is_a_picture_and_nothing_else(load, tmp_path, kind, line, remedy):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    written(tmp_path, "list.txt", f"a.png\n\n{line}\n")
    with pytest.raises(ConfigurationError, match=rf"(?s)list.txt:3: there is no file '{line}'.*{remedy}"):
        load(quantizing(("DefaultQuantization", {}), engine={"type": kind, "data_source": "list.txt"}))


def test_a_list_that_is_no_text_is_told(load, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"(?s)cannot read list.txt: .*UTF-8 text"):
        load(quantizing(("DefaultQuantization", {}), engine={"type": "simplified", "data_source": "list.txt"}))


@pytest.mark.parametrize("key", ["model", "weights"])
def test_a_missing_file_is_looked_for_in_the_working_directory(load, key):
    content = quantizing(("DefaultQuantization", {}), model={**TUNED["model"], key: "missing"})
    with pytest.raises(ConfigurationError, match="a relative one starts at the working directory"):
        load(content)


def test_weights_of_another_name_are_kept(load, tmp_path):
    (tmp_path / "other.bin").touch()
    assert load(TUNED).weights is None
    assert load({**TUNED, "model": {"model": "net.xml", "weights": "other.bin"}}).weights == tmp_path / "other.bin"


# --- what is refused


def test_a_cascade_says_what_it_was_and_what_to_do(load):
    content = {**TUNED, "model": {"model_name": "faces", "cascade": [{"name": "first", "model": "net.xml"}]}}
    with pytest.raises(ConfigurationError, match=r"pot\.json:\d+: a cascade is several networks[\s\S]*quantize one"):
        load(content)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WeightSparsity", "no weights are pruned here"), ("INT4MixedQuantization", "INT4"),
        ("RangeOptimization", "use TunableQuantization with the optimizer Tpe"),
        ("DataFreeQuantization", "engine.type: data_free"), ("OverflowCorrection", "saturation_fix"),
    ],
)  # fmt: skip
def test_an_algorithm_that_is_not_here_says_what_to_do(load, name, message):
    with pytest.raises(ConfigurationError, match=f"{name} is not available") as raised:
        load(quantizing(("DefaultQuantization", {}), (name, {"anything": 1})))
    assert message in str(raised.value)


def test_an_algorithm_that_only_measures_is_left_out(load):
    job = load(quantizing(("DefaultQuantization", {}), ("QuantNoiseEstimator", {"mode": "full_fq_noise"})))
    assert len(job.compression.algorithms) == 3
    assert "QuantNoiseEstimator is ignored" in job.warnings[0]


def test_a_device_that_openvino_left_behind_is_named(load):
    content = quantizing(("DefaultQuantization", {}))
    content["compression"]["target_device"] = "GNA"
    with pytest.raises(ConfigurationError, match=r"no GNA plugin since 2024\.0"):
        load(content)


# --- the command line


GIVEN = {"quantize": "default", "model": Path("net.xml"), "weights": Path("net.bin"), "ac_config": Path("checker.yml")}


def test_the_command_line_is_pots_template(load, tmp_path):
    load(TUNED)  # makes the working directory
    job = pot_of_options(PotOptions(**GIVEN, preset="mixed"))
    assert (job.name, job.target, job.is_search) == ("net", "CPU", False)
    assert job.compression.tunable.preset == "mixed"
    assert {each.params.stat_subset_size for each in job.compression.algorithms} == {300}
    assert job.engine.config == tmp_path / "checker.yml"


def test_accuracy_aware_on_the_command_line_has_its_largest_drop(load):
    load(TUNED)
    job = pot_of_options(PotOptions(**{**GIVEN, "quantize": "accuracy_aware", "max_drop": 0.03}))
    assert job.accuracy_aware.maximal_drop == 0.03


def test_pictures_on_the_command_line(load):
    load(TUNED)
    given = {**GIVEN, "ac_config": None, "engine": "simplified", "data_source": Path("images")}
    assert pot_of_options(PotOptions(**given)).engine == Images(data_source="images")


def test_what_an_option_says_is_told_by_its_name(load):
    load(TUNED)
    job = pot_of_options(PotOptions(**{**GIVEN, "engine": "data_free"}))
    assert job.warnings[0] == "--ac-config is ignored: --engine is data_free"
    assert job.warnings[1].startswith("--engine: engine data_free calibrates on pictures of random noise")
    assert job.names == ("-w", "-m")
    with pytest.raises(ConfigurationError, match=r"^--shape: "):
        pot_of_options(PotOptions(**{**GIVEN, "engine": "data_free", "shape": "[1, x]"}))


def test_the_command_lines_engine_wins_over_the_files(load, tmp_path):
    path = written(tmp_path, "pot.json", json.dumps(quantizing(("DefaultQuantization", {}))))
    load_pot_path = PotOptions(config=path, engine="simplified", data_source=Path("images"))
    assert isinstance(load_pot(path, load_pot_path).engine, Images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither a configuration nor -q"),
        ({"config": Path("a.json"), "quantize": "default"}, "a configuration and -q: one of the two"),
        ({"config": Path("a.json"), "preset": "mixed"}, "a configuration and --preset"),
        ({"config": Path("a.json"), "ac_config": Path("checker.yml")}, "a configuration and --ac-config"),
        ({"quantize": "default"}, "-q needs a model and its weights"),
        ({**GIVEN, "ac_config": None}, "-q needs data"),
        ({**GIVEN, "quantize": "accuracy_aware"}, "needs the largest drop"),
        ({**GIVEN, "max_drop": 0.1}, "--max-drop belongs to -q accuracy_aware"),
        ({**GIVEN, "engine": "simplified"}, "--engine simplified needs pictures"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ConfigurationError, match=message):
        check_options(PotOptions(**options))


@pytest.mark.parametrize(
    ("key", "option"), [("model", "--model"), ("weights", "--weights"), ("ac_config", "--ac-config")]
)
def test_a_missing_file_of_the_command_line_is_named_by_its_option(load, key, option):
    load(TUNED)
    with pytest.raises(ConfigurationError, match=f"{option}: no such file: missing"):
        pot_of_options(PotOptions(**{**GIVEN, key: Path("missing")}))


# --- where what is wrong stands


def line_of(sign, number=1):
    """The line of the file's number-th text that has this sign."""
    lines = Path("pot.json").read_text().splitlines()
    return [line for line, text in enumerate(lines, 1) if sign in text][number - 1]


@pytest.mark.parametrize("key", ["maximal_drop", "drop_type", "max_iter_num", "base_algorithm", "tune_hyperparams"])
def test_a_wrong_parameter_of_accuracy_aware_quantization_has_its_line(load, key):
    with pytest.raises(ConfigurationError) as raised:
        load(quantizing(("AccuracyAwareQuantization", {"stat_subset_size": 3, key: [-1]})))
    assert raised.value.where.endswith(f":{line_of(key)}")


@pytest.mark.parametrize(("key", "value"), [("max_trials", -1), ("max_trialz", 1), ("benchmark", {"nthread": 1})])
def test_a_wrong_parameter_of_the_search_has_its_line(load, key, value):
    content = json.loads(json.dumps(TUNED))
    content["optimizer"]["params"][key] = value
    with pytest.raises(ConfigurationError) as raised:
        load(content)
    sign = "nthread" if key == "benchmark" else key
    assert raised.value.where.endswith(f":{line_of(sign)}")


def test_keys_of_a_models_yaml_are_placed_where_the_file_says_the_same(load):
    metrics = [{"name": "first"}, {"name": "second", "baseline_value": 0.5}]
    aware = ("AccuracyAwareQuantization", {"metrics": metrics, "ignored": {"scope": ["nope"]}})
    places = load(quantizing(("QuantNoiseEstimator", {}), aware)).places
    expected = {
        ("model",): line_of('"model": "net.xml"'),
        ("metric",): line_of('"first"'),
        ("optimizer", "params", "metrics", 0): line_of('"second"'),
        ("compression", "algorithms", 1, "params", "ignored", "scope", 0): line_of('"nope"'),
    }
    assert {keys: int(places.where(keys).rsplit(":", 1)[1]) for keys in expected} == expected


@pytest.mark.parametrize("parts", [False, True])
def test_the_engines_own_configuration_is_placed_in_the_file(load, parts):
    names = ("optimization", "evaluation")
    each = {name: {"name": name, "metrics": [{"type": f"metric_of_{name}"}]} for name in names}
    shared = {"preprocessing": [{"type": "resize"}]}
    datasets = {**each, **shared} if parts else [{**each[name], **shared} for name in reversed(names)]
    job = load({**TUNED, "engine": {"launchers": [{"adapter": "wrong"}], "datasets": datasets}})
    content = ("accuracy_checker", "models", 0)
    expected = {
        ("launchers", 0, "adapter"): line_of('"wrong"'),
        ("datasets", 0, "metrics", 0, "type"): line_of('"metric_of_evaluation"'),
        ("datasets", 1, "metrics", 0, "type"): line_of('"metric_of_optimization"'),
        ("datasets", 1, "preprocessing", 0, "type"): line_of('"resize"', 1 if parts else 2),
    }
    found = {keys: int(job.places.where((*content, *keys)).rsplit(":", 1)[1]) for keys in expected}
    assert found == expected


def test_what_options_said_is_placed_at_the_option_beside_a_file_too(load, tmp_path):
    content = quantizing(("DefaultQuantization", {}), engine={"type": "data_free", "layout": "CHW"})
    path = written(tmp_path, "pot.json", json.dumps(content, indent=1))
    places = load_pot(path, PotOptions(config=path, shape="[1,3,8,8]")).places
    assert places.where(("engine", "shape")) == "--shape"
    assert places.where(("engine", "layout")).endswith(f"pot.json:{line_of('layout')}")
    with pytest.raises(ConfigurationError, match=r"^--shape: "):
        load_pot(path, PotOptions(config=path, shape="[1, x]"))


def test_a_wrong_drop_of_the_command_line_names_its_option(load):
    load(TUNED)
    with pytest.raises(ConfigurationError, match=r"^--max-drop: "):
        pot_of_options(PotOptions(**{**GIVEN, "quantize": "accuracy_aware", "max_drop": float("nan")}))


# --- what would be left unsaid


@pytest.mark.parametrize("engine", [None, "accuracy_checker", "simplified"])
def test_an_option_that_the_engine_does_not_take_is_a_warning(load, engine):
    load(TUNED)
    data_source = Path("images") if engine == "simplified" else None
    job = pot_of_options(PotOptions(**{**GIVEN, "engine": engine, "shape": "[1,3,x]", "data_source": data_source}))
    assert f"--shape is ignored: the engine is {engine or 'accuracy_checker'}" in job.warnings


def test_pictures_named_beside_the_accuracy_checker_are_a_warning(load):
    load(TUNED)
    job = pot_of_options(PotOptions(**GIVEN, data_source=Path("images")))
    assert job.warnings == ("--data-source is ignored: the engine is accuracy_checker",)


def test_an_option_that_the_file_says_otherwise_is_a_warning(load, tmp_path):
    engine = {"type": "data_free", "shape": [1, 3, 8, 8]}
    path = written(tmp_path, "pot.json", json.dumps(quantizing(("DefaultQuantization", {}), engine=engine), indent=1))
    job = load_pot(path, PotOptions(config=path, shape="[1,3,9,9]"))
    assert job.engine.shape == (1, 3, 8, 8)
    assert f"--shape is ignored: {path}:{line_of('shape')}: engine.shape says it" in job.warnings


@pytest.mark.parametrize("shape", ["[1,3,0,8]", [1, 3, -2, 8], "1,3,x", "[]"])
def test_a_size_is_a_number_above_zero_or_open(load, shape):
    with pytest.raises(ConfigurationError, match=r"engine\.shape"):
        load(quantizing(("DefaultQuantization", {}), engine={"type": "data_free", "shape": shape}))


@pytest.mark.parametrize("shape", ["[1,3,None,-1]", [1, 3, None, -1], "1, 3, ?, None"])
def test_sizes_left_open_are_written_in_several_ways(load, shape):
    job = load(quantizing(("DefaultQuantization", {}), engine={"type": "data_free", "shape": shape}))
    assert job.engine == Noise(shape=(1, 3, None, None))


@pytest.mark.parametrize(("device", "read"), [("VPU", "NPU"), ("CPU_SPR", "CPU")])
def test_a_device_that_is_read_as_another_is_a_warning(load, device, read):
    content = quantizing(("DefaultQuantization", {}))
    content["compression"]["target_device"] = device
    job = load(content)
    assert job.target == read
    assert f"pot.json:{line_of(device)}: compression.target_device {device} is read as {read}: " in job.warnings[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("DefaultQuantization", "DefaultQuantization"), "DefaultQuantization is named twice"),
        (("FastBiasCorrection", "MinMaxQuantization"), "MinMaxQuantization runs before FastBiasCorrection"),
        (("DefaultQuantization", "BiasCorrection"), "DefaultQuantization and BiasCorrection both correct biases"),
        (("MinMaxQuantization", "AccuracyAwareQuantization"), "AccuracyAwareQuantization both quantize"),
        (("MinMaxQuantization", "SmoothQuant"), "SmoothQuant runs before MinMaxQuantization"),
        (("DefaultQuantization", "SmoothQuant"), "(?s)one after the other.*Alignment, SmoothQuant, Tunable"),
    ],
)
def test_algorithms_that_do_not_go_together_are_called_as_the_file_calls_them(load, names, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        load(quantizing(*((name, {}) for name in names)))
    line = line_of('"name"', len(names))
    assert raised.value.where.endswith(f":{line}")
    assert "TunableQuantization" not in raised.value.what


@pytest.mark.parametrize("part", ["model", "engine"])
def test_no_message_names_a_class_of_pythons(load, part):
    wrong = {"model": {**TUNED["model"], "model": ["net.xml"]}}
    wrong["engine"] = {"type": "simplified", "data_source": ["images"]}
    with pytest.raises(ConfigurationError, match="is not a valid path, not") as raised:
        load(quantizing(("DefaultQuantization", {}), **{part: wrong[part]}))
    assert "<class" not in str(raised.value)


@pytest.mark.parametrize("value", [None, -1, 1.5, True, "layer", {}])
def test_a_scope_that_is_no_list_is_told(load, value):
    with pytest.raises(ConfigurationError, match=r"params\.tuning_scope: ") as raised:
        load(quantizing(("TunableQuantization", {"tuning_scope": value})))
    assert raised.value.where.endswith(f":{line_of('tuning_scope')}")


def leaves(value, at=()):
    """The keys of all texts and numbers of a configuration."""
    if not isinstance(value, dict | list):
        return [at]
    found = value.items() if isinstance(value, dict) else enumerate(value)
    return [leaf for key, item in found for leaf in leaves(item, (*at, key))]


EVERYTHING = quantizing(
    (
        "AccuracyAwareQuantization",
        {
            "preset": "mixed", "stat_subset_size": 3, "maximal_drop": 0.1, "max_iter_num": 3, "threshold": 2.0,
            "metrics": [{"name": "a", "baseline_value": 0.5}], "use_fast_bias": True,
            "ignored": {"operations": [{"type": "Add"}], "skip_model": False},
            "activations": {"bits": 8, "range_estimator": {"max": {"type": "max", "outlier_prob": 0.1}}},
        },
    ),
    engine={"type": "data_free", "layout": "NCHW", "shape": [1, 3, 8, 8], "data_type": "image"},
)  # fmt: skip


@pytest.mark.parametrize("base", [TUNED, EVERYTHING], ids=["tuned", "everything"])
def test_whatever_value_is_refused_its_line_is_told(load, base):
    places = {}
    for at in leaves(base):
        content = json.loads(json.dumps({**base, "engine": {**base["engine"]}}))
        inner = content
        for key in at[:-1]:
            inner = inner[key]
        inner[at[-1]] = "wrong value"
        try:
            load(content)
        except ConfigurationError as error:
            places[at] = (error.where.partition(": ")[0].rpartition(":")[2], str(line_of("wrong value")))
    assert {at: found for at, (found, right) in places.items() if found != right} == {}
    assert len(places) > len(leaves(base)) / 2
