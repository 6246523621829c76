-- Title: Every move people made through journeys, at the exact time it fell due
-- grain: journey_id, user_id, entry_at, seq
select
    journey_id, version, user_id, entry_at, seq, node, came_from, port, entered_at, due_at, detail
from read_parquet(lake('journeys'), hive_partitioning = false)
where visible(entered_at)
