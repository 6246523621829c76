-- Title: CDNOW purchases become Charged events and a small profile of each customer.
-- grain: one event a purchase and one profile a customer

-- The data has days and no times: a purchase stands at midnight in the workspace's time zone.
-- into: events
select
    row_number,
    customer_id as user_id,
    -- an amount that is no number leaves the row without a name, so it is rejected
    case when try_cast(dollars as double) is not null then 'Charged' end as event_name,
    try_cast(date as timestamp) as event_time,
    {
        'amount': try_cast(dollars as double),
        'quantity': try_cast(cds as integer)
    } as properties
from input;

-- The address is made up, under a domain that no mail reaches (RFC 2606).
-- into: profiles
select
    min(row_number) as row_number,
    customer_id as user_id,
    {'source': 'cdnow', 'email': customer_id || '@cdnow.example'} as properties,
    min(try_cast(date as timestamp)) as changed_at
from input
where customer_id is not null
group by customer_id;
