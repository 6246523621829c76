-- Title: Each sync of an audience with an ad network, and what the network made of it
-- grain: sync_id
-- Received and invalid are the network's own counts; it says of the latter that they are approximate.
select
    sync_id,
    max(audience) as audience,
    max(audience_id) as audience_id,
    max(segment) as segment,
    min(changed_at) as started_at,
    max(changed_at) filter (where kind = 'finished') as finished_at,
    case
        when bool_or(kind = 'deleted') then 'deleted'
        when bool_or(kind = 'finished') then 'finished'
        when bool_or(kind = 'failed') then 'failed'
        else 'unfinished'
    end as state,
    bool_or(is_replacement) as is_replacement,
    coalesce(max(people), 0)::bigint as people,
    coalesce(max(members), 0)::bigint as members,
    coalesce(sum(added), 0)::bigint as added,
    coalesce(sum(removed), 0)::bigint as removed,
    coalesce(sum(received), 0)::bigint as received,
    coalesce(sum(invalid), 0)::bigint as invalid,
    max(detail) as detail,
from read_parquet(lake('ad_audience_syncs'), hive_partitioning = false)
where visible(changed_at) and known(received_at)
group by sync_id
