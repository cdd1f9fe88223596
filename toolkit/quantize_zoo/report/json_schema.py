"""The JSON Schema of ``results.json``; ``python -m quantize_zoo.report.json_schema`` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from quantize_zoo.report.documents import ResultsDocument

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")


class _FiniteOrNull(GenerateJsonSchema):
    """JSON has no NaN: a number that is not finite is null, wherever it may stand."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {**super().float_schema(schema), "type": ["number", "null"]}


def schema_text() -> str:
    """Return the JSON Schema of the document."""
    schema = TypeAdapter(ResultsDocument).json_schema(mode="serialization", schema_generator=_FiniteOrNull)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
