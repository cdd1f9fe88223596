"""JSON Schemas of the YAML files, for editors; ``python -m quantize_zoo.config.json_schema`` writes them."""

from __future__ import annotations

import json

from pydantic import BaseModel

from quantize_zoo.config.locations import schema_path
from quantize_zoo.config.matrix import MatrixFile
from quantize_zoo.config.model import ModelConfig

_FILES: dict[str, type[BaseModel]] = {"model": ModelConfig, "matrix": MatrixFile}
_SET_BY_THE_LOADER = ("source", "data_folder", "give_back")


def schema_text(name: str) -> str:
    """Return the JSON Schema of ``model`` or ``matrix``."""
    schema = _FILES[name].model_json_schema()
    for key in _SET_BY_THE_LOADER:
        schema["properties"].pop(key, None)
    schema["$defs"].pop("GiveBack", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write both."""
    for name in _FILES:
        path = schema_path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
