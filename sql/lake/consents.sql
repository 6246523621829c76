-- Title: What each person said yes or no to, by channel and topic, by the latest word on each
-- grain: user_id, channel, topic
-- The topic is '' for the channel as a whole. That an address is dead is no wish of its owner: see suppressions.
select
    user_id,
    channel,
    coalesce(properties->>'$.topic', '') as topic,
    arg_max(event_name, (event_time, event_id)) = 'Channel Subscribed' as subscribed,
    max(event_time) as since,
from notifications
where
    event_name in ('Channel Subscribed', 'Channel Unsubscribed')
    and channel is not null
    and (
        properties->>'$.address' is null
        or coalesce(reason, 'unsubscribed') in ('unsubscribed', 'complaint', 'stop')
    )
group by user_id, channel, coalesce(properties->>'$.topic', '')
