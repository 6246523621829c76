"""Methods that pass a question on show its arguments: to `help()`, and to whoever presses Tab in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import Parameter, signature
from typing import Any, TypeVar

__all__ = ["asks"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def asks(
    function: Callable[..., Any], *further: Callable[..., Any], without: Collection[str] = ()
) -> Callable[[_Method], _Method]:
    """Give a method the arguments of the function it passes `**question` on to.

    Args:
        function: The analysis; its first argument is the engine, which the method has.
        further: What that passes its own `**` on to; the arguments by name count.
        without: Arguments the function gives those itself.

    Returns:
        A decorator. The method's own arguments come first and stay as they are, the others follow by name.
    """

    def decorate(method: _Method) -> _Method:
        own = signature(method)
        shown = {one.name: one for one in own.parameters.values() if one.kind is not Parameter.VAR_KEYWORD}
        _, *asked = signature(function).parameters.values()
        asked = [one for one in asked if one.kind is not Parameter.VAR_KEYWORD]
        for each in further:
            asked += [one for one in signature(each).parameters.values() if one.kind is Parameter.KEYWORD_ONLY]
        for one in asked:
            if one.name in without:
                continue
            shown.setdefault(one.name, one.replace(kind=Parameter.KEYWORD_ONLY))
        method.__signature__ = own.replace(parameters=list(shown.values()))  # type: ignore[attr-defined]
        return method

    return decorate
