-- Title: Push tokens and web-push subscriptions that are alive, by the latest word on each
-- grain: channel, token
select
    arg_max(user_id, (changed_at, change_id)) as user_id,
    channel,
    token,
    arg_max(platform, (changed_at, change_id)) as platform,
    arg_max(environment, (changed_at, change_id)) as environment,
    max(changed_at) as updated_at,
from read_parquet(lake('devices'), hive_partitioning = false)
where visible(changed_at) and known(received_at)
group by channel, token
having arg_max(active, (changed_at, change_id))
