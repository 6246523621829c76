-- Title: Who is in each audience of an ad network, as it last confirmed; details are hashed
-- grain: audience, audience_id, keys, row
select
    audience,
    audience_id,
    keys,
    row,
    max(changed_at) as since,
from read_parquet(lake('ad_audiences'), hive_partitioning = false)
where visible(changed_at) and known(received_at)
group by audience, audience_id, keys, row
having arg_max(present, (changed_at, change_id))
