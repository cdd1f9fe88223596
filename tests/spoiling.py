"""Good files of every kind, and a seeded mutator that spoils them."""

import json
import re

import yaml

from quantize_zoo.text.documents import TextError
from quantize_zoo.text.from_json import parse_json
from quantize_zoo.text.from_yaml import parse_yaml

MODEL = """\
name: net
model: net.xml
accuracy_checker: checker.yml
definitions: definitions.yml
paths: {source: .}
input_shapes: {x: [1, 3, 8, 8]}
metric: accuracy@top1
on_bad_sample: fail
compression:
  target_device: CPU
  hardware: hardware.yml
  algorithms:
    - {name: ActivationChannelAlignment, params: {stat_subset_size: 30}}
    - name: TunableQuantization
      params:
        preset: performance
        stat_subset_size: 300
        tuning_scope: [layer, range_estimator]
        estimator_tuning_scope: [preset, outlier_prob]
        outlier_prob_choices: [1.0e-3, 1.0e-4]
        range_estimator:
          preset: quantile
          max: {type: quantile, aggregator: mean, outlier_prob: 0.001, clipping_value: 6.0}
        activations: {bits: 8, mode: symmetric, granularity: pertensor}
        ignored: {scope: [conv], operations: [{type: MatMul, attributes: {transpose_a: true}}], skip_model: false}
    - {name: FastBiasCorrection, params: {threshold: 2.0}}
optimizer:
  name: Tpe
  params:
    max_trials: 5
    max_minutes: 3
    trials_load_method: cold_start
    stages: [{max_trials: 2, tuning_scope: [layer]}, {max_trials: 3, tuning_scope: [layer]}]
    eval_subset_size: 50
    holdout: 0.3
    metrics: [{name: accuracy@top1, baseline_value: 0.9}]
    accuracy_loss: 0.5
    latency_reduce: 1.2
    accuracy_weight: 1.0
    expected_quantization_ratio: 0.5
    benchmark: {nthreads: 1, nstreams: 1, api_type: sync, batch_size: 1, duration_seconds: 0.2}
"""
MATRIX = """\
models: [net.yml]
devices:
  - CPU
  - {device: CPU, isa: AVX2}
  - {device: "AUTO:CPU", device_config: {ENABLE_CPU_PINNING: false, NUM_STREAMS: 2}, models: [net]}
on_missing_device: skip
on_mixed_cpus: refuse
require_targets: false
references: []
input_memory_mb: 100
hang_minutes: 30
gate: {max_accuracy_drop: 0.5, max_latency_increase: 3, max_size_increase: 1, false_alarms_a_night: 0.01}
runtimes: [{name: other, python: python}]
notify: {url: "${QUANTIZE_ZOO_WEBHOOK}", format: slack}
"""
WAIVERS = """\
models: [net.yml]
devices: [CPU]
waivers:
  - {cell: net-CPU, check: latency, reason: "ticket 7", until: 2999-01-01}
  - {cell: net-CPU, check: search accuracy, reason: known, until: 2999-01-01}
"""
CHECKER = """\
models:
  - name: net
    launchers:
      - framework: openvino
        adapter: {type: classification, block: false}
        inputs: [{name: x, type: INPUT, value: ".*"}]
        default_layout: NCHW
    datasets:
      - name: digits
        reader: {type: opencv_imread}
        annotation_conversion: {converter: imagenet, annotation_file: labels.txt}
        preprocessing:
          - {type: resize, size: 8}
          - {type: normalization, mean: 127.5, std: 63.75}
        metrics:
          - {name: accuracy@top1, type: accuracy, top_k: 1}
          - {type: accuracy, top_k: 3}
"""
DEFINITIONS = """\
launchers:
  - {framework: openvino, device: CPU}
datasets:
  - name: digits
    data_source: images
    annotation_conversion: {converter: imagenet, annotation_file: labels.txt}
    metrics: [{type: accuracy}]
  - name: others
    preprocessing: [{type: resize, size: 8}]
"""
HARDWARE = """\
target: CPU
operations:
  - types: [Convolution, MatMul]
    activations: &per_tensor
      - {bits: 8, mode: symmetric, granularity: pertensor}
    weights:
      - {bits: 8, mode: symmetric, granularity: perchannel}
  - {types: [Add], activations: *per_tensor}
quantize_agnostic: [MaxPool]
unified_scales: [Concat]
"""
POT_JSON = """\
{ // as POT's own examples
  "model": {"model_name": "net", "model": "net.xml", "weights": "net.bin"},
  "engine": {"type": "accuracy_checker", "config": "checker.yml"},
  "compression": {
    "target_device": "CPU",
    "algorithms": [
      {"name": "ActivationChannelAlignment", "params": {"stat_subset_size": 300}},
      {"name": "TunableQuantization", "params": {"tuning_scope": ["layer"], "stat_subset_size": 200}},
      {"name": "FastBiasCorrection", "params": {"stat_subset_size": 100}},
    ]
  },
  "optimizer": {
    "name": "Tpe", "params": {"max_trials": 7, "accuracy_loss": 0.1, "benchmark": {"nthreads": 1, "batch_size": 0}}
  }
}
"""
POT_YAML = """\
compression:
  target_device: ANY
  algorithms:
    - name: DefaultQuantization
      params: {preset: mixed, stat_subset_size: 300, weights: {bits: 8}, use_fast_bias: true}
"""
SCHEDULER = """\
{"type": "Scheduler", "id": "Scheduler-1", "address": "tcp://127.0.0.1:8786", "services": {"dashboard": 8787}}
"""
FILES = {
    "net.yml": MODEL, "matrix.yml": MATRIX, "waivers.yml": WAIVERS, "checker.yml": CHECKER,
    "definitions.yml": DEFINITIONS, "hardware.yml": HARDWARE, "pot.json": POT_JSON, "quantization.yml": POT_YAML,
    "scheduler.json": SCHEDULER, "results": "", "labels.txt": "0.png 1\n", "python": "",
}  # fmt: skip

_A_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
# What stands where a value stood; some of it is YAML or JSON of its own.
VALUES = (
    ".inf", "-.inf", ".nan", "NaN", "Infinity", "1e999", "-1", "0", "-0.0", "1e-320", "5.0", '"5"', "1" + "0" * 30,
    "9" * 31, "9" * 5000, "1." + "0" * 5000 + "1", "0x_", "0b_", "0x" + "F" * 40, "010", "1:30", "1_000",
    "2024-02-31", "2024-13-01", "true", "yes", "null", "~", "", '""', "''", "[]", "{}", "[[]]", "[{}]", "{a: b}",
    '{"a": "b"}', "[1, 2]", "x", "5", "!!int abc", "!!float abc", "!!bool maybe", "!!timestamp abc", "!!binary abc",
    "!!set {a}", "!!python/name:os.system x", "!x y", "&a [*a]", "*a", "{<<: &m {<<: *m}}", "<<", "? a", "[a", "{a",
    "]", "}", '"a', "'a", "|", ">", "- a", "a: b: c", "#", "a #b", "%", "@x", "`", "&", "*", "!", "{x}", "$HOME",
    "${X}", "~/x", "/", ".", "..", "../../x", "/etc/passwd", "/dev/zero", "x" * 300, "/" + "x" * 300, "x" * 5000,
    "x/" * 3000, "a\tb", '"\\0"', '"\\ud800"', '"\\x1b[31mred"', "\x7f", "\x80", "\uffff", "\u2028", "\ufeff",
    "\U0001f642", "é", "[" * 900, "{a: " * 900, '{"a": ' * 900, "[" + "a," * 60_000 + "]", '"' + '\\"' * 50_000,
    "/*" + "*a" * 50_000, "CPU", "GPU", "NPU", "cpu", "CPPU", "CPU.0", "AUTO", "AUTO:CPU,NOPE", "HETERO:CPU,",
    "MULTI:CPU(4)", "AUTO:-CPU", "CPU[f32]", "CPU@x", "omz:", "omz:nope", "omz:../x", "accuracy@top1",
    "accuracy@topp", "net", "net.yml", "matrix.yml", "labels.txt", "net.xml", "tcp://", "tcp://x:99999",
    "tls://127.0.0.1:1", "tcp://[::1", "2999-01-01",
)  # fmt: skip
_SCALAR = re.compile(r"(?<=[:,\[-] )(?:\"[^\"\n]*\"|[^\s,:\[\]{}\"]+)(?=[,\]}\n])")
_KEY = re.compile(r"[\"\w]+(?=: )")
_CHARACTERS = "abz09 \t\n:,-[]{}&*!|>%@`'\"#?\\/.<~\0\x1b\x7f\u2028\ufeffé"


def mutate(text, rng, most=3):
    """Spoil a text in up to so many places."""
    for _ in range(rng.randint(1, most)):
        text = rng.choice(MUTATIONS)(text, rng)
    return text


def _value(text, rng):
    return _replaced(text, _SCALAR, rng, rng.choice(VALUES))


def _two_values(text, rng):
    return _value(_value(text, rng), rng)


def _key(text, rng):
    return _replaced(text, _KEY, rng, rng.choice([*VALUES[:60], "x", "name", "<<"]))


def _swapped_value(text, rng):
    found = [match[0] for match in _SCALAR.finditer(text)]
    return _replaced(text, _SCALAR, rng, rng.choice(found)) if found else text


def _replaced(text, pattern, rng, new):
    found = list(pattern.finditer(text))
    if not found:
        return text + new
    match = rng.choice(found)
    return text[: match.start()] + new + text[match.end() :]


def _without_line(text, rng):
    lines = text.splitlines(keepends=True) or [""]
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _repeated_line(text, rng):
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return "".join(lines)


def _moved_line(text, rng):
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
    return "".join(lines)


def _new_line(text, rng):
    lines = text.splitlines(keepends=True) or [""]
    indent = " " * rng.choice([0, 2, 4, 6])
    lines.insert(rng.randrange(len(lines) + 1), f"{indent}{rng.choice(['x: ', '- ', ''])}{rng.choice(VALUES)}\n")
    return "".join(lines)


def _indented(text, rng):
    lines = text.splitlines(keepends=True) or [""]
    index = rng.randrange(len(lines))
    lines[index] = rng.choice([" ", "  ", "\t", ""]) + lines[index].lstrip(" ") * rng.choice([1, 1, 2])
    return "".join(lines)


def _characters(text, rng):
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text) + 1)
        cut = rng.choice([0, 0, 1, 3])
        text = text[:place] + rng.choice([*_CHARACTERS, ""]) + text[place + cut :]
    return text


def _truncated(text, rng):
    return text[: rng.randrange(len(text) + 1)]


def _bomb(text, rng):
    return rng.choice([_A_BOMB, _A_BOMB + "z: *a9\n", text + _A_BOMB, _A_BOMB + text, text + "---\n" + text])


def _whole(_, rng):
    return rng.choice(VALUES)


def _structure(text, rng):
    """Put any value at a place of the structure, or a value of another place."""
    is_json = text.lstrip()[:1] == "{"
    try:
        data = (parse_json if is_json else parse_yaml)(text).data
    except TextError:
        return text
    places = list(_places(data))
    if not places:
        return text
    holder, key = rng.choice(places)
    other_holder, other_key = rng.choice(places)
    other = json.loads(json.dumps(other_holder[other_key]))  # what an alias names may hold this place
    holder[key] = other if rng.random() < 0.5 else rng.choice(PLAIN)
    return json.dumps(data, indent=1) if is_json else yaml.safe_dump(data, sort_keys=False)


def _places(data):
    if isinstance(data, dict):
        for key, value in data.items():
            yield data, key
            yield from _places(value)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield data, index
            yield from _places(value)


PLAIN = (None, [], {}, "", 0, -1, 1e300, True, "x", [None], {"x": {}}, [[{}]], "x" * 300)
MUTATIONS = (
    _value, _value, _value, _two_values, _swapped_value, _key, _without_line, _repeated_line, _moved_line, _new_line,
    _indented, _characters, _truncated, _structure, _structure, _bomb, _whole,
)  # fmt: skip
