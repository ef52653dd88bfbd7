"""openapi.json, made from the verbs' own types."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import msgspec
from starlette.responses import Response

import shoal
from shoal.api.lobwife import described as lobwife
from shoal.errors import error_classes
from shoal.model.page import Page
from shoal.services import VERBS, Verb

REF = "#/components/schemas/{name}"
PROBLEM = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {
        "error": {"type": "string", "description": "What went wrong, and the next step."},
        "code": {"type": "string", "enum": list(error_classes())},
        "field": {"type": "string", "description": "The field that it is about."},
    },
}


@cache
def _document() -> bytes:
    return msgspec.json.encode(document())


def response() -> Response:
    """GET /openapi.json."""
    return Response(_document(), media_type="application/json")


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    verbs = list(VERBS.values())
    inputs = [verb.input for verb in verbs]
    outputs = [_plain(verb.output) for verb in verbs]
    schemas, components = msgspec.json.schema_components([*inputs, *outputs], ref_template=REF)
    assert "Problem" not in components, "a model of this name would be hidden by what errors are"  # noqa: S101
    components["Problem"] = PROBLEM
    paths: dict[str, dict[str, Any]] = {}
    for index, verb in enumerate(verbs):
        schema = _resolve(schemas[index], components)
        described = _operation(verb, schema, schemas[len(verbs) + index])
        paths.setdefault(f"/api/v1{verb.path}", {})[verb.method.lower()] = described
    for path, summary, kind, parameters in _plain_routes():
        paths[path] = {"get": _plain_operation(path, summary, kind, parameters)}
    lobwife.describe(paths, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shoal", "version": shoal.__version__, "description": inspect.getdoc(shoal) or ""},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _operation(verb: Verb[Any, Any], schema: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    text = inspect.getdoc(verb) or ""
    properties = dict(schema.get("properties", {}))
    required = set(schema.get("required", []))
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(properties.pop(name, {"type": "string"}))}
        for name in verb.path_fields
    ]
    operation: dict[str, Any] = {
        "operationId": verb.key,
        "tags": [verb.noun],
        "summary": text.partition("\n")[0],
        "description": text,
        "parameters": parameters,
        "responses": {
            str(verb.status): {"description": "Done.", "content": {"application/json": {"schema": answer}}},
            "4XX": {
                "description": "Refused.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
            "503": {
                "description": "The database or server cannot do it now.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if verb.method in {"GET", "DELETE"}:
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _not_null(one)}
            for name, one in properties.items()
        ]
    else:
        body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if still_required := sorted(required - set(verb.path_fields)):
            body["required"] = still_required
        operation["requestBody"] = {
            "required": bool(still_required),
            "content": {"application/json": {"schema": body}},
        }
        if verb.body_limit_bytes is not None:
            operation["requestBody"]["description"] = f"At most {verb.body_limit_bytes:,} bytes."
    return operation


def _plain_routes() -> list[tuple[str, str, str, list[dict[str, Any]]]]:
    after = {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 10**17}}
    wait = {"name": "wait_seconds", "in": "query", "schema": {"type": "number", "minimum": 0, "maximum": 30}}
    task = {"name": "task", "in": "query", "schema": {"type": "string"}}
    kinds = {"name": "kinds", "in": "query", "schema": {"type": "string"}, "description": "Kinds, joined by commas."}
    return [
        ("/api/v1/events/stream", "Events as they happen.", "text/event-stream", [after, task, kinds]),
        ("/api/v1/events/wait", "Wait for the next event.", "application/json", [after, wait]),
        ("/health", "Whether the server is well.", "application/json", []),
        ("/metrics", "Numbers for Prometheus.", "text/plain", []),
        ("/openapi.json", "This description.", "application/json", []),
        ("/", "A page for people.", "text/html", []),
    ]


def _plain_operation(path: str, summary: str, kind: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "Done.", "content": {kind: {}}}}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if parameters:
        responses["4XX"] = {"description": "Refused.", "content": problem}
    if path == "/health":
        responses["503"] = {"description": "Something is wrong.", "content": {kind: {}}}
    name = re.sub(r"\W+", "_", path).strip("_") or "overview"
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": responses}


def _plain(output: Any) -> Any:
    return list[output.__args__[0]] if getattr(output, "__origin__", None) is Page else output


def _resolve(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if reference else schema


def _path_schema(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "integer":
        return schema
    return {
        "type": "string",
        "minLength": 1,
        **{key: schema[key] for key in ("maxLength", "description") if key in schema},
    }


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or not; it is never null."""
    if "anyOf" in schema:
        kept = [one for one in schema["anyOf"] if one.get("type") != "null"]
        rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        return {**rest, **kept[0]} if len(kept) == 1 else {**rest, "anyOf": kept}
    return {key: value for key, value in schema.items() if not (key == "default" and value is None)}
