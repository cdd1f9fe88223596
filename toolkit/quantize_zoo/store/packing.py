"""JSON as compressed bytes, for values that are many or large.

The first byte tells how the rest is made, so that a later release can do better and still read what is there.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from quantize_zoo.text.shown import shortened

_MOST_BYTES = 256_000_000  # a value that is larger unpacked is none of ours
_SHOWN = 80  # characters of a value in a message
_FORMAT = b"\x01"
# What values have in common, the most frequent last, for small ones to refer to. It belongs to the format: what is
# packed with it can be read with nothing else, so that a change of it needs another number.
_COMMON = (
    b'"jit_uni_f32""brgconv_avx512_bf16""brgconv_avx512_I8""Convolution""MatMul""Add""changed":[],"changed_count":0,'
    b'"trials_load_method":"cold_start""fine_tune""warm_start""eval","max_minutes":null,"stop_on_target":false,"seed":0,'
    b'"accuracy_weight":1.0,"latency_weight":1.0,"benchmark":{"nthreads":1,"nstreams":1,"api_type":"sync","batch_size":1}'
    b'"max_trials":"accuracy_loss":"latency_reduce":"expected_quantization_ratio":"compatibility":null,"model":'
    b'"models/","answers":"models/","holdout":{"fp32":{"value":"runner_up":null,"others":[],"figures":{"size_bytes":'
    b'"compile_s":"peak_bytes":"compile_low_s":"compile_high_s":"layers":[{"name":"/","reference_us":"candidate_us":'
    b'"reference_kernel":"candidate_kernel":"proof":{"identical":16,"metric":"repeats":true,"seconds":"fp32_figures":'
    b'"model_hash":"answers_hash":"baseline":1,"accepted_at":"checks":[{"cause":"runtime","quantity":"accuracy","subject"'
    b':"the baseline\'s FP32 model","cause":"quantization","quantity":"latency","subject":"the baseline\'s '
    b'configuration","status":"pass","text":"accuracy is as before: every output is the same","change":{"value":'
    b'"margin":"level":'
    b'"p_value":null,"waived":"","more_samples":null,"why":"","layer_times":null,"layer_deviations":null},"notes":[],'
    b'"interrupted":false}'
    b'"tensors":[{"config":{"bits":8,"mode":"symmetric","granularity":"pertensor"},"range_estimator":{"min":{"type":"min",'
    b'"aggregator":"min","outlier_prob":null,"clipping_value":null},"max":{"type":"max","aggregator":"max","outlier_prob":'
    b'null,"clipping_value":null}}},{"config":{"bits":8,"mode":"asymmetric","granularity":"perchannel"},"range_estimator":'
    b'{"min":{"type":"quantile","aggregator":"mean","outlier_prob":0.0001,"clipping_value":null},"max":{"type":"quantile",'
    b'"aggregator":"mean","outlier_prob":0.0001,"clipping_value":null}}},{"config":{"bits":8,"mode":"symmetric",'
    b'"granularity":"perchannel"},"range_estimator":{"min":null,"max":{"type":"abs_quantile","aggregator":null,'
    b'"outlier_prob":0.0001,"clipping_value":null}}},{"config":{"bits":8,"mode":"symmetric","granularity":"perchannel"},'
    b'"range_estimator":{"min":null,"max":{"type":"abs_max","aggregator":null,"outlier_prob":null,"clipping_value":null}}'
    b'}],"choices":[[true,0,1],[false,0,1],[true,2,3]],"operations":[0,-1,-1,-1,-1,1,2,3,4,5,6,7,8,9],"steps":[]},'
    b'"kind":"base""informed""baseline""search","option":{"option_hash":"measurement":null,"measurement":{"accuracy":'
    b'{"value":0.98,"low":0.97,"high":0.99,"unit":"","samples":1000},"metrics":{"accuracy@top1":0.98},"latency":'
    b'{"reference_us":{"value":100.0,"low":99.0,"high":101.0,"unit":"us","samples":8},"candidate_us":{"value":100.0,"low":'
    b'99.0,"high":101.0,"unit":"us","samples":8},"ratio":{"value":1.0,"low":1.0,"high":1.0,"unit":"x","samples":8},'
    b'"compilations":[["distribution":[[0.01,[0.05,[0.1,[0.15,[0.2,[0.25,[0.3,[0.35,[0.4,[0.45,[0.5,[0.55,[0.6,[0.65,[0.7,'
    b'[0.75,[0.8,[0.85,[0.9,[0.95,[0.99,"distribution":[]},"execution":{"inference_precision":"bf16""f32","kernels":{'
    b'"avx512":"avx2":"precisions":{"i8":"u8":"f32":"bf16":"i32":}},"latency_from":null},"score":null,"score":'
    b'{"accuracy_loss":0.0,"latency_ratio":1.0,"quantization_ratio":1.0},"loss":-1.0,"reused_from":null,"failure":null,'
    b'"seconds":{"build":0.0,"compile":0.0,"accuracy":0.0,"latency":0.0,"overhead":0.0},"stage":0,"candidate":"",'
    b'"structure":"","pruned":null,"where":""}'
)  # fmt: skip


def json_of(value: Any) -> bytes:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass")


def pack(value: Any) -> bytes:
    """Return a plain value as compressed JSON.

    Raises:
        ValueError: a number in it is not finite.

    """
    return pack_text(json_of(value))


def pack_text(text: bytes) -> bytes:
    """Return a text that is JSON, or ought to be, compressed."""
    stream = zlib.compressobj(9, zdict=_COMMON)
    return _FORMAT + stream.compress(text) + stream.flush()


def unpack(packed: object) -> Any:
    """Return the value that was packed.

    Raises:
        ValueError: it was not packed, is damaged, or larger than any value is.

    """
    if not isinstance(packed, bytes | memoryview):
        raise ValueError(f"a value is not packed JSON but a {type(packed).__name__}")
    content = bytes(packed)
    if content[:1] != _FORMAT:
        raise ValueError(f"a value is packed in a way that is not known: {content[:1]!r}")
    stream = zlib.decompressobj(zdict=_COMMON)  # it has a checksum
    try:
        text = stream.decompress(content[1:], _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"a value is not whole: {error}") from error
    if not stream.eof or stream.unused_data:
        raise ValueError("a value is not whole, or larger than any value is")
    return read_json(text)


def read_json(text: bytes | str) -> Any:
    """Return a JSON document.

    Raises:
        ValueError: it is none.

    """
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        raise ValueError(f"a value is no JSON: {error}: {shortened(shown, _SHOWN)!r}") from error
