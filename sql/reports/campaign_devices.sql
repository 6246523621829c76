-- Title: On which platforms the people of one campaign were sent it, saw it and clicked
-- grain: platform
-- params: campaign=''
-- The platform is what the receipt says (`platform`, `os` or `device`), else that of the person's devices on the
-- message's channel, those they have by now; 'not told' where neither is known, as with most mail and texts.
with platforms as (
    select user_id, channel, string_agg(distinct platform, ' and ' order by platform) as platform
    from devices
    where platform is not null
    group by user_id, channel
),

told as (
    select
        notifications.event_name,
        notifications.user_id,
        coalesce(notifications.message_id, notifications.event_id) as message_id,
        coalesce(
            lower(coalesce(
                notifications.properties->>'platform',
                notifications.properties->>'os',
                notifications.properties->>'device'
            )),
            platforms.platform,
            'not told'
        ) as platform,
    from notifications
    left join platforms
        on platforms.user_id = notifications.user_id
        and platforms.channel = notifications.channel
    where
        notifications.campaign_id = $campaign
        and notifications.event_name in ('Notification Sent', 'Notification Viewed', 'Notification Clicked')
)

select
    platform,
    count(distinct user_id) as people,
    count(distinct message_id) filter (where event_name = 'Notification Sent') as sent,
    count(distinct message_id) filter (where event_name = 'Notification Viewed') as viewed,
    count(distinct message_id) filter (where event_name = 'Notification Clicked') as clicked,
from told
group by platform
order by people desc, platform
