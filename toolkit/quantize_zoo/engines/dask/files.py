"""A cell's files on a worker: by path where they are the same there, else from the client, once, by content."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantize_zoo.cell import Cell
from quantize_zoo.config import ModelConfig
from quantize_zoo.scoring import checker_entry, with_prefixes

_WITH = (".bin",)  # what lies beside an IR
_BATCH_BYTES = 64_000_000  # of files that are sent at once


@dataclass(frozen=True)
class CellFiles:
    """A cell, and the files that it reads: absolute path on the client's machine, and hash of the content.

    ``key`` is of this opening of the cell.
    """

    key: str
    cell: Cell
    hashes: tuple[tuple[str, str], ...]

    @property
    def root(self) -> Path:
        """The folder that all of them lie in."""
        return Path(os.path.commonpath([str(Path(path).parent) for path, _ in self.hashes]))

    @property
    def here(self) -> bool:
        """Whether this machine has all of them by path, with the same content."""
        return all(Path(path).is_file() and _hash_of(Path(path)) == digest for path, digest in self.hashes)


def files_of(cell: Cell) -> CellFiles:
    """Return the cell with all files that its model's YAML and the accuracy checker's configuration name.

    Raises:
        ConfigurationError: the accuracy checker's configuration lacks what is needed.

    """
    found = sorted(set(_files(cell.model)))
    return CellFiles(uuid.uuid4().hex, cell, tuple((str(path), _hash_of(path)) for path in found))


def batches(files: CellFiles, wanted: list[str]) -> Iterator[dict[str, bytes]]:
    """Read the files with these hashes, as many at once as one message should carry."""
    batch: dict[str, bytes] = {}
    size, sought = 0, frozenset(wanted)  # 50,000 files, and as many hashes
    for digest, path in {digest: path for path, digest in files.hashes if digest in sought}.items():
        batch[digest] = Path(path).read_bytes()
        size += len(batch[digest])
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


class Cache:
    """Files by the hash of their content, the longest unused ones removed beyond a size."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes

    def missing(self, files: CellFiles) -> list[str]:
        """Return the hashes that are not in the cache."""
        return self.lacking(sorted({digest for _, digest in files.hashes}))

    def lacking(self, digests: Sequence[str]) -> list[str]:
        """Return those of some hashes that are not in the cache."""
        return [digest for digest in digests if not (self._folder / digest).is_file()]

    def path(self, digest: str) -> Path:
        """Return the file with a hash, which is used now.

        Raises:
            FileNotFoundError: it is gone.

        """
        blob = self._folder / digest
        os.utime(blob)
        return blob

    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Add files; those that were not used for the longest time make room."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for digest, content in contents.items():
            draft = self._folder / f".{digest}.{os.getpid()}"
            draft.write_bytes(content)
            draft.replace(self._folder / digest)
        kept = sorted((path for path in self._folder.glob("[0-9a-f]*") if path.is_file()), key=_last_used)
        excess = sum(path.stat().st_size for path in kept) - self._limit
        for path in kept:
            if excess > 0 and path.name not in contents:
                excess -= path.stat().st_size
                path.unlink(missing_ok=True)

    def localized(self, files: CellFiles) -> Cell:
        """Return the cell with files that are here: its own, or a tree of links into the cache."""
        if files.here:
            return files.cell
        tree = self._tree(files)
        for path, digest in files.hashes:
            target, blob = tree / Path(path).relative_to(files.root), self.path(digest)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(blob, target)
        return replace(files.cell, model=_moved(files.cell.model, files.root, tree))

    def release(self, files: CellFiles) -> None:
        """Remove the cell's links, which keep files on the disk that the cache may have given up."""
        shutil.rmtree(self._tree(files), ignore_errors=True)

    def _tree(self, files: CellFiles) -> Path:
        return self._folder / "trees" / files.key


def _hash_of(path: Path) -> str:
    """Return the hash of a file's content; a file that did not change since is not read again."""
    status = path.stat()
    return _hash_once(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _hash_once(path: Path, size: int, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(model: ModelConfig) -> Iterator[Path]:
    for path in (model.model, model.accuracy_checker, model.definitions, model.compression.hardware):
        if isinstance(path, Path):
            yield from _expanded(path)
    for suffix in _WITH:
        beside = model.model.with_suffix(suffix)
        if model.model.suffix == ".xml" and beside.is_file():
            yield beside
    for dataset in with_prefixes(checker_entry(model), model)["datasets"]:
        for path in _paths(dataset):
            yield from _expanded(path)


def _paths(value: Any) -> Iterator[Path]:
    """Yield everything in a part of the checker's configuration that is the path of something."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, Path) and value.exists():
        yield value


def _expanded(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (each.absolute() for each in path.rglob("*") if each.is_file())
    elif path.is_file():
        yield path.absolute()


def _moved(value: Any, root: Path, target: Path) -> Any:
    """Return a model's configuration with every path below ``root`` below ``target``."""
    if isinstance(value, Path):
        return target / value.relative_to(root) if value.is_absolute() and value.is_relative_to(root) else value
    if hasattr(value, "model_copy"):
        changes = {name: _moved(getattr(value, name), root, target) for name in type(value).model_fields}
        return value.model_copy(update=changes)
    return value


def _last_used(path: Path) -> float:
    return path.stat().st_mtime
