-- Title: What users did, under the one id each person is known by
-- grain: event_id
-- A row with a user_id keeps it; an anonymous one is given the person its device was later identified as.
select
    event.event_id,
    coalesce(event.user_id, person.user_id, event.anonymous_id) as user_id,
    event.anonymous_id,
    event.event_name,
    event.event_time,
    event.received_at,
    event.properties,
    event.source,
from read_parquet(lake('events'), hive_partitioning = false) as event
left join identities as person on person.anonymous_id = event.anonymous_id
where visible(event.event_time) and known(event.received_at)
