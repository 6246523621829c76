"""Profiles from the table of their states: the same rows as the relation `profiles`, without putting them together."""

from __future__ import annotations

from datetime import datetime

from engage.lake.derived.manifest import folder, survey
from engage.lake.derived.profile_states import PROFILE_STATES, merged
from engage.query.files import literal
from engage.settings import Settings

__all__ = ["profiles_sql"]

_FRESH = 16 * 2**20  # bytes of files beside the table that cost little
_COLUMNS = ("email", "phone", "name", "first_name", "country", "language", "timezone")
_SHOWN = "user_id, updated_at, properties, " + ", ".join(f"properties->>'$.{name}' as {name}" for name in _COLUMNS)


def profiles_sql(settings: Settings, as_of: datetime | None) -> str | None:
    """SQL of the relation `profiles`; the caller keeps the lake's files where they are.

    People of whom something was learnt under an anonymous id, or since the table was made, are put together from the
    lake's own rows.

    Args:
        settings: The workspace, whose relations `profiles` and `identities` are the ones shipped.
        as_of: The question's time.

    Returns:
        None where the table is missing, stale, far behind, or knows more than was known at that time.
    """
    found = survey(settings, PROFILE_STATES)
    if found.manifest is None or found.size(fresh=True) > _FRESH or len(found.manifest.parts) != 1:
        return None
    (part,) = found.manifest.parts
    if as_of is not None and part.last_at >= as_of:
        return None
    states = f"read_parquet({literal(str(folder(settings, PROFILE_STATES) / part.name))})"
    if not part.anonymous and not found.fresh:
        return f"select {_SHOWN} from {states}"
    lake = settings.lake / PROFILE_STATES.dataset
    moving = [f"select user_id, true as is_anonymous from {states} where is_anonymous"] if part.anonymous else []
    if found.fresh:
        listed = ", ".join(literal(str(lake / name)) for name in found.fresh)
        fresh = f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
        moving.append(f"select user_id, source is not distinct from 'anonymous' as is_anonymous from {fresh}")
    everything = f"read_parquet({literal(str(lake / '*' / '*.parquet'))}, hive_partitioning = false)"
    met = "left join identities as person on person.anonymous_id = change.user_id"
    return f"""
with moving as materialized (
    select distinct
        case when is_anonymous then coalesce(person.user_id, change.user_id) else change.user_id end as user_id
    from ({" union all ".join(moving)}) as change {met}
),
learnt as (
    select user_id, changed_at, change_id, properties
    from {everything}
    where known(received_at) and source is distinct from 'anonymous' and user_id in (select user_id from moving)
    union all
    select coalesce(person.user_id, change.user_id) as user_id, change.changed_at, change_id, properties
    from {everything} as change {met}
    where known(received_at) and source = 'anonymous'
),
{merged("learnt", "visible(changed_at)")}
select {_SHOWN} from {states} where not is_anonymous and user_id not in (select user_id from moving)
union all
select {_SHOWN} from merged"""
