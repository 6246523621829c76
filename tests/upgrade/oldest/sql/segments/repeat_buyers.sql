-- Title: People who bought at least a number of times
-- grain: user_id
-- params: purchases=2
select user_id
from events
where event_name = 'Charged'
group by user_id
having count(*) >= $purchases
