"""What the samples of a dataset are, sample by sample: names, contents and labels, and nothing of where they lie.

So data that are moved to another folder or machine are the same data, and of data that changed it can be said which
samples did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.scoring.inputs import InputArrays
from quantize_zoo.scoring.preprocessing import Sample, sample_name

# Where the checker's annotations say that their files lie; the masks of segmentation are not next to the images.
_SOURCES = ("segmentation_masks_source", "additional_data_source", "data_source")
_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Contents:
    """The samples of a dataset in its order.

    ``inputs`` and ``annotations`` (samples,) are hashes of what a model takes and of what it is scored by, ``labels``
    (samples,) the label of those that have a single one, else empty. ``calibration`` (samples,) tells which of them
    statistics are collected on.
    """

    identifiers: NDArray[np.str_]
    inputs: NDArray[np.uint64]
    annotations: NDArray[np.uint64]
    labels: NDArray[np.str_]
    calibration: NDArray[np.bool_]

    @property
    def fingerprint(self) -> str:
        """A hash of all of it, whatever the order: some of the checker's converters take that from the file system."""
        rows = zip(self.identifiers.tolist(), self.inputs.tolist(), self.annotations.tolist(), strict=True)
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def read_through(samples: Sequence[Sample], inputs: InputArrays) -> tuple[Contents, str]:
    """Return what the samples are, and the fingerprint that releases up to 0.1.0 gave them, in one pass over the data.

    The latter tells whether a stored search or baseline is of these data; it held the folder that they lie in.
    """
    former, one_shape = hashlib.sha256(), inputs.have_one_shape()
    digests: list[tuple[np.uint64, np.uint64]] = []
    shared: dict[int, bytes] = {}  # what is said of the dataset hangs on each of its samples
    for sample in samples:
        annotation = vars(sample.annotation) if sample.annotation is not None else {}
        known = [sample_name(sample.identifier), annotation]
        former.update(json.dumps(known, default=sample_name, sort_keys=True).encode())
        digest = hashlib.blake2b(digest_size=8)
        for name, array in (
            (name, arrays[name]) for arrays in map(inputs.get, sample.parts) for name in sorted(arrays)
        ):
            former.update(name.encode() if one_shape else f"{name} {array.shape}".encode())
            former.update(array.data)
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.data)
        digests.append((_number(digest.digest()), _annotation_digest(annotation, shared)))
    labels = [_label(sample) for sample in samples]
    columns = np.array(digests, dtype=np.uint64).reshape(-1, 2)
    names = [sample_name(sample.identifier) for sample in samples]
    contents = Contents(
        np.array(names, np.str_),
        columns[:, 0],
        columns[:, 1],
        np.array(labels, np.str_),
        np.zeros(len(names), np.bool_),
    )
    return contents, former.hexdigest()


def _label(sample: Sample) -> str:
    label = getattr(sample.annotation, "label", None)
    return str(label) if isinstance(label, int | str | np.integer) else ""


def _annotation_digest(annotation: Mapping[str, Any], shared: dict[int, bytes]) -> np.uint64:
    """Return a hash of an annotation but its name, and of the content of files that it names."""
    folders, metadata = _folders(annotation), dict(annotation.get("metadata") or {})
    of_dataset = metadata.pop("dataset_meta", None)
    if id(of_dataset) not in shared:
        shared[id(of_dataset)] = _digest(of_dataset, folders)
    own = {name: value for name, value in annotation.items() if name != "identifier"}
    both = _digest({**own, "metadata": metadata}, folders) + shared[id(of_dataset)]
    return _number(hashlib.blake2b(both, digest_size=8).digest())


def _digest(value: object, folders: Sequence[str | Path]) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for part in _parts(value, folders):
        digest.update(part)
    return digest.digest()


def _folders(annotation: Mapping[str, Any]) -> list[str | Path]:
    """Return where the files of an annotation may lie."""
    metadata = annotation.get("metadata") or {}
    sources = (metadata.get(name) for name in _SOURCES)
    return [source for source in sources if source and isinstance(source, str | Path)]


def _parts(value: object, folders: Sequence[str | Path]) -> Iterator[bytes]:
    """Yield what a value is, in full: text of a large array leaves most of it out."""
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield from (
            _parts(value.tolist(), folders) if value.dtype.hasobject else (np.ascontiguousarray(value).tobytes(),)
        )
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            if key not in _SOURCES:
                yield f"{key}:".encode()
                yield from _file_parts(str(key), value[key], folders) or _parts(value[key], folders)
    elif isinstance(value, list | tuple):
        if all(type(each) in _SCALARS for each in value):
            yield repr(list(value)).encode()
        else:
            yield f"{len(value)}".encode()
            for each in value:
                yield from _parts(each, folders)
    elif isinstance(value, set | frozenset):
        yield from _parts(sorted(value, key=str), folders)
    elif isinstance(value, PurePath | Enum):
        yield value.name.encode()
    elif isinstance(value, np.generic):
        yield from _parts(value.item(), folders)
    elif hasattr(value, "annotation_id"):
        yield sample_name(value).encode()
    elif hasattr(value, "__dict__"):
        yield type(value).__name__.encode()
        yield from _parts(vars(value), folders)
    else:
        yield f"{type(value).__name__} {value};".encode()


def _file_parts(name: str, value: object, folders: Sequence[str | Path]) -> tuple[bytes, ...]:
    """Return a hash of the file's content that an annotation names, if it names one."""
    if "path" not in name or not isinstance(value, str | Path):
        return ()
    found = next((place for folder in folders if (place := Path(folder, value)).is_file()), None)
    return () if found is None else (hashlib.sha256(found.read_bytes()).digest(),)


def _number(digest: bytes) -> np.uint64:
    number: np.uint64 = np.frombuffer(digest, dtype=np.uint64)[0]
    return number
