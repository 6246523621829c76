-- Title: What was sent to people and what became of it
-- grain: event_id
select
    event_id,
    user_id,
    event_name,
    event_time,
    received_at,
    message_id,
    campaign_id,
    campaign_name,
    run_id,
    journey_id,
    channel,
    provider,
    delivery_type,
    variant,
    labels,
    reason,
    properties,
    source,
from read_parquet(lake('notifications'), hive_partitioning = false)
where visible(event_time) and known(received_at)
