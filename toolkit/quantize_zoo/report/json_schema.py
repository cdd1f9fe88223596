"""The JSON Schemas of ``results.json`` and ``bisection.json``; run as a module (``-m``) it writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from quantize_zoo.report.bisection import BisectionDocument
from quantize_zoo.report.documents import ResultsDocument

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
BISECTION_SCHEMA_FILE = Path(__file__).with_name("bisection.schema.json")
SCHEMAS = {SCHEMA_FILE: ResultsDocument, BISECTION_SCHEMA_FILE: BisectionDocument}


class _FiniteOrNull(GenerateJsonSchema):
    """JSON has no NaN: a number that is not finite is null, wherever it may stand."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {**super().float_schema(schema), "type": ["number", "null"]}


def schema_text(document: type[Any] = ResultsDocument) -> str:
    """Return the JSON Schema of a document."""
    schema = TypeAdapter(document).json_schema(mode="serialization", schema_generator=_FiniteOrNull)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for file, described in SCHEMAS.items():
        file.write_text(schema_text(described), encoding="utf-8")
