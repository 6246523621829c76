-- Title: Addresses that must not be written to any more, by the latest word on each
-- grain: channel, address
-- An address is suppressed by hand, by an unsubscription that names it, by a hard bounce or by a complaint, and lifted
-- by a later Channel Subscribed that names it, or by the device that registers again. Mail addresses are compared in lower case.
with told as (
    select
        channel,
        case when channel = 'email' then lower(trim(properties->>'$.address')) else trim(properties->>'$.address') end
            as address,
        user_id,
        event_name <> 'Channel Subscribed' as is_suppressed,
        coalesce(reason, 'unsubscribed') as reason,
        source,
        event_time,
        event_id,
    from notifications
    where
        (
            event_name in ('Channel Subscribed', 'Channel Unsubscribed')
            or (
                event_name = 'Notification Failed'
                and reason in ('hard_bounce', 'complaint', 'unregistered', 'invalid_address')
            )
        )
        and channel is not null
        and coalesce(trim(properties->>'$.address'), '') <> ''
),

latest as (
    select
        channel,
        address,
        nullif(arg_max(user_id, (event_time, event_id)), channel || ':' || address) as user_id,
        arg_max(reason, (event_time, event_id)) as reason,
        arg_max(source, (event_time, event_id)) as source,
        max(event_time) as since,
    from told
    group by channel, address
    having arg_max(is_suppressed, (event_time, event_id))
)

select latest.*
from latest
left join devices
    on devices.channel = latest.channel
    and devices.token = latest.address
    and devices.updated_at > latest.since
    and latest.reason in ('unregistered', 'invalid_address')
where devices.token is null
