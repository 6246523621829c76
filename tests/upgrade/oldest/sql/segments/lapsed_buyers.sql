-- Title: People who bought before, but not in the last days
-- grain: user_id
-- params: days=90
select user_id
from events
where event_name = 'Charged'
group by user_id
having max(event_time) < as_of() - $days * interval 1 day
