-- Title: What users did, under the one id each person is known by
-- grain: event_id
-- Rows with a user_id are taken as they are; an anonymous row is given the person its device was later identified as.
-- Two branches, because files whose rows all have a user_id are then never joined.
select event_id, user_id, anonymous_id, event_name, event_time, received_at, properties, source
from read_parquet(lake('events'), hive_partitioning = false)
where user_id is not null and visible(event_time) and known(received_at)
union all
select
    anonymous.event_id,
    coalesce(person.user_id, anonymous.anonymous_id) as user_id,
    anonymous.anonymous_id,
    anonymous.event_name,
    anonymous.event_time,
    anonymous.received_at,
    anonymous.properties,
    anonymous.source,
from read_parquet(lake('events'), hive_partitioning = false) as anonymous
left join identities as person on person.anonymous_id = anonymous.anonymous_id
where anonymous.user_id is null and visible(anonymous.event_time) and known(anonymous.received_at)
