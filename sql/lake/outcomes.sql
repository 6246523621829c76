-- Title: What became of everyone in each run's audience, in exactly one word each
-- grain: run_id, user_id, channel
-- A message that was accepted counts as sent whatever followed; what a provider reported later proves that too.
with told as (
    select
        message_id,
        bool_or(
            event_name in (
                'Notification Sent', 'Notification Delivered', 'Notification Viewed', 'Notification Clicked'
            )
        ) as is_sent,
        bool_or(event_name = 'Notification In Doubt') as is_in_doubt,
        arg_min(reason, event_time) filter (event_name = 'Notification Failed') as failed_reason,
        bool_or(event_name = 'Notification Failed') as is_failed,
    from notifications
    where message_id is not null
    group by message_id
)

select
    audience.run_id,
    audience.user_id,
    audience.channel,
    audience.message_id,
    case
        when audience.planned = 'held_out' then 'held_out'
        when audience.planned = 'excluded' then 'excluded:' || coalesce(audience.reason, '')
        when told.is_sent then 'sent'
        when told.is_failed then 'failed:' || coalesce(told.failed_reason, '')
        when told.is_in_doubt then 'in_doubt'
        else 'pending'
    end as outcome,
from audiences as audience
left join told on told.message_id = audience.message_id
