"""How openapi.json tells of lobwife's routes and words: every one of them as deprecated."""

from __future__ import annotations

from typing import Any

from shoal.api.lobwife import jobs
from shoal.services import lobwife

STRING = {"type": "string", "minLength": 1, "maxLength": 200}
TEXT = {"type": "string", "maxLength": 20_000}
NAMES = {"type": "array", "items": STRING, "minItems": 1, "maxItems": 50}
MOMENT = {"type": ["string", "null"], "description": "ISO time, UTC."}
REFERENCE = "A task: T42, 42, its slug, external key or whole name."
# The fields that tasks have under lobwife's names besides.
OF_TASK: dict[str, Any] = {
    "name": {"type": "string", "description": "The title."},
    "assigned_to": {"type": ["string", "null"], "description": "The assignee."},
    "assigned_at": MOMENT,
    "broker_repos": {"type": ["array", "null"], "items": {"type": "string"}},
    "broker_status": {"type": ["string", "null"]},
    "broker_registered_at": MOMENT,
    "token_count": {"type": "integer"},
}
_PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(paths: dict[str, Any], components: dict[str, Any]) -> None:
    """Add the routes, and to routes and tasks of ours what is understood and told besides."""
    task = components["Task"]["properties"]
    for name, schema in OF_TASK.items():
        task[name] = schema | {"deprecated": True}
    for path, method, summary, given, answer, status in _routes():
        paths.setdefault(path, {})[method] = _operation(path, method, summary, given, answer, status)
    for method, path, summary in jobs.ROUTES:
        paths.setdefault(path, {})[method.lower()] = _operation(path, method.lower(), summary, {}, {}, 200)
    words = {
        "name": {"type": "string", "minLength": 1, "maxLength": 500, "description": "The title."},
        "assigned_to": STRING | {"description": "The assignee."},
        "status": {"enum": list(lobwife.STATUSES), "description": "Brings the task there, by the verb that does."},
        "actor": STRING | {"description": "Who does it."},
    }
    made = {"id": {"type": "integer"}, "task_id": {"type": "string"}}
    _add_words(paths["/api/v1/tasks"]["post"], words, made, either=("title", "name"))
    moments = {name: MOMENT | {"description": "Not taken: the ledger knows it."} for name in sorted(lobwife.MOMENTS)}
    updated = made | {"updated": {"type": "array", "items": {"type": "string"}}}
    _add_words(paths["/api/v1/tasks/{task}"]["patch"], words | moments, updated)
    old = {"repos": NAMES | {"description": "The repositories."}, "lobster_type": TEXT}
    done = {"status": {"type": "string"}, "task_id": {"type": "string"}}
    _add_words(paths["/api/v1/tasks/{task}/register"]["post"], old, done)


def _routes() -> list[tuple[str, str, str, dict[str, Any], dict[str, Any], int]]:
    """Path, method, summary, the fields of its body, those of its answer, and the status."""
    text = {"type": "string"}
    done = {"status": text, "task_id": text}
    registration = {
        **dict.fromkeys(("lobster_type", "registered_at", "status"), text),
        "repos": {"type": "array", "items": text},
        "token_count": {"type": "integer"},
    }
    line = {"timestamp": text, "task_id": {"type": ["string", "null"]}, "repos": registration["repos"], "action": text}
    event = {
        **dict.fromkeys(("event_type", "actor", "created_at", "kind"), text),
        **{name: {"type": "integer"} for name in ("id", "task_id")},
        "detail": {"type": ["string", "null"]},
    }
    token = {"token": text, "expires_at": text}
    asked = {"repos": NAMES, "lobster_type": TEXT}
    ref, task = "/api/tasks/{ref}", "/api/v1/tasks/{task}"
    logged = {"event_type": TEXT | {"minLength": 1, "pattern": r"\S"}, "detail": TEXT, "actor": STRING}
    return [
        (f"{ref}/register", "post", "Register a task's repositories.", asked, done, 200),
        (ref, "delete", "Let a task have no tokens any more.", {}, done, 200),
        ("/api/tasks", "get", "All registrations.", {}, {"{}": registration}, 200),
        ("/api/token", "post", "A token for a task at work.", {"task_id": STRING}, token, 200),
        ("/api/token/audit", "get", "The audit of tokens, newest first.", {"?task_id": text}, {"[]": line}, 200),
        ("/api/v1/service-token", "post", "A token for a service.", {"service": STRING}, token, 200),
        (task, "delete", "Call a task off.", {}, done | {"id": {"type": "integer"}}, 200),
        (f"{task}/events", "get", "A task's history, newest first.", {}, {"[]": event}, 200),
        (f"{task}/events", "post", "Write an event of your own kind.", logged, done, 201),
    ]


def _operation(
    path: str, method: str, summary: str, given: dict[str, Any], answer: dict[str, Any], status: int
) -> dict[str, Any]:
    item = answer.get("[]") or answer.get("{}")
    shape: dict[str, Any] = {"type": "object", "properties": item or answer, "required": list(item or answer)}
    schema = shape
    if "[]" in answer:
        schema = {"type": "array", "items": shape}
    elif "{}" in answer:
        schema = {"type": "object", "additionalProperties": shape}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": STRING, "description": meaning}
        for name, meaning in (("ref", REFERENCE), ("task", REFERENCE), ("name", "The job's name."))
        if f"{{{name}}}" in path
    ]
    parameters += [
        {"name": name[1:], "in": "query", "schema": schema, "description": REFERENCE}
        for name, schema in given.items()
        if name.startswith("?")
    ]
    operation: dict[str, Any] = {
        "operationId": f"lobwife_{method}_{path.strip('/').replace('/', '_').replace('{', '').replace('}', '')}",
        "tags": ["lobwife"],
        "deprecated": True,
        "summary": summary,
        "description": f"{summary} As lobwife answered it: docs/guides/lobwife.md says what stands for it now.",
        "parameters": parameters,
        "responses": {
            str(status): {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            "4XX": {"description": "Refused.", "content": _PROBLEM},
            "503": {"description": "The database, or GitHub, cannot do it now.", "content": _PROBLEM},
        },
    }
    if method == "post" and given:
        body = {
            "type": "object",
            "properties": given,
            "required": [next(iter(given))],
            "additionalProperties": False,
        }
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _add_words(
    operation: dict[str, Any],
    words: dict[str, Any],
    answer: dict[str, Any],
    *,
    either: tuple[str, str] | None = None,
) -> None:
    """What is understood besides, and what is answered then."""
    old = {"type": "object", "properties": answer, "required": list(answer)}
    for status, response in operation["responses"].items():
        if status.startswith("20"):
            content = response["content"]["application/json"]
            content["schema"] = {"anyOf": [content["schema"], old]}
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    body["properties"] = body["properties"] | {name: one | {"deprecated": True} for name, one in words.items()}
    if either is not None:
        body["required"] = [name for name in body.get("required", []) if name not in either]
        if not body["required"]:
            del body["required"]
        body["anyOf"] = [{"required": [name]} for name in either]
