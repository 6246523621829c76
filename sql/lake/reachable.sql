-- Title: Who may be written to on each channel that needs an address, and at which
-- grain: user_id, channel
-- A person is here who has an address or a living device, has not left the channel, and whose address is not
-- suppressed; a campaign leaves out the same people. Where a channel asks for consent first, also ask for is_opted_in.
-- Messages on a site or in an app need no address: everyone may see those who has not left the channel.
with newest as (
    select user_id, channel, arg_max(token, (updated_at, token)) as address
    from devices
    group by user_id, channel
),

addresses as (
    select user_id, 'email' as channel, trim(email) as address, lower(trim(email)) as written from profiles
    union all
    select user_id, 'sms' as channel, sms_address(phone, country) as address, sms_address(phone, country) as written
    from profiles
    union all
    select user_id, channel, address, address as written from newest
)

select
    addresses.user_id,
    addresses.channel,
    addresses.address,
    coalesce(consents.subscribed, false) as is_opted_in,
from addresses
left join consents
    on consents.user_id = addresses.user_id
    and consents.channel = addresses.channel
    and consents.topic = ''
left join suppressions
    on suppressions.channel = addresses.channel
    and suppressions.address = addresses.written
where
    addresses.address <> ''
    and coalesce(consents.subscribed, true)
    and suppressions.address is null
