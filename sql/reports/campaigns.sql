-- Title: One row a campaign over all channels: what was sent, what became of it, and what it earned
-- grain: campaign_id
-- params: goals='[]', goal='Charged', window_days=14, prices='[]'
-- `goals` is a JSON list of {campaign_id, event, seconds, property} for campaigns with a goal of their own; the others
-- are held to `goal` within `window_days` of a person's first message. People held out have the same window, from the
-- instant they were held out. `prices` is a JSON list of {channel, price} of one message; `cost` is null where a
-- channel's price is not known.
with messages as (
    select
        campaign_id,
        event_name,
        user_id,
        event_time,
        coalesce(message_id, event_id) as message_id,
        campaign_name,
        channel,
        delivery_type,
        journey_id,
        labels,
        properties->>'$.machine' as machine,
    from notifications
    where campaign_id is not null
),

counts as (
    select
        campaign_id,
        arg_max(campaign_name, event_time) as campaign_name,
        list_sort(list_distinct(list(channel) filter (where channel is not null))) as channels,
        arg_max(delivery_type, event_time) as delivery_type,
        arg_max(journey_id, event_time) as journey_id,
        list_sort(list_distinct(flatten(list(labels) filter (where labels is not null)))) as labels,
        min(event_time) filter (where event_name = 'Notification Sent') as first_sent_at,
        max(event_time) filter (where event_name = 'Notification Sent') as last_sent_at,
        count(distinct message_id) filter (where event_name = 'Notification Sent') as sent,
        count(distinct message_id) filter (where event_name = 'Notification Delivered') as delivered,
        count(distinct message_id) filter (where event_name = 'Notification Viewed') as viewed,
        count(distinct message_id) filter (where event_name = 'Notification Clicked') as clicked,
        count(distinct message_id) filter (where event_name = 'Notification Viewed' and machine is null)
            as viewed_by_people,
        count(distinct message_id) filter (where event_name = 'Notification Clicked' and machine is null)
            as clicked_by_people,
        count(distinct message_id) filter (where event_name = 'Notification Failed') as failed,
        count(distinct message_id) filter (where event_name = 'Notification In Doubt') as in_doubt,
        count(distinct message_id) filter (where event_name = 'Channel Unsubscribed') as unsubscribed,
        count(distinct user_id) filter (where event_name = 'Notification Sent') as users_sent,
        count(distinct user_id) filter (where event_name = 'Notification Held Out') as held_out,
        count(distinct user_id) filter (
            where event_name in (
                'Notification Sent', 'Notification Held Out', 'Notification Failed', 'Notification In Doubt'
            )
        ) as audience,
    from messages
    group by campaign_id
),

price_list as (
    select unnest(from_json($prices, '[{"channel": "VARCHAR", "price": "DOUBLE"}]'), recursive := true)
),

costs as (
    select
        channel_counts.campaign_id,
        case
            when count(price_list.price) = count(*) then sum(channel_counts.sent * price_list.price)
        end as cost,
    from (
        select campaign_id, channel, count(distinct message_id) as sent
        from messages
        where event_name = 'Notification Sent'
        group by campaign_id, channel
    ) as channel_counts
    left join price_list on price_list.channel = channel_counts.channel
    group by channel_counts.campaign_id
),

goal_list as (
    select unnest(from_json(
        $goals, '[{"campaign_id": "VARCHAR", "event": "VARCHAR", "seconds": "BIGINT", "property": "VARCHAR"}]'
    ), recursive := true)
),

people as (
    select
        messages.campaign_id,
        messages.user_id,
        bool_or(messages.event_name = 'Notification Sent') as is_sent,
        min(messages.event_time) as begun_at,
        any_value(coalesce(goal_list.event, $goal)) as goal,
        any_value(coalesce(goal_list.property, 'amount')) as property,
        min(messages.event_time)
        + any_value(coalesce(goal_list.seconds, $window_days * 86400)) * interval 1 second as ended_at,
    from messages
    left join goal_list on goal_list.campaign_id = messages.campaign_id
    where messages.event_name in ('Notification Sent', 'Notification Held Out')
    group by messages.campaign_id, messages.user_id
),

goal_events as (
    select user_id, event_name, event_time, properties
    from user_events
    where event_name in (select goal from people) and user_id in (select user_id from people)
),

outcomes as (
    select
        people.campaign_id,
        people.user_id,
        any_value(people.is_sent) as is_sent,
        (count(goal_events.event_name) > 0)::int as converted,
        coalesce(sum(as_number(goal_events.properties->>people.property)), 0) as revenue,
    from people
    left join goal_events
        on goal_events.user_id = people.user_id
        and goal_events.event_name = people.goal
        and goal_events.event_time >= people.begun_at
        and goal_events.event_time < people.ended_at
    group by people.campaign_id, people.user_id
),

earned as (
    select
        campaign_id,
        sum(converted) filter (where is_sent)::bigint as converted,
        sum(revenue) filter (where is_sent) as revenue,
        count(*) filter (where is_sent) as treated_n,
        avg(converted) filter (where is_sent) as treated_mean,
        var_samp(converted) filter (where is_sent) as treated_variance,
        count(*) filter (where not is_sent) as control_n,
        avg(converted) filter (where not is_sent) as control_mean,
        var_samp(converted) filter (where not is_sent) as control_variance,
    from outcomes
    group by campaign_id
)

select
    counts.*,
    coalesce(earned.converted, 0) as converted,
    coalesce(earned.revenue, 0) as revenue,
    earned.* exclude (campaign_id, converted, revenue),
    costs.cost,
from counts
left join costs on costs.campaign_id = counts.campaign_id
left join earned on earned.campaign_id = counts.campaign_id
order by counts.campaign_id
