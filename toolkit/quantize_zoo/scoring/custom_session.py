"""The accuracy checker's custom evaluators as a session: programs of several networks, one of which is quantized.

The evaluator is run whole, with every other network as its file has it. Of the named one it gets each candidate, and
what that is fed is recorded once, with the FP32 model: those are its inputs for ranges and latency. Metrics are taken
as the evaluator computes them; no sample has values of its own.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import DeviceSpec, ModelConfig
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.scoring.accuracy import AccuracyResult, AccuracySession, Watch
from quantize_zoo.scoring.answers import Answers
from quantize_zoo.scoring.checker import Checker, find_checker
from quantize_zoo.scoring.checker_config import checker_entry, with_prefixes
from quantize_zoo.scoring.checker_failures import cause_of
from quantize_zoo.scoring.checker_metrics import CheckerMetrics
from quantize_zoo.scoring.compilation import compile_for_accuracy
from quantize_zoo.scoring.inputs import IN_MEMORY, InputArrays, InputBudget
from quantize_zoo.scoring.launcher import CheckerCore, core_in_place
from quantize_zoo.scoring.preprocessing import Sample, sample_name

_NETWORKS = "_part_by_name"  # where the checker's base class keeps the parts that run networks
_OTHER_NETWORKS = DeviceSpec(device="CPU", inference_precision="f32")


class CustomSession(AccuracySession):
    """One network of a custom evaluator, scored by running the evaluator; arguments as for ``AccuracySession``.

    Raises:
        ConfigurationError: it is not clear which network is meant, or the evaluator is none that can be wrapped.
        CellError: the evaluator fails, or never runs the network.

    """

    def __init__(
        self,
        checker: Checker,
        config: ModelConfig,
        model: ov.Model,
        budget: InputBudget = IN_MEMORY,
        dataset: int = 0,
        first: int | None = None,
    ) -> None:
        entry = with_prefixes(checker_entry(config), config)
        self._where = f"{config.location}: accuracy_checker"
        self._module = str(entry["evaluation"]["module"])
        self._model = model
        self._core = _SwappingCore()
        self._evaluator, self._network = self._create(checker, config, entry, dataset)
        self._dataset = self._evaluator.dataset
        metrics = entry["datasets"][dataset].get("metrics")
        self._metrics = CheckerMetrics(self._evaluator.metric_executor, metrics, config.metric)
        self._stateful = False
        self.sequences = None
        self.bad_samples = ()
        self.notes = ()
        count = len(self._dataset) if first is None else min(first, len(self._dataset))
        if count == 0:
            raise errors.empty_dataset("dataset")
        self._inputs = InputArrays(count, budget)
        tap = _Tap(compile_for_accuracy(model, _OTHER_NETWORKS), model, self._inputs)
        dataset_read = self._run(tap, range(count))
        if not any(tap.parts.values()):
            raise errors.network_never_run(self._module)
        self._samples = tuple(
            Sample(identifier, annotation, [], index, tuple(tap.parts.get(index, ())))
            for index, (identifier, annotation) in enumerate(dataset_read)
        )

    def inputs(self, indices: Sequence[int] | None = None) -> Sequence[Mapping[str, NDArray[Any]]]:
        """Return what the network was fed for these samples, for all by default: one for each of its inferences."""
        return [self._inputs.get(part) for sample in self._chosen(indices) for part in sample.parts]

    def score(self, compiled: Any, indices: Sequence[int] | None = None, watch: Watch | None = None) -> AccuracyResult:
        """Run the evaluator on these samples, on all by default; there are no values of samples to be watched.

        Raises:
            CellError: the evaluator fails, an output is NaN, or the tuned metric is not a single number.

        """
        chosen = sorted(self._positions(indices))  # evaluators may keep something from one sample to the next
        self._run(_Tap(compiled, self._model), chosen)
        return AccuracyResult(self._evaluated(), {}, len(chosen))

    def try_first(self, compiled: Any) -> dict[str, NDArray[np.float64]]:
        """Run the evaluator on the first sample; raises as ``score``. Single samples have no values."""
        self._run(_Tap(compiled, self._model), [0])
        return {}

    def answers(self, compiled: Any, metric: str, indices: Sequence[int] | None = None) -> Answers:
        """Return what a compiled model answers in the evaluator for these samples; raises as ``score``."""
        chosen = self._positions(indices)
        tap = _Tap(compiled, self._model)
        self._run(tap, sorted(chosen))
        position = {index: number for number, index in enumerate(sorted(chosen))}
        digests = [tap.digests.get(position[index]) for index in chosen]
        return Answers(
            metric=metric,
            metrics=self._evaluated(),
            identifiers=np.array([sample_name(self._samples[each].identifier) for each in chosen], dtype=np.str_),
            digests=np.array([0 if each is None else _number(each) for each in digests], dtype=np.uint64),
            texts=np.array([""] * len(chosen), dtype=np.str_),
            values=None,
        )

    def answers_of(
        self, outputs: Iterable[dict[str, NDArray[Any]]], metric: str, indices: Sequence[int] | None = None
    ) -> Answers:
        """Refuse: what the network is fed depends on what it answered before.

        Raises:
            CellError: always.

        """
        raise errors.evaluator_needs_the_network(self._module)

    def require_separable(self) -> None:
        """Refuse, as ``answers_of`` does."""
        raise errors.fed_with_answers(f"the custom evaluator {self._module}")

    def _positions(self, indices: Sequence[int] | None) -> list[int]:
        return list(range(len(self._samples))) if indices is None else [int(each) for each in indices]

    def _create(self, checker: Checker, config: ModelConfig, entry: Mapping[str, Any], dataset: int) -> tuple[Any, Any]:
        """Return the evaluator with its data, and its part that runs the named network."""
        evaluation = copy.deepcopy(entry["evaluation"])
        if problem := evaluator_problem(evaluation):
            raise errors.custom_evaluator(self._where, problem)
        settings = evaluation["module_config"]
        networks = settings.setdefault("network_info", {})
        name = _named_network(networks, config, self._where)
        networks[name] = {**(networks[name] or {}), "model": str(config.model)}
        launcher = {**entry["launchers"][0], "framework": "openvino", "device": "CPU"}
        settings |= {"launchers": [launcher], "datasets": [copy.deepcopy(entry["datasets"][dataset])]}
        module = checker.module("launcher.openvino_launcher")
        try:
            load = checker.module("evaluators.module_evaluator").load_module
            with core_in_place(module, self._core):
                evaluator = load(self._module, evaluation.get("python_path")).from_configs(
                    settings, orig_config=evaluation
                )
                evaluator.select_dataset("")
        except QuantizeZooError:
            raise
        except Exception as error:  # evaluators raise what a missing file, key or name of a layer raises
            cause = f"{self._module}: {type(error).__name__}: {error}"
            remedy = "see that it runs with the accuracy checker's own command, on the same networks and data"
            raise errors.checker_configuration(self._where, cause, remedy) from error
        parts = getattr(evaluator.model, _NETWORKS, None) or {}
        network = getattr(evaluator.model, name, parts.get(name))
        if not hasattr(network, "load_network") or evaluator.metric_executor is None:
            raise errors.custom_evaluator(self._where, f"custom evaluator {self._module}, which has no part {name!r}")
        return evaluator, network

    def _run(self, tap: _Tap, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        """Run the evaluator on these samples with a compiled model; return their identifiers and annotations."""
        evaluator = self._evaluator
        self._metrics.begin_pass()
        evaluator.metric_executor = self._metrics.executor
        evaluator._annotations, evaluator._predictions, evaluator._metrics_results = [], [], []
        if hasattr(evaluator.model, "reset"):
            evaluator.model.reset()
        evaluator.dataset = _Subset(self._dataset, indices, tap)
        try:
            with self._core.swapped(tap):
                self._network.load_network(self._model, evaluator.launcher)
            evaluator.process_dataset(progress_reporter=None)
        except QuantizeZooError:
            raise
        except Exception as error:  # evaluators raise what their networks' outputs make them raise
            raise errors.evaluator_failed(self._module, f"{type(error).__name__}: {error}") from error
        read: list[tuple[Any, Any]] = evaluator.dataset.read
        return read

    def _evaluated(self) -> dict[str, float]:
        try:
            found = self._evaluator.compute_metrics(print_results=False)
        except Exception as error:  # metrics raise what a prediction of another task raises
            raise errors.metric_failed(self._metrics.names, cause_of(error)) from error
        return self._metrics.numbers(found)


def evaluator_problem(evaluation: Mapping[str, Any]) -> str:
    """Say why a custom evaluator cannot be wrapped, as far as can be told without running it; nothing if it can.

    Its networks are exchanged where the checker's own base class knows them by name. MTCNN's stages and what runs whole
    pipelines (Stable Diffusion, Whisper, CLIP) keep theirs for themselves.
    """
    module, settings = evaluation.get("module"), evaluation.get("module_config")
    if not isinstance(module, str) or not isinstance(settings, Mapping):
        return "the entry names no module and module_config"
    name = module.rsplit(".", 1)[-1]
    if not isinstance(settings.get("network_info", {}), Mapping):
        return f"custom evaluator {name}, whose network_info names no networks"
    load = find_checker().module("evaluators.module_evaluator").load_module
    try:
        evaluator = load(module, evaluation.get("python_path"))
        source = inspect.getsource(sys.modules[evaluator.__module__])
    except ModuleNotFoundError as error:
        checker = find_checker()
        if str(error.name).rsplit(".", 1)[-1] in module.split("."):
            return f"the accuracy checker {checker.version} ({checker.origin}) has no custom evaluator {module}"
        return f"custom evaluator {name} needs the Python package {error.name}, which is not installed"
    except Exception as error:  # a name that its module does not have, or whatever the module does
        if "UnsupportedPackage" in str(error):  # the checker's stand-in for one, from which a class is derived
            return f"custom evaluator {name} needs Python packages that are not installed"
        return f"custom evaluator {name} cannot be loaded: {errors.described(error)}"
    return "" if _NETWORKS in source else f"custom evaluator {name} keeps its networks for itself, and runs all of them"


def _named_network(networks: Mapping[str, Any], config: ModelConfig, where: str) -> str:
    """Return which network is quantized: the one whose file has the model's name, else the one that names no file."""
    files = {name: (each or {}).get("model") for name, each in networks.items() if isinstance(each, Mapping | None)}
    same = [name for name, file in files.items() if file is not None and Path(file).stem == config.model.stem]
    without = [name for name, file in files.items() if file is None]
    found = same if len(same) == 1 and not without else without
    if len(found) != 1:
        raise errors.network_not_named(where, files)
    return found[0]


def _number(digest: Any) -> np.uint64:
    number: np.uint64 = np.frombuffer(digest.digest(), dtype=np.uint64)[0]
    return number


class _SwappingCore(CheckerCore):
    """Compiles the other networks for the CPU, and gives the named one what it is told to."""

    def __init__(self) -> None:
        super().__init__(self._compiled)
        self._given: _Tap | None = None

    def _compiled(self, model: ov.Model) -> Any:
        return compile_for_accuracy(model, _OTHER_NETWORKS) if self._given is None else self._given

    @contextmanager
    def swapped(self, tap: _Tap) -> Iterator[None]:
        """Give this in place of what is compiled meanwhile."""
        self._given = tap
        try:
            yield
        finally:
            self._given = None


class _Tap:
    """A compiled model whose inputs are kept and outputs hashed, by the position of the sample at hand."""

    def __init__(self, compiled: Any, model: ov.Model, kept: InputArrays | None = None) -> None:
        self._compiled = compiled
        self._kept = kept
        self._names: dict[Any, str] = dict(enumerate(port.get_any_name() for port in model.inputs))
        self._names |= {name: port.get_any_name() for port in model.inputs for name in port.get_names()}
        self._dtypes = {port.get_any_name(): port.get_element_type().to_dtype() for port in model.inputs}
        self._outputs = sorted((port.get_any_name(), number) for number, port in enumerate(model.outputs))
        self.position = 0
        self.identifier: Any = None
        self.parts: dict[int, list[int]] = {}
        self.digests: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    def create_infer_request(self) -> _TappedRequest:
        """Return a request that tells this value of each inference."""
        return _TappedRequest(self._compiled.create_infer_request(), self)

    def before(self, feed: Mapping[Any, Any]) -> None:
        """Keep the inputs of an inference, if they are wanted."""
        if self._kept is not None:
            named = {self._names[key]: value for key, value in feed.items()}
            inputs = {name: np.ascontiguousarray(named[name], dtype=dtype) for name, dtype in self._dtypes.items()}
            self.parts.setdefault(self.position, []).append(self._kept.append(inputs))

    def after(self, outputs: Any) -> None:
        """Hash the outputs of an inference.

        Raises:
            CellError: one is NaN.

        """
        digest = self.digests.setdefault(self.position, hashlib.blake2b(digest_size=8))
        for name, number in self._outputs:
            value = outputs[number]
            if np.issubdtype(value.dtype, np.floating) and np.isnan(value).any():
                raise errors.outputs_not_numbers(name, sample_name(self.identifier))
            digest.update(np.ascontiguousarray(value).tobytes())


class _TappedRequest:
    def __init__(self, request: Any, tap: _Tap) -> None:
        self._request = request
        self._tap = tap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    def infer(self, inputs: Mapping[Any, Any], *arguments: Any, **named: Any) -> Any:
        self._tap.before(inputs)
        outputs = self._request.infer(inputs, *arguments, **named)
        self._tap.after(outputs)
        return outputs


class _Subset:
    """Some samples of the checker's dataset, one at a time; tells a tap which is at hand."""

    def __init__(self, dataset: Any, indices: Sequence[int], tap: _Tap) -> None:
        dataset.batch = 1
        self._dataset = dataset
        self._indices = indices
        self._tap = tap
        self.read: list[tuple[Any, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Any:
        if position >= len(self._indices):
            raise IndexError(position)
        ids, annotations, data, identifiers = self._dataset[self._indices[position]]
        self._tap.position, self._tap.identifier = position, identifiers[0]
        self.read.append((identifiers[0], annotations[0] if annotations else None))
        return ids, copy.deepcopy(annotations), data, identifiers  # postprocessing changes annotations
