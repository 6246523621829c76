-- Title: One row a message label over all campaigns and channels: what was sent under it and what became of it
-- grain: label
-- params: as_now=false, now='[]'
-- Labels are those the messages were sent with; with `as_now` those their campaigns carry now, which `now` lists as
-- JSON objects {campaign_id, label}. A message with two labels counts under both; '' stands for none.
with labels_now as (
    select campaign_id, list(label order by label) as labels
    from (select unnest(from_json($now, '[{"campaign_id": "VARCHAR", "label": "VARCHAR"}]'), recursive := true))
    group by campaign_id
),

messages as (
    select
        unnest(
            case
                when len(coalesce(case when $as_now then labels_now.labels else told.labels end, [])) = 0 then ['']
                when $as_now then labels_now.labels
                else list_distinct(told.labels)
            end
        ) as label,
        told.event_name,
        told.user_id,
        told.campaign_id,
        coalesce(told.message_id, told.event_id) as message_id,
    from notifications as told
    left join labels_now on labels_now.campaign_id = told.campaign_id
    where told.campaign_id is not null
)

select
    label,
    count(distinct campaign_id) as campaigns,
    count(distinct user_id) filter (where event_name = 'Notification Sent') as users_sent,
    count(distinct user_id) filter (where event_name = 'Notification Held Out') as held_out,
    count(distinct message_id) filter (where event_name = 'Notification Sent') as sent,
    count(distinct message_id) filter (where event_name = 'Notification Delivered') as delivered,
    count(distinct message_id) filter (where event_name = 'Notification Viewed') as viewed,
    count(distinct message_id) filter (where event_name = 'Notification Clicked') as clicked,
    count(distinct message_id) filter (where event_name = 'Notification Failed') as failed,
    count(distinct message_id) filter (where event_name = 'Channel Unsubscribed') as unsubscribed,
from messages
group by label
order by label
