"""A check of its own for schemathesis: what breaks the schema and is taken all the same must be canonical proto3 JSON.

JSON Schema describes how the surface is meant to be written. Canonical proto3 JSON reads more: null for a field left
out, the number of a code instead of its name, a number in quotes. Nothing else may be taken.
"""

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.specs.openapi.checks import negative_data_rejection

MISSING = object()
JSON = (dict, list, str, int, float, bool, type(None))
QUOTED = {"type": "string", "pattern": "^-?[0-9]+$"}


def widened(schema: object) -> object:
    """The schema of what canonical proto3 JSON reads for a schema of ours."""
    if isinstance(schema, list):
        return [widened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    wide = {key: value if key in ("enum", "required") else widened(value) for key, value in schema.items()}
    if "properties" in wide:
        wide["properties"] = {name: {"anyOf": [field, {"type": "null"}]} for name, field in wide["properties"].items()}
    if "enum" in wide:
        return {"anyOf": [wide, {"type": "integer"}, QUOTED]}
    if wide.get("type") == "integer":
        return {"anyOf": [wide, QUOTED]}
    if wide.get("format") == "int64":
        return {"anyOf": [wide, {"type": "integer"}]}
    return wide


def reads(document: dict, schema: dict, value: object) -> bool:
    """Whether canonical proto3 JSON reads the value as what the schema means."""
    if not isinstance(value, JSON):
        return False
    whole = {**widened(schema), "components": widened(document["components"])}
    return jsonschema_rs.is_valid(whole, value, validate_formats=True)


@schemathesis.check
def only_proto3_json_is_taken(ctx, response, case) -> None:
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        document = case.operation.schema.raw_schema
        told = document["paths"][case.operation.path][case.operation.method]
        places = {"query": case.query or {}, "path": case.path_parameters or {}, "header": case.headers or {}}
        sent = []
        for one in told["parameters"]:
            value = places[one["in"]].get(one["name"], MISSING)
            if one["required"] or value is not MISSING:
                sent.append((one["schema"], value))
        if "requestBody" in told:
            sent.append((told["requestBody"]["content"]["application/json"]["schema"], case.body))
        known = {one["name"] for one in told["parameters"]}
        # What is missing, or what the document does not know, must have been refused.
        if set(places["query"]) <= known and all(reads(document, *pair) for pair in sent):
            return
        raise
