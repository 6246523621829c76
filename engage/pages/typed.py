"""All that is typed is taken, though the notebook is busy while one types.

While a notebook runs, what is changed on the page waits and is taken in one go. marimo (0.25) then keeps, of several
fields of one ``mo.ui.dictionary``, ``array`` or ``batch``, only the one changed last: the page shows what was typed
into the others, and the notebook never hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

__all__ = ["joined", "take_all_that_is_typed"]


class _Registry(Protocol):
    def resolve_lens(self, object_id: Any, value: Any) -> tuple[Any, Any]: ...


def joined(registry: _Registry, ids_and_values: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Changes of one element's fields as one change of that element.

    Args:
        registry: Tells what a field belongs to: ``resolve_lens`` of marimo's registry of elements.
        ids_and_values: What was changed, by the elements' ids, oldest first.

    Returns:
        By element that stands alone its newest value, by one that has fields those that were changed, each with its
        newest value; what the registry does not know stays as it was.
    """
    changes: dict[Any, Any] = {}
    mark = object()
    for object_id, value in ids_and_values:
        try:
            owner, nested = registry.resolve_lens(object_id, mark)
        except (KeyError, RuntimeError):
            changes[object_id] = value
            continue
        path = []
        while nested is not mark:
            [(key, nested)] = nested.items()
            path.append(key)
        if not path:
            changes[owner] = value
            continue
        at = changes[owner] = changes[owner] if isinstance(changes.get(owner), dict) else {}
        for key in path[:-1]:
            at[key] = at[key] if isinstance(at.get(key), dict) else {}
            at = at[key]
        at[path[-1]] = value
    return list(changes.items())


@cache
def take_all_that_is_typed() -> None:
    """Let this process's notebooks take changes of several fields at once; another marimo than that stays as it is."""
    try:
        from marimo._runtime.commands import UpdateUIElementCommand
        from marimo._runtime.context import get_context
        from marimo._runtime.runtime import Kernel

        taken = Kernel.set_ui_element_value
    except (AttributeError, ImportError):
        return

    async def take_all(self: Kernel, request: UpdateUIElementCommand, *, notify_frontend: bool) -> bool:
        changes = joined(get_context().ui_element_registry, request.ids_and_values)
        whole = UpdateUIElementCommand(
            object_ids=[object_id for object_id, _ in changes],
            values=[value for _, value in changes],
            request=request.request,
            token=request.token,
        )
        return await taken(self, whole, notify_frontend=notify_frontend)

    Kernel.set_ui_element_value = take_all  # type: ignore[method-assign]
