"""The JSON Schema of ``results.json``; ``python -m quantize_zoo.report.json_schema`` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from quantize_zoo.report.json_document import ResultsDocument

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")


def schema_text() -> str:
    """Return the JSON Schema of the document."""
    schema = TypeAdapter(ResultsDocument).json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
