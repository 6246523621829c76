"""The API's document tells the truth: it has every route, and real requests and answers are as it says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from openapi_spec_validator import OpenAPIV31SpecValidator

import engage
from engage.content.links import Links, Who
from engage.server.api_docs import api_document
from engage.server.app import create_app
from engage.signing import UserTokens

ACCOUNT = {"X-CleverTap-Account-Id": "TEST-ACCOUNT", "X-CleverTap-Passcode": "passcode-of-the-tests"}
PUSH = {"endpoint": "https://push.example/1", "keys": {"auth": "a", "p256dh": "p"}}
EVENT = {"userId": "u1", "event": "Charged", "properties": {"amount": 1}, "messageId": "m1"}
REPORT = {"id": "r1", "message_id": "m1", "event": "viewed"}

# method, path, what is sent, and the status it must have
ASKED: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "/v1/track", {"json": EVENT}, 200),
    ("POST", "/v1/track", {"json": EVENT, "auth": ("wrong", "")}, 401),
    ("POST", "/v1/track", {"json": {"userId": "u1"}}, 400),
    ("POST", "/v1/track", {"content": b" " * (2 << 20)}, 413),
    ("POST", "/v1/identify", {"json": {"userId": "u1", "anonymousId": "a1", "traits": {"city": "Pune"}}}, 200),
    ("POST", "/v1/page", {"json": {"userId": "u1", "name": "Home"}}, 200),
    ("POST", "/v1/screen", {"json": {"userId": "u1", "name": "Home"}}, 200),
    ("POST", "/v1/group", {"json": {"userId": "u1", "groupId": "g1"}}, 200),
    ("POST", "/v1/alias", {"json": {"userId": "u1", "previousId": "a2"}}, 200),
    ("POST", "/v1/batch", {"json": {"batch": [EVENT | {"type": "track"}, {"type": "track", "userId": "u1"}]}}, 200),
    ("POST", "/v1/batch", {"json": {"batch": 7}}, 400),
    ("POST", "/v1/i", {"json": EVENT | {"type": "track"}}, 200),
    (
        "POST",
        "/1/upload",
        {"json": {"d": [{"type": "event", "identity": "u", "evtName": "X"}]}, "headers": ACCOUNT},
        200,
    ),
    ("POST", "/1/upload", {"json": {"d": [{"type": "event"}, {"type": "token"}]}, "headers": ACCOUNT}, 200),
    ("POST", "/1/upload", {"json": {"d": []}}, 401),
    ("POST", "/1/upload", {"json": {"d": 7}, "headers": ACCOUNT}, 400),
    ("GET", "/v1/messages", {"headers": "user"}, 200),
    ("GET", "/v1/messages", {"headers": "user", "params": {"channels": "email"}}, 400),
    ("GET", "/v1/messages", {}, 401),
    ("POST", "/v1/messages/events", {"json": {"events": []}, "headers": "user"}, 200),
    ("POST", "/v1/messages/events", {"json": {"events": [REPORT]}, "headers": "user"}, 400),
    ("POST", "/v1/visitors", {"json": {}}, 200),
    ("POST", "/v1/visitors/known", {"json": {"visitor": "none"}, "headers": "user"}, 401),
    ("POST", "/v1/devices", {"json": {"channel": "push", "platform": "ios", "token": "t"}, "headers": "user"}, 200),
    ("POST", "/v1/devices", {"json": {"channel": "web_push", "token": PUSH}, "headers": "user"}, 200),
    ("GET", "/v1/devices/web-push-key", {}, 404),
    ("GET", "/o/{token}.gif", {}, 200),
    ("GET", "/c/{token}", {}, 404),
    ("GET", "/u/{token}", {}, 200),
    ("POST", "/u/{token}", {"data": {"List-Unsubscribe": "One-Click"}}, 200),
    ("POST", "/u/{token}", {"content": b"x" * 100_000}, 413),
    ("GET", "/p/{token}", {}, 200),
    ("POST", "/p/{token}", {"data": {"shown": ["email/"], "want": ["email/"]}}, 200),
    ("GET", "/sdk/engage.js", {}, 200),
    ("GET", "/sdk/engage-sw.js", {}, 200),
    ("GET", "/health", {}, 200),
    ("GET", "/ready", {}, 200),
    ("GET", "/metrics", {}, 401),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/docs", {}, 200),
]


def test_the_document_is_one_and_has_every_route(client: httpx.Client, workspace: engage.Workspace) -> None:
    document = client.get("/openapi.json").json()
    assert document == api_document()
    OpenAPIV31SpecValidator(document).validate()
    app = create_app(engage.Workspace.create(workspace.root.parent / "other"))

    async def stop() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(stop())
    public = ("/v1/", "/1/", "/o/", "/c/", "/u/", "/p/", "/sdk/", "/health", "/ready", "/metrics", "/openapi", "/docs")
    routes = {
        (route.path, method.lower())
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD" and route.path.startswith(public)
    }
    written = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert written == routes
    assert {(path, method.lower()) for method, path, _, _ in ASKED} == written


def test_real_answers_are_as_the_document_says(client: httpx.Client) -> None:
    api = OpenAPI.from_dict(api_document())
    token = Links("").subscriptions(Who("gone", "m1", "ada"))[0].rpartition("/")[2]
    bearer = UserTokens().give("ada", now=datetime.now(UTC), lasts=timedelta(hours=1))
    for method, pattern, given, status in ASKED:
        sent = dict(given)
        if sent.get("headers") == "user":
            sent["headers"] = {"Authorization": f"Bearer {bearer}"}
        path = pattern.replace("{token}", token)
        own = client.build_request(method, path, **{name: sent[name] for name in sent if name != "auth"})
        auth = sent.get("auth", client.auth if pattern.startswith("/v1/") and given.get("headers") != "user" else None)
        answer = client.send(own, auth=auth)
        what = f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code == status, what
        base, kind = str(client.base_url).rstrip("/"), own.headers.get("content-type", "application/json")
        request = MockRequest(
            base,
            method.lower(),
            path,
            args=dict(own.url.params),
            headers=dict(answer.request.headers),
            data=own.content,
            content_type=kind,
        )
        kind = answer.headers["content-type"].partition(";")[0]
        response = MockResponse(answer.content, status, dict(answer.headers), kind)
        if status == 200 and kind == "application/json":
            api.validate_request(request)
        if kind not in ("image/gif",):
            api.validate_response(request, response)


def test_the_page_needs_no_scripts_and_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "//" not in page.text
    for methods in api_document()["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page.text
