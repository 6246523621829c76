-- Title: Everything that happened: what users did, and what was sent to them
-- grain: event_id
select event_id, user_id, anonymous_id, event_name, event_time, received_at, properties, source
from user_events
union all
select
    event_id,
    user_id,
    null as anonymous_id,
    event_name,
    event_time,
    received_at,
    json_merge_patch(
        coalesce(properties, '{}'),
        to_json({
            campaign_id: campaign_id, campaign_name: campaign_name, run_id: run_id, journey_id: journey_id,
            message_id: message_id, channel: channel, provider: provider, delivery_type: delivery_type,
            variant: variant, labels: labels, reason: reason
        })
    )::varchar as properties,
    source,
from notifications
