"""The database's tables. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, String, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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


class Cell(Base):
    """A model on a device in a run; the JSON columns are the values of ``records``.

    The trials of a cell that ``continues`` another come after that one's.
    """

    __tablename__ = "cells"
    __table_args__ = (Index("ix_cells_model_device", "model", "device"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    model: Mapped[str]
    device: Mapped[str]
    status: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(String(16))
    continues: Mapped[int | None] = mapped_column(ForeignKey("cells.id"))
    params: Mapped[dict[str, object]] = mapped_column(_PLAIN)
    error: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    reference: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    calibration_seconds: Mapped[float | None]
    sensitivity: Mapped[dict[str, float] | None] = mapped_column(_PLAIN)
    workers: Mapped[list[dict[str, object]] | None] = mapped_column(_PLAIN)
    final: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)
    references: Mapped[list[dict[str, object]] | None] = mapped_column(_PLAIN)
    gate: Mapped[dict[str, object] | None] = mapped_column(_PLAIN)


class BaselineRow(Base):
    """An accepted cell; the newest that is not dropped is the cell's baseline, the others are its history."""

    __tablename__ = "baselines"
    __table_args__ = (Index("ix_baselines_model_device", "model", "device"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]
    device: Mapped[str]
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    dropped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content: Mapped[dict[str, object]] = mapped_column(_PLAIN)


class TrialRow(Base):
    """A finished trial; ``trial`` holds all of it but its number."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("cell_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.id"), index=True)
    number: Mapped[int]
    trial: Mapped[dict[str, object]] = mapped_column(_PLAIN)
