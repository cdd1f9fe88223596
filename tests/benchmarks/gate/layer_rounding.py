"""How far other kernels of the same model are from what counts as rounding, layer by layer.

    PYTHONPATH=tests python tests/benchmarks/gate/layer_rounding.py

Of the embedded zoo's classifiers of digits, on random inputs, at AVX2 against another limit of oneDNN's instructions.
"""

import os

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"

import tempfile
from pathlib import Path

from builders import plain_int8
from quantize_zoo.graph import read_model
from unit.test_layers import compared, limited_to
from zoo import random_samples

EMBEDDED = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"
LIMITS = {"FP32": ("AVX", "AVX512_CORE"), "INT8": ("AVX512_CORE", "AVX512_CORE_VNNI")}


def main():
    for name in ("digits-mobilenet", "digits-resnet", "digits-vit"):
        fp32 = read_model(EMBEDDED / f"{name}.onnx")
        samples = random_samples(fp32)
        for kind, net in (("FP32", fp32), ("INT8", plain_int8(fp32.clone(), samples))):
            for limit in LIMITS[kind]:
                with tempfile.TemporaryDirectory() as folder:
                    where = Path(folder)
                    found = compared(where, net, net, samples, python=limited_to(where, limit))
                (trace,) = found.traces
                largest = max((layer.deviation or 0) / layer.rounding for layer in trace.layers)
                beyond = sum(layer.is_beyond for layer in trace.layers)
                print(
                    f"{name} {kind} AVX2 against {limit}: {beyond} of {len(trace.layers)} layers beyond rounding, the "
                    f"largest deviation is {largest:.2g} of it",
                    flush=True,
                )


if __name__ == "__main__":
    main()
