-- Title: Push tokens and web-push subscriptions that are alive, by the latest word on each
-- grain: channel, token
-- A stranger's device is their own once they are known.
with latest as (
    select
        arg_max(user_id, (changed_at, change_id)) as user_id,
        arg_max(source, (changed_at, change_id)) as source,
        channel,
        token,
        arg_max(platform, (changed_at, change_id)) as platform,
        arg_max(environment, (changed_at, change_id)) as environment,
        max(changed_at) as updated_at,
    from read_parquet(lake('devices'), hive_partitioning = false)
    where visible(changed_at) and known(received_at)
    group by channel, token
    having arg_max(active, (changed_at, change_id))
)

select
    coalesce(person.user_id, latest.user_id) as user_id,
    latest.channel,
    latest.token,
    latest.platform,
    latest.environment,
    latest.updated_at,
from latest
left join identities as person on latest.source = 'anonymous' and person.anonymous_id = latest.user_id
