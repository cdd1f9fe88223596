"""The accuracy checker's own launcher, for what it does beside inference: fitting data to a model, naming outputs.

How data become a model's inputs (layouts, dimensions of 1, types, constants, sizes of images) is in the launcher and in
its input feeder, and differs from release to release. So both are the checker's; only the device is kept from them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.adapter_outputs import OutputRead, named_output, obeys, output_keys
from quantize_zoo.scoring.checker import Checker

# What the launcher would do to a model, and what is the model's own, or the cell's, here.
_NOT_OF_INPUTS = ("model", "weights", "batch", "device_config", "ie_config", "cpu_extensions", "gpu_extensions", "tags")
Inputs = dict[str, NDArray[Any]]


class DoesNotFitError(Exception):
    """Data that an input of the model does not take; ``given`` is their shape, or the value of a constant."""

    def __init__(self, name: str, given: object, cause: str) -> None:
        super().__init__(name, given, cause)
        self.name = name
        self.given = given
        self.cause = cause


class CheckerCore:
    """Stands for OpenVINO's Core in the checker: reads models, and compiles them as it is told to.

    The process has one Core of its own, and the cell says which properties its device has. So what the checker asks of
    a device is not passed on; some of it (``CPU_BIND_THREAD``) current releases refuse.
    """

    def __init__(self, compile_model: Callable[[ov.Model], Any]) -> None:
        self._compile = compile_model

    @property
    def available_devices(self) -> list[str]:
        """The devices that OpenVINO finds."""
        devices: list[str] = core().available_devices
        return devices

    def read_model(self, *arguments: Any, **named: Any) -> ov.Model:
        """Read a model as OpenVINO does."""
        return core().read_model(*arguments, **named)

    def compile_model(self, model: ov.Model, *_arguments: Any, **_named: Any) -> Any:
        """Compile a model for whatever the cell says."""
        return self._compile(model)

    def set_property(self, *_arguments: Any, **_named: Any) -> None:
        """Take no property."""

    def get_property(self, *_arguments: Any, **_named: Any) -> tuple[str, ...]:
        """Have none."""
        return ()

    def get_versions(self, *_arguments: Any, **_named: Any) -> dict[str, Any]:
        """Tell of no plugin."""
        return {}


@contextmanager
def core_in_place(module: ModuleType, stand_in: CheckerCore) -> Iterator[None]:
    """Give the launcher that is made meanwhile this Core: its constructor takes none."""
    original = module.Core
    module.Core = lambda: stand_in  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.Core = original  # type: ignore[attr-defined]


def added_outputs(config: Mapping[str, Any], model: ov.Model) -> list[str]:
    """Return which tensors inside of the model the checker's launcher would make outputs (its key ``outputs``).

    They are named as it takes them: a tensor's name, or that of an operation and the number of its output.
    """
    named = config.get("outputs")
    known = {name for port in model.outputs for name in port.get_names()}
    for port in model.outputs:
        source = port.get_node().input_value(0)
        known.add(f"{source.get_node().get_friendly_name()},{source.get_index()}")
    listed = named if isinstance(named, list) else []
    return [str(each) for each in listed if str(each).replace(" ", "") not in known]


class _NamedOutputs(dict[str, NDArray[Any]]):
    """Outputs by the launcher's names; where an adapter looks one up by its tensor's name, it is found as well."""

    def __init__(self, names: Mapping[str, str], outputs: Mapping[str, NDArray[Any]]) -> None:
        super().__init__({names[tensor]: value for tensor, value in outputs.items()})
        self._names = names

    def __missing__(self, key: str) -> NDArray[Any]:
        if key not in self._names:
            raise KeyError(key)
        return self[self._names[key]]


class _NotCompiled:
    """What the launcher has of a model that it only fits data to."""

    def create_infer_request(self) -> None:
        """Make none."""


class InputFitter:
    """Makes a model's inputs of preprocessed samples, as the checker's launcher and its configuration say.

    Args:
        checker: where the accuracy checker is.
        config: the launcher's part of the checker's configuration.
        model: the FP32 model.

    Raises:
        ConfigError: the checker's own, when the configuration names an input that is not there.
        DoesNotFitError: a constant input does not take its value.

    """

    def __init__(self, checker: Checker, config: Mapping[str, Any], model: ov.Model) -> None:
        module = checker.module("launcher.openvino_launcher")
        self._checker = checker
        kept = {key: copy.deepcopy(value) for key, value in config.items() if key not in _NOT_OF_INPUTS}
        settings: dict[str, Any] = kept | {"framework": "openvino", "device": "CPU"}
        friendly = {name: port.get_node().get_friendly_name() for port in model.inputs for name in port.get_names()}
        for each in settings.get("inputs", ()):
            name = each["name"]
            if name not in friendly and name not in friendly.values():
                raise checker.module("config").ConfigError(
                    f"the model has no input {name!r}, but: {', '.join(friendly)}"
                )
            each["name"] = friendly.get(name, name)  # with a precision, the launcher takes names of operations only
        with core_in_place(module, CheckerCore(lambda _: _NotCompiled())):
            self._launcher = module.OpenVINOLauncher(settings, delayed_model_loading=True)
            # It changes the shapes and types of what it loads.
            self._launcher.load_network(model.clone())
        feeders = checker.module("launcher.input_feeder")
        # Not a key of the checker's, whose launcher guesses; init writes it where a guess would be wrong.
        layout = config.get("default_layout", self._launcher.default_layout)
        if not isinstance(layout, str) or layout not in feeders.LAYER_LAYOUT_TO_IMAGE_LAYOUT:
            known = ", ".join(feeders.LAYER_LAYOUT_TO_IMAGE_LAYOUT)
            raise checker.module("config").ConfigError(f"default_layout is one of {known}, not {layout!r}")
        self._feeder = feeders.InputFeeder(
            self._launcher.config.get("inputs", []),
            self._launcher.inputs,
            self._launcher.input_shape,
            self._fit,
            layout,
            network_input_mapping=self._launcher.nodel_input_mapping,
        )
        self._feeder.update_layout_configuration(self._launcher.layout_mapping)
        # The launcher knows inputs and outputs by the names of their operations, everything else here by their tensors.
        self._tensors: dict[str, str] = {
            port.get_node().get_friendly_name(): port.get_any_name() for port in model.inputs
        }
        self._dtypes = {port.get_any_name(): port.get_element_type().to_dtype() for port in model.inputs}
        self._outputs: dict[str, str] = {
            port.get_any_name(): port.get_node().get_friendly_name() for port in model.outputs
        }

    @property
    def shapes_for_preprocessing(self) -> Any:
        """The shapes of inputs, as preprocessors ask for them."""
        return self._launcher.inputs_info_for_meta()

    @property
    def carries_states(self) -> bool:
        """Whether outputs of a step are inputs of the next (``LSTM_INPUT``)."""
        return bool(self._launcher.lstm_inputs)

    @property
    def outputs(self) -> list[str]:
        """The names of the model's outputs, in their order."""
        return list(self._outputs)

    def tensor(self, operation: str) -> str:
        """Return the name of the input that the launcher knows by this one."""
        return self._tensors[operation]

    def fit(self, data: Any, meta: Sequence[dict[str, Any]]) -> list[Inputs]:
        """Return the inputs of one sample by tensor name: of one inference, or of several that the sample takes.

        ``meta`` is told what the launcher tells adapters.

        Raises:
            DoesNotFitError: an input does not take its data.
            ConfigError: the checker's own, when it cannot tell which data an input takes.

        """
        filled: list[dict[str, Any]] = self._feeder.fill_inputs(data)
        states = self._launcher._fill_lstm_inputs() if self.carries_states else {}
        for each in filled:
            each.update(states)
        self._launcher._fill_meta(meta, filled[-1] if self._launcher.dyn_input_layers else None)
        return [self._by_tensor(each) for each in filled]

    def next_states(self, outputs: Mapping[str, NDArray[Any]]) -> Inputs:
        """Return the state inputs of the step after the one that had these outputs, all by tensor name."""
        return self._by_tensor(self._launcher._fill_lstm_inputs(self.named_for_adapters(outputs)))

    def prepare_adapter(self, adapter: Any) -> str | None:
        """Tell an adapter which outputs there are, as the checker's evaluator does; return one that is not there.

        Of several outputs the evaluator gives it the first.
        """
        adapter.additional_output_mapping = self._launcher.additional_output_mapping
        adapter.output_blob = adapter.output_blob or next(iter(self._outputs.values()))
        named = named_output(adapter)
        if named is None:
            return None
        found = adapter.check_output_name(named, dict.fromkeys(self._outputs.values()))
        return None if self._outputs.get(found, found) in self._outputs.values() else named

    def output_read(self, adapter: Any) -> OutputRead | None:
        """Return which of several outputs an adapter reads that reads one; None where there is nothing to choose."""
        keys = output_keys(adapter)
        if len(self._outputs) == 1 or len(keys) != 1:
            return None
        names = {friendly: name for name, friendly in self._outputs.items()}
        named = named_output(adapter) if obeys(adapter) else None
        read = adapter.output_blob if named is None else adapter.check_output_name(named, dict.fromkeys(names))
        return OutputRead(names.get(read, str(read)), keys[0], obeys(adapter), is_named=named is not None)

    def named_for_adapters(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return outputs under the names that the launcher gives them."""
        return _NamedOutputs(self._outputs, outputs)

    def _fit(self, data: Any, name: str, layout: Any, precision: Any, template: Any = None) -> Any:
        try:
            return self._launcher.fit_to_input(data, name, layout, precision, template)
        except Exception as error:  # NumPy raises what the shape at hand makes it raise
            given = np.shape(data) if not isinstance(data, str) else data
            raise DoesNotFitError(name, given, str(error)) from error

    def _by_tensor(self, inputs: Mapping[str, Any]) -> Inputs:
        found: Inputs = {}
        for friendly, value in inputs.items():
            name = self._tensors[friendly]
            try:
                found[name] = np.ascontiguousarray(value, dtype=self._dtypes[name]).reshape(np.shape(value))
            except (TypeError, ValueError) as error:
                raise DoesNotFitError(name, value, str(error)) from error
        return found
