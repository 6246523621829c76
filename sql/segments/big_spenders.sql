-- Title: People who spent at least an amount in all
-- grain: user_id
-- params: amount=200
select user_id
from events
where event_name = 'Charged'
group by user_id
having sum(as_number(properties->>'$.amount')) >= $amount
