-- Title: The links of one campaign that were clicked
-- grain: url
-- params: campaign=''
select
    coalesce(properties->>'url', properties->>'link', '') as url,
    count(*) as clicks,
    count(*) filter (where properties->>'$.machine' is not null) as by_machines,
    count(distinct user_id) as people,
    max(event_time) as last_clicked_at,
from notifications
where campaign_id = $campaign and event_name = 'Notification Clicked'
group by all
order by clicks desc, url
