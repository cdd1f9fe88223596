"""The database's tables. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, DateTime, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class Run(Base):
    """A run of a matrix."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    matrix: Mapped[str]
    command: Mapped[str]
    seed: Mapped[int]
    require_targets: Mapped[bool]
    on_missing_device: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(32))


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
    params: Mapped[dict[str, object]] = mapped_column(JSON)
    error: Mapped[dict[str, object] | None] = mapped_column(JSON)
    reference: Mapped[dict[str, object] | None] = mapped_column(JSON)
    calibration_seconds: Mapped[float | None]
    sensitivity: Mapped[dict[str, float] | None] = mapped_column(JSON)
    workers: Mapped[list[dict[str, object]] | None] = mapped_column(JSON)
    final: Mapped[dict[str, object] | None] = mapped_column(JSON)
    references: Mapped[list[dict[str, object]] | None] = mapped_column(JSON)
    gate: Mapped[dict[str, object] | None] = mapped_column(JSON)


class BaselineRow(Base):
    """An accepted cell; the newest that is not dropped is the cell's baseline, the others are its history."""

    __tablename__ = "baselines"
    __table_args__ = (Index("ix_baselines_model_device", "model", "device"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]
    device: Mapped[str]
    accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    dropped_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    content: Mapped[dict[str, object]] = mapped_column(JSON)


class TrialRow(Base):
    """A finished trial; ``per_sample`` is the tuned metric of each sample in NumPy's own file format."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("cell_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.id"), index=True)
    number: Mapped[int]
    option_hash: Mapped[str] = mapped_column(String(64))
    loss: Mapped[float | None]
    trial: Mapped[dict[str, object]] = mapped_column(JSON)
    per_sample: Mapped[bytes | None] = mapped_column(LargeBinary)
