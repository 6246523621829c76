"""Where templates run: no attribute leads out, and what a template does and builds is counted.

The sandbox is Jinja's immutable one, narrowed: values are JSON, so attributes are keys; only a few harmless methods
can be called; there is no loader, so nothing is read from disk. A template with loops or macros is metered: it spends
a budget for what it does and what it writes, and it has a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined, Undefined, UndefinedError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.visitor import NodeTransformer

from engage.content.filters import FILTERS, LIMIT, TemplateLimitError, weigh

__all__ = ["Budget", "Missing", "Sandbox", "meter"]

_BUDGET = " budget"  # no template can name it
_STEP = 20  # what a round of a loop or a call costs beside its text
_METHODS: dict[type, frozenset[str]] = {
    dict: frozenset({"get", "items", "keys", "values"}),
    str: frozenset(
        (
            *("capitalize", "lower", "upper", "title", "strip", "lstrip", "rstrip"),
            *("startswith", "endswith", "removeprefix", "removesuffix", "split"),
        )
    ),
}


class Missing(StrictUndefined):
    """A property this user does not have: false, equal to nothing, and an error once it is printed."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, name: object) -> Any:
        return self

    def __bool__(self) -> bool:  # type: ignore[override]
        return False

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return isinstance(other, Undefined)

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return id(type(self))

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        return f"{name!r} is missing here" if isinstance(name, str) else "a value is missing here"


class Budget:
    """What one message may still do.

    Args:
        units: Characters it may write, and steps it may take, in all.
        seconds: How long it may take.
    """

    __slots__ = ("deadline", "left")

    def __init__(self, units: int = 4 * LIMIT, seconds: float = 1.0) -> None:
        self.left = units
        self.deadline = time.monotonic() + seconds

    def spend(self, units: int) -> None:
        """Take off what was done.

        Raises:
            TemplateLimitError: Nothing is left, or time is up.
        """
        self.left -= units
        if self.left < 0:
            raise TemplateLimitError("it does or writes too much; are its loops right?")
        if time.monotonic() > self.deadline:
            raise TemplateLimitError("it takes too long; are its loops right?")


def _budget(context: Context) -> Budget:
    found = context.resolve_or_missing(_BUDGET)
    return found if isinstance(found, Budget) else Budget()


@pass_context
def _spend(context: Context, units: int) -> str:
    _budget(context).spend(units)
    return ""


def _printed(value: Any) -> Any:
    """What an expression may print: text, numbers and truth values."""
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Undefined):
        return value  # says itself what is missing, when printed
    if value is None:
        raise UndefinedError("a value is missing here")
    what = "a list" if isinstance(value, (list, tuple)) else "not a text or number"
    raise UndefinedError(f"a value is {what} and cannot be printed as it is")


@pass_context
def _printed_and_counted(context: Context, value: Any) -> Any:
    value = _printed(value)
    if isinstance(value, str):
        _budget(context).spend(len(value))
    return value


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, narrowed to JSON values.

    Args:
        autoescape: Values are HTML-escaped unless marked safe.
        metered: Templates in it spend a budget; see :func:`meter`.
    """

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, *, autoescape: bool, metered: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=Missing,
            finalize=_printed_and_counted if metered else _printed,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.filters = {**FILTERS, "(spend)": _spend, "(weigh)": _weighed}
        self.globals = {"range": safe_range}

    def variables(self, context: dict[str, Any], budget: Budget | None) -> dict[str, Any]:
        """What a template can see: `context`, and what metering needs."""
        return {"range": safe_range, **context, _BUDGET: budget} if budget else context

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a mapping, or one of a few methods."""
        if isinstance(obj, (LoopContext, Macro)):
            return super().getattr(obj, attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, Missing):
            return obj
        if attribute in _METHODS.get(str if isinstance(obj, str) else type(obj), ()):
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An item of a mapping, list or text."""
        if isinstance(obj, Missing):
            return obj
        if isinstance(obj, (dict, list, tuple, str)):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=argument)

    def is_safe_callable(self, obj: Any) -> bool:
        """Macros, ``range``, loop helpers, and the few methods."""
        if isinstance(obj, (Macro, LoopContext)) or obj is safe_range:
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, LoopContext):
            return name in ("cycle", "changed")
        return name in _METHODS.get(str if isinstance(owner, str) else type(owner), ())

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called, for a step of the budget."""
        if isinstance(__obj, Undefined):
            __obj()  # raises, saying what is missing
        if not __self.is_safe_callable(__obj):
            raise SecurityError("it calls something that a template may not")
        _budget(__context).spend(_STEP)
        result = __context.call(__obj, *args, **kwargs)
        if isinstance(result, (str, list)):
            weigh(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers of a sensible size; texts are joined with ``~``."""
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)  # raises, saying what is missing
            if not isinstance(value, (int, float)):
                if operator == "+" and isinstance(left, str) and isinstance(right, str):
                    weigh([left, right])
                    break
                raise TemplateLimitError(f"{operator} is for numbers; join texts with ~")
            if isinstance(value, int) and value.bit_length() > 128:
                raise TemplateLimitError("a number is too large")
        if operator == "**" and abs(right) > 16:
            raise TemplateLimitError("a power is too large")
        return self.binop_table[operator](left, right)


def _weighed(value: Any) -> Any:
    weigh(value)
    return value


class _Meter(NodeTransformer):
    """Makes loops and macros pay for each round, and weighs what expressions build."""

    def _paid(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        price = nodes.Filter(nodes.Const(text + _STEP), "(spend)", [], [], None, None)
        node.body.insert(0, nodes.Output([price]).set_lineno(node.lineno, override=True))
        return node

    visit_For = visit_Macro = visit_CallBlock = _paid

    def _weighed(self, node: nodes.Expr) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Filter(node, "(weigh)", [], [], None, None).set_lineno(node.lineno)

    visit_Concat = visit_Add = visit_Dict = _weighed

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return self._weighed(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._weighed(node) if node.ctx == "load" else node

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:
        self.generic_visit(node)
        node.filter = nodes.Filter(node.filter, "(weigh)", [], [], None, None)
        return node


def meter(tree: nodes.Template) -> tuple[nodes.Template, bool]:
    """Build the meter into a template.

    Returns:
        The template, and whether it needs a budget: it has loops or macros or calls something.
    """
    kinds = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Call)
    repeats = any(tree.find(kind) is not None for kind in kinds)
    changed: Callable[[nodes.Template], Any] = _Meter().visit
    return changed(tree), repeats
