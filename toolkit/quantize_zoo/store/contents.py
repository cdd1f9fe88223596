"""Values that many rows have, kept once: they are known by the hash of their JSON."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from quantize_zoo.store.packing import json_of
from quantize_zoo.store.schema import Content


def content_id(session: Session, value: Any) -> int:
    """Return the id of a plain value, which is stored if it is new."""
    digest = hashlib.sha256(json_of(value)).hexdigest()
    query = select(Content.id).where(Content.hash == digest)
    known = session.scalar(query)
    if known is not None:
        return known
    try:
        with session.begin_nested():
            session.add(row := Content(hash=digest, content=value))
            session.flush()
            return row.id
    except IntegrityError:  # another process was faster, where transactions run side by side
        return session.scalars(query).one()


def content_of(session: Session, number: int, place: str) -> Any:
    """Return the value with an id.

    Raises:
        ValueError: it is not there, or not what was stored.

    """
    found = session.execute(select(Content.content).where(Content.id == number)).one_or_none()
    if found is None:
        raise ValueError(f"{place}: content {number} is not there")
    return found.content
