-- Title: What people came and did themselves; "any event" in an analysis means these
-- grain: event_id
select event_id, user_id, anonymous_id, event_name, event_time, received_at, properties, source
from user_events
where event_name not in ('App Uninstalled', 'Journey Entered', 'Journey Step', 'Journey Exited')
