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
_FORMAT = b"\x03"
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
# What a gate finds, FP32 and a final are made of, the parameters of a search as they are if nobody changes them, and
# the tensors that CPUs' choices are made of.
_WHOLE = (
    b'{"baseline":1,"accepted_at":"2024-01-01T01:00:00+00:00","checks":[{"cause":"quantization","quantity":"accura'
    b'cy","subject":"the baseline\'s configuration","status":"pass","text":"accuracy is as before","change":{"value'
    b'":,"low":,"high":,"unit":"x","samples":100},"margin":,"level":,"p_value":,"changed":[],"changed_count":0,"wa'
    b'ived":"","more_samples":null,"why":"","layer_times":null,"layer_deviations":null},{"cause":"quantization","q'
    b'uantity":"latency","subject":"the baseline\'s configuration","status":"pass","text":"latency is as before","c'
    b'hange":{"value":,"low":,"high":,"unit":"x","samples":100},"margin":,"level":,"p_value":,"changed":[],"change'
    b'd_count":0,"waived":"","more_samples":null,"why":"","layer_times":null,"layer_deviations":null},{"cause":"qu'
    b'antization","quantity":"size","subject":"the baseline\'s configuration","status":"pass","text":"size is as be'
    b'fore","change":{"value":,"low":,"high":,"unit":"x","samples":100},"margin":,"level":,"p_value":,"changed":[]'
    b',"changed_count":0,"waived":"","more_samples":null,"why":"","layer_times":null,"layer_deviations":null},{"ca'
    b'use":"quantization","quantity":"accuracy","subject":"the baseline\'s configuration","status":"pass","text":"a'
    b'ccuracy is as before","change":{"value":,"low":,"high":,"unit":"x","samples":100},"margin":,"level":,"p_valu'
    b'e":,"changed":[],"changed_count":0,"waived":"","more_samples":null,"why":"","layer_times":null,"layer_deviat'
    b'ions":null},{"cause":"quantization","quantity":"latency","subject":"the baseline\'s configuration","status":"'
    b'pass","text":"latency is as before","change":{"value":,"low":,"high":,"unit":"x","samples":100},"margin":,"l'
    b'evel":,"p_value":,"changed":[],"changed_count":0,"waived":"","more_samples":null,"why":"","layer_times":null'
    b',"layer_deviations":null},{"cause":"quantization","quantity":"size","subject":"the baseline\'s configuration"'
    b',"status":"pass","text":"size is as before","change":{"value":,"low":,"high":,"unit":"x","samples":100},"mar'
    b'gin":,"level":,"p_value":,"changed":[],"changed_count":0,"waived":"","more_samples":null,"why":"","layer_tim'
    b'es":null,"layer_deviations":null}],"notes":[],"interrupted":false}{"metric":"accuracy@top1","accuracy":{"val'
    b'ue":1.0,"low":0.99,"high":1.01,"unit":"","samples":100},"metrics":{"accuracy@top1":1.0},"samples":1000,"cali'
    b'bration_samples":300,"seconds":1.0,"notes":[],"holdout_samples":300,"higher_is_better":true,"scored_on":"","'
    b'executed":null,"fleet":[]}{"trial":2,"latency":{"reference_us":{"value":,"low":,"high":,"unit":"us","samples'
    b'":100},"candidate_us":{"value":,"low":,"high":,"unit":"us","samples":100},"ratio":{"value":,"low":,"high":,"'
    b'unit":"x","samples":100},"compilations":[],"distribution":[]},"model":"models/net.xml","holdout":{"fp32":{"v'
    b'alue":0.9,"low":0.89,"high":0.91,"unit":"","samples":100},"int8":{"value":0.89,"low":0.88,"high":0.9,"unit":'
    b'"","samples":100},"accuracy_loss":{"value":,"low":,"high":,"unit":"","samples":100}},"runner_up":null,"other'
    b's":[],"answers":"models/net.npz","figures":{"size_bytes":1000000,"compile_s":,"peak_bytes":100000000,"compil'
    b'e_low_s":0.1,"compile_high_s":0.2},"layers":{"reference_us":[],"candidate_us":[],"reference_kernel":[0,0,0,0'
    b',0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"candidate_kernel":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,'
    b'1,1,1,1,1,1,1,1,1,1,1,1,1],"kernels":["brgconv_avx512_bf16","brgconv_avx512_I8"]},"proof":null,"fp32_figures'
    b'":{"size_bytes":1000000,"compile_s":,"peak_bytes":100000000,"compile_low_s":0.1,"compile_high_s":0.2},"loss"'
    b':null,"model_hash":"","answers_hash":"","portability":[],"members":[],"slower":[]}'
    b'{"max_trials":3,"max_minutes":null,"trials_load_method":"cold_start","stages":[],"stop_on_target":false,"eval_su'
    b'bset_size":null,"holdout":0.3,"metrics":[],"compatibility":null,"accuracy_loss":1.0,"latency_reduce":1.0,"size_r'
    b'educe":null,"accuracy_weight":1.0,"latency_weight":1.0,"expected_quantization_ratio":0.5,"quantization_ratio_wei'
    b'ght":0.0,"benchmark":{"nthreads":1,"nstreams":1,"api_type":"sync","batch_size":1,"duration_seconds":1.0}}{"confi'
    b'g":{"bits":8,"mode":"symmetric","granularity":"pertensor"},"range_estimator":{"min":{"type":"min","aggregator":"'
    b'min","outlier_prob":null,"clipping_value":null},"max":{"type":"abs_max","aggregator":"mean","outlier_prob":null,'
    b'"clipping_value":null}}}{"config":{"bits":8,"mode":"symmetric","granularity":"perchannel"},"range_estimator":{"m'
    b'in":{"type":"min","aggregator":"min","outlier_prob":null,"clipping_value":null},"max":{"type":"abs_max","aggrega'
    b'tor":"max","outlier_prob":null,"clipping_value":null}}}{"config":{"bits":8,"mode":"asymmetric","granularity":"pe'
    b'rtensor"},"range_estimator":{"min":{"type":"min","aggregator":"mean","outlier_prob":null,"clipping_value":null},'
    b'"max":{"type":"max","aggregator":"mean","outlier_prob":null,"clipping_value":null}}}{"config":{"bits":8,"mode":"'
    b'asymmetric","granularity":"perchannel"},"range_estimator":{"min":{"type":"min","aggregator":"min","outlier_prob"'
    b':null,"clipping_value":null},"max":{"type":"max","aggregator":"max","outlier_prob":null,"clipping_value":null}}}'
    b'{"config":{"bits":8,"mode":"symmetric","granularity":"pertensor"},"range_estimator":{"min":{"type":"min","aggreg'
    b'ator":"min","outlier_prob":null,"clipping_value":null},"max":{"type":"abs_quantile","aggregator":"mean","outlier'
    b'_prob":0.0001,"clipping_value":null}}}{"config":{"bits":8,"mode":"symmetric","granularity":"perchannel"},"range_'
    b'estimator":{"min":{"type":"min","aggregator":"min","outlier_prob":null,"clipping_value":null},"max":{"type":"abs'
    b'_quantile","aggregator":"max","outlier_prob":0.0001,"clipping_value":null}}}{"config":{"bits":8,"mode":"asymmetr'
    b'ic","granularity":"pertensor"},"range_estimator":{"min":{"type":"quantile","aggregator":"mean","outlier_prob":0.'
    b'0001,"clipping_value":null},"max":{"type":"quantile","aggregator":"mean","outlier_prob":0.0001,"clipping_value":'
    b'null}}}{"config":{"bits":8,"mode":"asymmetric","granularity":"perchannel"},"range_estimator":{"min":{"type":"qua'
    b'ntile","aggregator":"min","outlier_prob":0.0001,"clipping_value":null},"max":{"type":"quantile","aggregator":"ma'
    b'x","outlier_prob":0.0001,"clipping_value":null}}}{"config":{"bits":8,"mode":"symmetric","granularity":"pertensor'
    b'"},"range_estimator":{"min":null,"max":{"type":"abs_max","aggregator":null,"outlier_prob":null,"clipping_value":'
    b'null}}}{"config":{"bits":8,"mode":"symmetric","granularity":"perchannel"},"range_estimator":{"min":null,"max":{"'
    b'type":"abs_max","aggregator":null,"outlier_prob":null,"clipping_value":null}}}{"config":{"bits":8,"mode":"asymme'
    b'tric","granularity":"pertensor"},"range_estimator":{"min":{"type":"min","aggregator":null,"outlier_prob":null,"c'
    b'lipping_value":null},"max":{"type":"max","aggregator":null,"outlier_prob":null,"clipping_value":null}}}{"config"'
    b':{"bits":8,"mode":"asymmetric","granularity":"perchannel"},"range_estimator":{"min":{"type":"min","aggregator":n'
    b'ull,"outlier_prob":null,"clipping_value":null},"max":{"type":"max","aggregator":null,"outlier_prob":null,"clippi'
    b'ng_value":null}}}{"config":{"bits":8,"mode":"symmetric","granularity":"pertensor"},"range_estimator":{"min":null'
    b',"max":{"type":"abs_quantile","aggregator":null,"outlier_prob":0.0001,"clipping_value":null}}}{"config":{"bits":'
    b'8,"mode":"symmetric","granularity":"perchannel"},"range_estimator":{"min":null,"max":{"type":"abs_quantile","agg'
    b'regator":null,"outlier_prob":0.0001,"clipping_value":null}}}{"config":{"bits":8,"mode":"asymmetric","granularity'
    b'":"pertensor"},"range_estimator":{"min":{"type":"quantile","aggregator":null,"outlier_prob":0.0001,"clipping_val'
    b'ue":null},"max":{"type":"quantile","aggregator":null,"outlier_prob":0.0001,"clipping_value":null}}}{"config":{"b'
    b'its":8,"mode":"asymmetric","granularity":"perchannel"},"range_estimator":{"min":{"type":"quantile","aggregator":'
    b'null,"outlier_prob":0.0001,"clipping_value":null},"max":{"type":"quantile","aggregator":null,"outlier_prob":0.00'
    b'01,"clipping_value":null}}}'
)  # fmt: skip
_DICTIONARIES = {b"\x01": _COMMON, _FORMAT: _WHOLE + _COMMON}


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
    stream = zlib.compressobj(9, zdict=_DICTIONARIES[_FORMAT])
    return _FORMAT + stream.compress(text) + stream.flush()


def unpack(packed: object) -> Any:
    """Return the value that was packed.

    Raises:
        ValueError: it was not packed, is damaged, or larger than any value is.

    """
    if not isinstance(packed, bytes | memoryview):
        raise ValueError(f"a value is not packed JSON but a {type(packed).__name__}")
    content = bytes(packed)
    if content[:1] not in _DICTIONARIES:
        raise ValueError(f"a value is packed in a way that is not known: {content[:1]!r}")
    stream = zlib.decompressobj(zdict=_DICTIONARIES[content[:1]])  # it has a checksum
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
