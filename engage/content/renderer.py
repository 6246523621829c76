"""Messages from templates: compiled once, checked before anybody is written to, rendered for each person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Final

from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.runtime import Context

from engage.content.filters import LIMIT, TemplateLimitError, TemplateValueError
from engage.content.sandbox import Budget, Sandbox, meter
from engage.errors import ContentError
from engage.message_fields import CONTENT, Field
from engage.vocabulary import Channel

__all__ = ["CONTEXT_NAMES", "Renderer"]

CONTEXT_NAMES: Final = frozenset(
    {"user_id", "profile", "event", "data", "connected", "campaign", "message_id", "unsubscribe_url", "preferences_url"}
)
"""What templates may speak of.

``user_id``, ``profile`` (user properties), ``event`` (what triggered the message), ``data`` (the campaign's own SQL
context) and ``connected`` (connected content) differ by person; ``campaign`` (``id``, ``name``, ``labels``) does not.
``message_id``, ``unsubscribe_url`` and ``preferences_url`` are added at delivery.
"""

_SANDBOXES = {
    (html, metered): Sandbox(autoescape=html, metered=metered) for html in (False, True) for metered in (False, True)
}
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_BREAKS = frozenset(map(chr, (*range(32), *range(127, 160), 0x2028, 0x2029)))


class Renderer:
    """Renders one variant of a campaign's content.

    Args:
        channel: Whose fields they are; see :data:`engage.message_fields.CONTENT`.
        content: Templates and values by field.
        names: What the templates may speak of.
        sources: Where each field was written, for errors; the field's usual file, or its name.

    Raises:
        ContentError: A field or variable is not known, a required field is missing, or a template cannot be read.

    >>> renderer = Renderer("sms", {"body": "Hi {{ profile.first_name | default('there') }}!"})
    >>> renderer.render({"profile": {"first_name": "Ada"}})
    {'body': 'Hi Ada!'}
    >>> renderer.render({"profile": {}})
    {'body': 'Hi there!'}
    """

    def __init__(
        self,
        channel: str,
        content: Mapping[str, Any],
        *,
        names: Collection[str] = CONTEXT_NAMES,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        fields = {field.name: field for field in CONTENT[Channel(channel)]}
        _refuse_unknown_fields(channel, content, fields)
        self._fixed: dict[str, Any] = {}
        self._templates: list[tuple[Field, str, Template, Sandbox]] = []
        self.needs: dict[str, frozenset[str]] = {}
        """Properties that are printed whatever happens, by the name before the dot: who lacks one gets no message."""
        metered = False
        needs: dict[str, set[str]] = {}
        for field in fields.values():
            value = content.get(field.name)
            if value is None:
                continue
            where = (sources or {}).get(field.name) or field.file or field.name
            if not field.template:
                if field.line and isinstance(value, str):
                    _require_line(value, where)
                self._fixed[field.name] = value
                continue
            if not isinstance(value, str):
                raise ContentError(f"{field.name} is not text", where=where, hint="write it in quotes")
            template, sandbox, repeats, printed = _compile(value.strip() if field.line else value, field, where, names)
            metered = metered or repeats
            for root, name in printed:
                needs.setdefault(root, set()).add(name)
            self._templates.append((field, where, template, sandbox))
        self.needs = {root: frozenset(found) for root, found in needs.items()}
        self._metered = metered

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Render for one person.

        Args:
            context: What the templates speak of; JSON values.

        Returns:
            The fields given; those that are no templates as they were.

        Raises:
            ContentError: A value without a default is missing, a header or address would break its line, or the
                template does too much. It names template, line and variable, and no value.
        """
        rendered = dict(self._fixed)
        budget = Budget() if self._metered else None
        values = dict(context)
        for field, where, template, sandbox in self._templates:
            try:
                context_ = template.new_context(sandbox.variables(values, budget), shared=True)
                text = "".join(template.root_render_func(context_))
            except Exception as error:
                raise _explained(error, where, template) from None
            if field.line:
                text = text.strip()
                _require_line(text, where)
            if len(text) > LIMIT:
                raise ContentError(f"more than {LIMIT:,} characters", where=where, hint="shorten it")
            if field.required and not text.strip():
                raise ContentError(f"{field.name} is empty", where=where, hint="give a default for what may be missing")
            rendered[field.name] = text
        return rendered


def _refuse_unknown_fields(channel: str, content: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    for name in content:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise ContentError(
                f"{channel} has no field {name!r}", where="content", hint=_near(name, fields) or f"it has: {known}"
            )
    for field in fields.values():
        if field.required and content.get(field.name) is None:
            where = field.file or field.name
            raise ContentError(f"{channel} needs {field.name}", where=where, hint=f"write the {field.about}")
    if channel == Channel.EMAIL and not (content.get("html") or content.get("text")):
        raise ContentError(
            "email needs html or text", where="content", hint="write email.html.jinja or email.txt.jinja"
        )


def _compile(
    text: str, field: Field, where: str, names: Collection[str]
) -> tuple[Template, Sandbox, bool, set[tuple[str, str]]]:
    if len(text) > LIMIT:
        raise ContentError(f"more than {LIMIT:,} characters", where=where, hint="shorten it")
    sandbox = _SANDBOXES[field.html, True]
    try:
        tree = sandbox.parse(text)
        _check(tree, where, names, sandbox)
        printed = set(_printed_properties(tree))
        tree, repeats = meter(tree)
        sandbox = _SANDBOXES[field.html, repeats]
        tree.set_environment(sandbox)
        return sandbox.from_string(tree), sandbox, repeats, printed
    except TemplateSyntaxError as error:
        hint = "see jinja.palletsprojects.com/templates"
        raise ContentError(error.message or "cannot be read", where=f"{where} line {error.lineno}", hint=hint) from None
    except (RecursionError, ValueError, MemoryError, SyntaxError) as error:
        raise ContentError(f"cannot be read ({type(error).__name__})", where=where, hint="make it simpler") from None


def _check(tree: nodes.Template, where: str, names: Collection[str], sandbox: Sandbox) -> None:
    for node in tree.find_all(tuple(_REFUSED)):
        what = f"{_REFUSED[type(node)]} is not available"
        raise ContentError(what, where=f"{where} line {node.lineno}", hint="a message is one template")
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        known: Mapping[str, Any] = sandbox.filters if isinstance(found, nodes.Filter) else sandbox.tests
        if found.name not in known:
            what = f"unknown {type(found).__name__.lower()} {found.name!r}"
            there = ", ".join(sorted(name for name in known if name.isidentifier()))
            raise ContentError(
                what, where=f"{where} line {found.lineno}", hint=_near(found.name, known) or f"known: {there}"
            )
    unknown = meta.find_undeclared_variables(tree) - set(names) - set(sandbox.globals)
    for variable in tree.find_all(nodes.Name):
        if variable.name in unknown and variable.ctx == "load":
            hint = f"known: {', '.join(sorted(names))}"
            if near := get_close_matches(variable.name, sorted(names), n=1):
                hint += f", did you mean {near[0]!r}?"
            elif "profile" in names:
                hint += f"; a user's property is written profile.{variable.name}"
            raise ContentError(
                f"unknown variable {variable.name!r}", where=f"{where} line {variable.lineno}", hint=hint
            )


def _near(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _printed_properties(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    """Properties like ``profile.name`` that are printed outside any condition, loop or default."""
    for statement in tree.body:
        if isinstance(statement, nodes.Output):
            for child in statement.nodes:
                yield from _used(child)


def _used(node: nodes.Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, (nodes.CondExpr, nodes.Or, nodes.And, nodes.Not, nodes.Test, nodes.Compare)):
        return
    if isinstance(node, nodes.Filter) and node.name in ("default", "d"):
        return
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and isinstance(node.node, nodes.Name):
        name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if isinstance(name, str):
            yield node.node.name, name
            return
    for child in node.iter_child_nodes():
        yield from _used(child)


def _require_line(text: str, where: str) -> None:
    if not _BREAKS.isdisjoint(text):
        raise ContentError(
            "would hold a line break or control character", where=where, hint="headers and addresses are one line"
        )


def _explained(error: Exception, where: str, template: Template) -> ContentError:
    line = _line(error.__traceback__, template)
    where = f"{where} line {line}" if line else where
    if isinstance(error, UndefinedError):
        hint = "give a default, e.g. {{ profile.first_name | default('there') }}"
        return ContentError(error.message or "a value is missing", where=where, hint=hint)
    if isinstance(error, (TemplateLimitError, TemplateValueError)):
        return ContentError(str(error), where=where, hint="mend the template")
    if isinstance(error, RecursionError):
        return ContentError("its macros call each other without end", where=where, hint="mend the template")
    if isinstance(error, TemplateError):
        return ContentError(error.message or type(error).__name__, where=where, hint="use filters")
    # The text of other errors can quote a value, which is personal.
    return ContentError(f"cannot be rendered ({type(error).__name__})", where=where, hint="check the kinds of values")


def _line(trace: TracebackType | None, template: Template) -> int | None:
    line = None
    code: Callable[[Context], Any] = template.root_render_func
    while trace:
        if trace.tb_frame.f_globals.get("__jinja_template__") is template or trace.tb_frame.f_code is code.__code__:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
