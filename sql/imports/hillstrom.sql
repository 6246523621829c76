-- Title: Hillstrom's e-mail test becomes profiles, two campaigns with one control group, and outcomes.
-- grain: one profile a customer, one notification a customer and campaign, one event a visit, one a purchase

-- The data has no times. Profiles are as of 2008-02-29, both e-mails went out (or were held back) on
-- 2008-03-01 at 09:00, a visit stands on 2008-03-05 at 12:00 and a purchase half an hour later: inside the
-- two weeks the data covers. A row whose flag, spend or segment is not understood gets no event_name, so
-- it is rejected.

-- into: profiles
select
    row_number,
    'h' || lpad(row_number::varchar, 5, '0') as user_id,
    {
        'source': 'hillstrom',
        'recency_months': try_cast(recency as integer),
        'history_dollars': try_cast(history as double),
        'history_segment': history_segment,
        'bought_mens': mens = '1',
        'bought_womens': womens = '1',
        'zip_type': zip_code,
        'is_new': newbie = '1',
        'purchase_channel': channel
    } as properties,
    timestamp '2008-02-29 00:00:00' as changed_at
from input;

-- into: notifications
select
    row_number,
    'h' || lpad(row_number::varchar, 5, '0') as user_id,
    case segment
        when 'Mens E-Mail' then 'Notification Sent'
        when 'No E-Mail' then 'Notification Held Out'
    end as event_name,
    timestamp '2008-03-01 09:00:00' as event_time,
    'mens_email' as campaign_id,
    'Men''s merchandise e-mail' as campaign_name,
    'email' as channel,
    ['Mens'] as labels,
    'one-time' as delivery_type,
    'hillstrom-mens-2008-03-01' as run_id
from input
where segment is distinct from 'Womens E-Mail';

-- into: notifications
select
    row_number,
    'h' || lpad(row_number::varchar, 5, '0') as user_id,
    case segment
        when 'Womens E-Mail' then 'Notification Sent'
        when 'No E-Mail' then 'Notification Held Out'
    end as event_name,
    timestamp '2008-03-01 09:00:00' as event_time,
    'womens_email' as campaign_id,
    'Women''s merchandise e-mail' as campaign_name,
    'email' as channel,
    ['Womens'] as labels,
    'one-time' as delivery_type,
    'hillstrom-womens-2008-03-01' as run_id
from input
where segment in ('Womens E-Mail', 'No E-Mail');

-- into: events
select
    row_number,
    'h' || lpad(row_number::varchar, 5, '0') as user_id,
    case when visit = '1' then 'Site Visited' end as event_name,
    timestamp '2008-03-05 12:00:00' as event_time
from input
where visit is distinct from '0';

-- into: events
select
    row_number,
    'h' || lpad(row_number::varchar, 5, '0') as user_id,
    case
        when conversion = '1' and try_cast(spend as double) is not null
            then 'Charged'
    end as event_name,
    timestamp '2008-03-05 12:30:00' as event_time,
    {'amount': try_cast(spend as double)} as properties
from input
where conversion is distinct from '0';
