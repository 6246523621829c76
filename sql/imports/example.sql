-- Title: A mapping to copy: purchases from a shop's export become Charged events and profiles.
-- grain: one event an order and one profile a customer

-- Copy this file to sql/imports/shop.sql, change it, and run:
--     engage import orders.csv --mapping sql/imports/shop.sql
--
-- `input` is the file. From CSV and NDJSON every column is text, from Parquet it keeps its type;
-- `row_number` counts the file's rows from 1. This mapping expects the columns order_id, customer,
-- ordered_at, total, items, email, country.
--
-- Each select ends in a semicolon and says above itself where its rows go: events, notifications,
-- profiles, devices or identities. Columns are matched by name. Pass `row_number` through, so that a
-- rejected row can be named and the same file imported again adds nothing. Cast with try_cast: what cannot
-- be read becomes null, and a row without user_id, event_name or event_time is rejected with its line
-- while the others land. A time without an offset is in the workspace's time zone.

-- into: events
select
    row_number,
    customer as user_id,
    'Charged' as event_name,
    try_cast(ordered_at as timestamp) as event_time,
    -- with an id of its own an order lands once, whichever file it comes in
    'order-' || order_id as event_id,
    -- `amount` is what reports count as revenue
    {
        'amount': try_cast(total as double),
        'quantity': try_cast(items as integer)
    } as properties
from input;

-- One row a customer: what the last line about them says.
-- into: profiles
select
    max(row_number) as row_number,
    customer as user_id,
    {
        'email': arg_max(email, row_number),
        'country': arg_max(country, row_number)
    } as properties,
    max(try_cast(ordered_at as timestamp)) as changed_at
from input
where customer is not null
group by customer;
