"""What a scope of tuning names without effect: nobody should take for searched what was no choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quantize_zoo import errors
from quantize_zoo.config import HardwareConfig, TunableQuantizationParams
from quantize_zoo.graph import Placement
from quantize_zoo.quantization.options import ModelOption
from quantize_zoo.quantization.tunable import operation_variables

_OF_THE_HARDWARE = ("bits", "mode", "granularity")  # words that choose among what a hardware configuration lists


def scope_notes(
    placement: Placement, base: ModelOption, scopes: Sequence[TunableQuantizationParams], hardware: HardwareConfig
) -> Iterator[str]:
    """Yield what the scopes of a search's stages name that offers no choice, and what is there and not named."""
    idle = [word for word in _OF_THE_HARDWARE if _is_idle(word, placement, base, scopes)]
    if idle:
        remedy = ""
        if "bits" in idle and not any(rule.compressed_weights for rule in hardware.operations):
            remedy = "; compressed weights are offered by hardware: cpu-weights.yml or gpu-weights.yml"
        yield (
            f"{' and '.join(idle)} in tuning_scope offer{'' if len(idle) > 1 else 's'} no choice: the hardware "
            f"configuration of {hardware.target} lists no other for any operation of this model{remedy}"
        )
    named = any("bits" in scope.tuning_scope for scope in scopes)
    if not named and any(each.compressed_weights for each in placement.operations):
        yield "compressed weights of the hardware configuration are not searched: bits is not in tuning_scope"


def vain_note(name: str, quantizable: Sequence[str]) -> str:
    """Say of an operation that is to be ignored that it is never quantized, and what may be meant."""
    told = f"ignored.scope names {name!r}, which is never quantized, so that leaving it out changes nothing"
    return "; ".join(filter(None, [told, errors.did_you_mean(name, quantizable)]))


def _is_idle(word: str, placement: Placement, base: ModelOption, scopes: Sequence[TunableQuantizationParams]) -> bool:
    """Tell whether a word is named, and wherever it is, the same could be chosen without it."""
    naming = [scope for scope in scopes if word in scope.tuning_scope]
    return bool(naming) and all(
        operation_variables(placement, base, scope) == operation_variables(placement, base, _without(scope, word))
        for scope in naming
    )


def _without(scope: TunableQuantizationParams, word: str) -> TunableQuantizationParams:
    return scope.model_copy(update={"tuning_scope": tuple(each for each in scope.tuning_scope if each != word)})
