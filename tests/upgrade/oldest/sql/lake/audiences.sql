-- Title: Everyone each run looked at, with what was decided for them
-- grain: run_id, user_id, channel
select run_id, seq, message_id, user_id, planned, reason, channel, variant, address, send_at, context
from read_parquet(lake('audiences'), hive_partitioning = false)
