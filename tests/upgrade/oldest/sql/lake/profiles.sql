-- Title: Each user's properties, latest word first; common ones as columns
-- grain: user_id
-- What was first learnt of a person counts also for the time before: an address imported late is not thereby unknown
-- as of an earlier day. Columns that a query does not name are never computed.
with changes as (
    select user_id, changed_at, change_id, properties
    from read_parquet(lake('profiles'), hive_partitioning = false)
    where known(received_at)
    qualify visible(changed_at) or row_number() over (partition by user_id order by changed_at, change_id) = 1
),

merged as (
    select
        user_id,
        max(changed_at) as updated_at,
        case
            when count(*) = 1 then any_value(properties)
            else list_reduce(
                list(properties order by changed_at, change_id), lambda a, b: json_merge_patch(a, b)::varchar
            )
        end as properties,
    from changes
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
