-- Title: People whose first purchase was in the last days
-- grain: user_id
-- params: days=30
select user_id
from events
where event_name = 'Charged'
group by user_id
having min(event_time) >= as_of() - $days * interval 1 day
