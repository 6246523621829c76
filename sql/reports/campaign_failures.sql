-- Title: Why messages of one campaign failed, were held back or are in doubt
-- grain: event_name, reason, channel
-- params: campaign=''
select
    event_name,
    coalesce(nullif(reason, ''), 'not told') as reason,
    coalesce(channel, '') as channel,
    count(distinct coalesce(message_id, event_id)) as messages,
    count(distinct user_id) as people,
from notifications
where
    campaign_id = $campaign
    and event_name in ('Notification Failed', 'Notification In Doubt', 'Channel Unsubscribed')
group by all
order by messages desc, event_name, reason, channel
