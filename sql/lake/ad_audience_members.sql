-- Title: Who is in each audience of an ad network, as it last confirmed; details are hashed
-- grain: audience_id, keys, row
-- Where a change was asked for and the answer is not known, is_confirmed is false: the row may be there or not.
with syncs as (
    select sync_id, audience_id, changed_at, kind, is_replacement, batch
    from read_parquet(lake('ad_audience_syncs'), hive_partitioning = false)
    where visible(changed_at) and known(received_at)
),

taken as (select distinct sync_id, batch from syncs where kind = 'confirmed' and not is_replacement),

-- A replacement holds from its end on, and all of it.
replaced as (select distinct sync_id from syncs where kind = 'finished' and is_replacement),

deleted as (select audience_id, max(changed_at) as deleted_at from syncs where kind = 'deleted' group by audience_id),

changes as (
    select
        change.*,
        change.sync_id is null or taken.sync_id is not null or replaced.sync_id is not null as is_taken,
    from read_parquet(lake('ad_audiences'), hive_partitioning = false, union_by_name = true) as change
    left join taken on taken.sync_id = change.sync_id and taken.batch = change.batch
    left join replaced on replaced.sync_id = change.sync_id
    left join deleted on deleted.audience_id = change.audience_id
    where
        visible(change.changed_at)
        and known(change.received_at)
        and change.changed_at > coalesce(deleted_at, timestamptz '1970-01-01')
)

select
    max(audience) as audience,
    audience_id,
    keys,
    row,
    max(changed_at) as since,
    arg_max(is_taken, (changed_at, change_id)) as is_confirmed,
from changes
group by audience_id, keys, row
having arg_max(present or not is_taken, (changed_at, change_id))
