-- Title: What was sent to people and what became of it
-- grain: event_id
-- What a visitor of a page was sent is theirs once they are known. Only ids that the server gave out, which nobody can
-- guess: anybody may claim to have been somebody.
with visitors as (select anonymous_id, user_id from identities where anonymous_id like 'anon-%')

select
    message.event_id,
    coalesce(person.user_id, message.user_id) as user_id,
    message.event_name,
    message.event_time,
    message.received_at,
    message.message_id,
    message.campaign_id,
    message.campaign_name,
    message.run_id,
    message.journey_id,
    message.channel,
    message.provider,
    message.delivery_type,
    message.variant,
    message.labels,
    message.reason,
    message.properties,
    message.source,
from read_parquet(lake('notifications'), hive_partitioning = false) as message
left join visitors as person on person.anonymous_id = message.user_id
where visible(message.event_time) and known(message.received_at)
