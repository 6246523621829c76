-- Title: Each user's properties, latest word first; common ones as columns
-- grain: user_id
-- What was first learnt of a person counts also for the time before: an address imported late is not thereby unknown
-- as of an earlier day. Columns that a query does not name are never computed. What was learnt of a stranger is their own
-- once they are known; only rows marked so, since anybody may claim to have been somebody.
with learnt as (
    select user_id, changed_at, change_id, properties
    from read_parquet(lake('profiles'), hive_partitioning = false)
    where known(received_at) and source is distinct from 'anonymous'
    union all
    select coalesce(person.user_id, change.user_id) as user_id, change.changed_at, change_id, properties
    from read_parquet(lake('profiles'), hive_partitioning = false) as change
    left join identities as person on person.anonymous_id = change.user_id
    where known(received_at) and source = 'anonymous'
),

-- Most people's properties came once and are taken as they are; only the others' are put together.
several as (select user_id from learnt group by user_id having count(*) > 1),

patches as (
    select user_id, changed_at, change_id, properties
    from learnt
    where user_id in (select user_id from several)
    qualify visible(changed_at) or row_number() over (partition by user_id order by changed_at, change_id) = 1
),

merged as (
    select user_id, changed_at as updated_at, properties
    from learnt
    where not exists (select 1 from several where several.user_id = learnt.user_id)
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
)

select
    user_id,
    updated_at,
    properties,
    properties->>'$.email' as email,
    properties->>'$.phone' as phone,
    properties->>'$.name' as name,
    properties->>'$.first_name' as first_name,
    properties->>'$.country' as country,
    properties->>'$.language' as language,
    properties->>'$.timezone' as timezone,
from merged
