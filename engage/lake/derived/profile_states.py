"""The table of profile states: what is known of each person after everything that was learnt.

``data/lake/derived/profile_states/state/*.parquet``: one row an id that changes came with, in the order of ids, so that
one person is found without reading the others. What was learnt of strangers is not in it, since whose it is may still
change: a row marked `is_anonymous` only says that there is something under that id.
"""

from __future__ import annotations

from engage.lake.derived.table import State

__all__ = ["PROFILE_STATES", "merged"]


def merged(learnt: str, visible: str = "true") -> str:
    """SQL of the common tables that put changes together as ``sql/lake/profiles.sql`` does, the last of them `merged`.

    Args:
        learnt: The name of a common table of `user_id`, `changed_at`, `change_id`, `properties`.
        visible: SQL of whether a change had happened by then; a person's first one counts anyway.

    Returns:
        Tables of which `merged` has `user_id`, `updated_at`, `properties`: one row a user.
    """
    return f"""several as (select user_id from {learnt} group by user_id having count(*) > 1),
patches as (
    select user_id, changed_at, change_id, properties
    from {learnt}
    where user_id in (select user_id from several)
    qualify {visible} or row_number() over (partition by user_id order by changed_at, change_id) = 1
),
merged as (
    select user_id, changed_at as updated_at, properties
    from {learnt}
    where not exists (select 1 from several where several.user_id = {learnt}.user_id)
    union all
    select
        user_id,
        max(changed_at) as updated_at,
        case
            when count(*) = 1 then any_value(properties)
            else list_reduce(
                list(properties order by changed_at, change_id), lambda a, b: json_merge_patch(a, b)::varchar
            )
        end as properties,
    from patches
    group by user_id
)"""


def _renew(old: str | None, fresh: str, everything: str) -> str:
    kept = strangers = ""
    if old:
        rows = f"select user_id, updated_at, properties, is_anonymous from {old}"
        kept = f"\nunion all\n{rows} where is_anonymous or user_id not in (select user_id from changed)"
        strangers = f" and user_id not in (select user_id from {old} where is_anonymous)"
    return f"""
with changed as materialized (
    select distinct user_id from {fresh} where source is distinct from 'anonymous'
),
learnt as (
    select user_id, changed_at, change_id, properties
    from {everything}
    where source is distinct from 'anonymous' and user_id in (select user_id from changed)
),
{merged("learnt")}
select user_id, updated_at, properties, false as is_anonymous from merged
union all
select distinct user_id, null::timestamptz as updated_at, null::varchar as properties, true as is_anonymous
from {fresh} where source = 'anonymous'{strangers}{kept}"""


PROFILE_STATES = State(name="profile_states", dataset="profiles", order="is_anonymous, user_id", renew=_renew)
"""The table."""
