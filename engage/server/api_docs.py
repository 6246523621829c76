"""What the server answers, for people and for tools: ``/docs`` and ``/openapi.json``.

The document is one file, ``pages/openapi.json``; the page is made from it, without scripts, and needs nothing from
elsewhere. Source: https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

__all__ = ["api_document", "docs_routes"]

_PAGES = Path(__file__).parent / "pages"


def api_document() -> dict[str, Any]:
    """The OpenAPI document of the public routes."""
    document: dict[str, Any] = json.loads((_PAGES / "openapi.json").read_text(encoding="utf-8"))
    return document


def docs_routes() -> list[Route]:
    """``/openapi.json`` and ``/docs``."""
    text = (_PAGES / "openapi.json").read_bytes()
    style = (_PAGES / "docs.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    headers = {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    page = _page(api_document(), style)

    async def document(request: Request) -> Response:
        return Response(text, media_type="application/json", headers={"access-control-allow-origin": "*"})

    async def docs(request: Request) -> Response:
        return HTMLResponse(page, headers=headers)

    return [Route("/openapi.json", document, methods=["GET"]), Route("/docs", docs, methods=["GET"])]


def _page(document: dict[str, Any], style: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    operations = [
        {
            "path": path,
            "method": method.upper(),
            "operation": operation,
            "wants": [" and ".join(one) or "none" for one in operation["security"]],
            "takes": _content(document, operation.get("requestBody", {})),
            "answers": [
                (status, _resolved(document, answer).get("description", ""), _content(document, answer))
                for status, answer in operation["responses"].items()
            ],
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for one in operations:
        groups[one["operation"]["tags"][0]].append(one)
    schemas = {
        name: json.dumps(schema, indent=2, ensure_ascii=False)
        for name, schema in document["components"]["schemas"].items()
    }
    return environment.get_template("docs.html.jinja").render(
        info=document["info"],
        groups=groups,
        schemas=schemas,
        keys=document["components"]["securitySchemes"],
        style=Markup(style),
    )


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    for name in part["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document


def _content(document: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Media type, name of a schema to link to, and the schema itself where it has no name."""
    found = []
    for kind, content in _resolved(document, part).get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        shown = "" if name or not schema or schema == {"type": "string"} else json.dumps(schema, ensure_ascii=False)
        found.append((kind, name, shown))
    return found
