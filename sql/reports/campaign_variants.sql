-- Title: One campaign's variants and its control group: people, what they did with the message, who reached the goal
-- grain: variant
-- params: campaign='', goal='Charged', seconds=1209600, property='amount'
-- The control group is the variant 'held out'. The goal counts within `seconds` of a person's first message, or of the
-- instant they were held out.
with people as (
    select
        user_id,
        case
            when bool_or(event_name = 'Notification Sent')
                then coalesce(arg_min(variant, event_time) filter (where event_name = 'Notification Sent'), '')
            else 'held out'
        end as variant,
        min(event_time) filter (where event_name in ('Notification Sent', 'Notification Held Out')) as begun_at,
        bool_or(event_name = 'Notification Viewed') as viewed,
        bool_or(event_name = 'Notification Clicked') as clicked,
        bool_or(event_name = 'Channel Unsubscribed') as unsubscribed,
    from notifications
    where campaign_id = $campaign
    group by user_id
    having begun_at is not null
),

outcomes as (
    select
        people.user_id,
        count(goal.event_name) > 0 as converted,
        coalesce(sum(as_number(goal.properties->>$property)), 0) as revenue,
    from people
    left join user_events as goal
        on goal.user_id = people.user_id
        and goal.event_name = $goal
        and goal.event_time >= people.begun_at
        and goal.event_time < people.begun_at + $seconds * interval 1 second
    group by people.user_id
)

select
    people.variant,
    count(*) as people,
    count(*) filter (where people.viewed) as viewed,
    count(*) filter (where people.clicked) as clicked,
    count(*) filter (where people.unsubscribed) as unsubscribed,
    count(*) filter (where outcomes.converted) as converted,
    sum(outcomes.revenue) as revenue,
from people
inner join outcomes on outcomes.user_id = people.user_id
group by people.variant
order by people.variant = 'held out', people.variant
