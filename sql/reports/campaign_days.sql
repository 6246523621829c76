-- Title: One campaign day by day: what was sent and what became of it
-- grain: day
-- params: campaign=''
select
    local_date(event_time) as day,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Notification Sent') as sent,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Notification Delivered') as delivered,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Notification Viewed') as viewed,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Notification Clicked') as clicked,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Notification Failed') as failed,
    count(distinct coalesce(message_id, event_id)) filter (where event_name = 'Channel Unsubscribed') as unsubscribed,
from notifications
where campaign_id = $campaign
group by all
order by day
