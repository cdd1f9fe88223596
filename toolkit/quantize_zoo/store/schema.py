"""The database's tables. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from quantize_zoo.store.packing import pack, unpack

_PLAIN = JSON(none_as_null=True)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC: SQLite keeps no zone, PostgreSQL gives the zone of its session."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert what is stored."""
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert what is read."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Packed(TypeDecorator[Any]):
    """A plain value as compressed JSON."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """Pack what is stored."""
        return None if value is None else pack(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Unpack what is read; without what the driver's type would make of a value that is none of ours."""
        return lambda value: None if value is None else unpack(value)


class Base(DeclarativeBase):
    """All tables."""


class Run(Base):
    """A run of a matrix; ``process`` tells which process it belongs to, ``plan`` what it meant to do.

    ``repository`` is what the matrix lay in.
    """

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    matrix: Mapped[str]
    command: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    require_targets: Mapped[bool]
    on_missing_device: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(32))
    process: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    plan: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    repository: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)


class Content(Base):
    """A value that many cells have, night after night, kept once: it is known by the hash of its JSON."""

    __tablename__ = "contents"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    content: Mapped[Any] = mapped_column(Packed)


class Cell(Base):
    """A model on a device in a run; the packed columns are the values of ``records``.

    The trials of a cell that ``continues`` another come after that one's. Of ``contents`` are the ``facts`` of the
    reference that stay what they are from night to night, the ``base``, which is the option that the trials' are stored
    against, the sensitivity, and the names of the final's ``layers``. What nights are drawn and searches found by are
    columns of their own: the figures ``fp32``, ``holdout`` and ``speedup``, the ``best`` trial's number, and the gate's
    word. The night is planned by ``seconds`` of the whole cell, and of its search, which made so many trials, by why
    that ended before its limits, if it did, and by the hash of the best's option.
    """

    __tablename__ = "cells"
    __table_args__ = (
        # All that the history of a cell is read from: rows themselves have what is too large to pass over.
        Index(
            "ix_cells_nights",
            *("model", "device", "status", "id", "run_id", "best", "fp32", "holdout", "speedup", "gate_status"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    model: Mapped[str]
    device: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(String(16))
    continues: Mapped[int | None] = mapped_column(ForeignKey("cells.id"), index=True)
    calibration_seconds: Mapped[float | None]
    # Of contents, and no foreign keys: to remove one, a database would look through all cells for each.
    facts_id: Mapped[int | None]
    base_id: Mapped[int | None]
    sensitivity_id: Mapped[int | None]
    layers_id: Mapped[int | None]
    best: Mapped[int | None]
    fp32: Mapped[float | None]
    holdout: Mapped[float | None]
    speedup: Mapped[float | None]
    gate_status: Mapped[str | None] = mapped_column(String(16))
    seconds: Mapped[float | None]
    search_seconds: Mapped[float | None]
    search_trials: Mapped[int | None]
    search_ended: Mapped[str | None]
    best_option: Mapped[str | None] = mapped_column(String(64))
    params: Mapped[Any] = mapped_column(Packed)
    error: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    workers: Mapped[list[dict[str, object]] | None] = mapped_column(_PLAIN)
    reference: Mapped[Any | None] = mapped_column(Packed)
    final: Mapped[Any | None] = mapped_column(Packed)
    references: Mapped[Any | None] = mapped_column(Packed)
    gate: Mapped[Any | None] = mapped_column(Packed)


class BaselineRow(Base):
    """An accepted cell; the newest that is not dropped is the cell's baseline, the others are its history."""

    __tablename__ = "baselines"
    __table_args__ = (Index("ix_baselines_model_device", "model", "device"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]
    device: Mapped[str]
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    dropped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content: Mapped[Any] = mapped_column(Packed)


class TrialRow(Base):
    """A finished trial; ``trial`` holds all of it but its number, its option against the base of its cell."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("cell_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.id"))  # indexed by the constraint
    number: Mapped[int]
    trial: Mapped[Any] = mapped_column(Packed)
