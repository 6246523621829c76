-- Title: Which person each anonymous id turned out to be, by the latest word on it
-- grain: anonymous_id
select
    anonymous_id,
    arg_max(user_id, (changed_at, change_id)) as user_id,
    max(changed_at) as changed_at,
from read_parquet(lake('identities'), hive_partitioning = false)
where visible(changed_at) and known(received_at)
group by anonymous_id
