-- Brings the tables of `tables.sql` up to date. `changed` has the partition, asset, version and day
-- of all rows of the ledger that came or went: what depends on them is made anew.

create temp table places as select distinct partition, asset from changed;

create temp table works as
select distinct asset, version from changed where version is not null
union
select asset, version from held semi join places using (partition, asset) where version is not null;

delete from latest using places
where latest.partition = places.partition and latest.asset = places.asset;
insert into latest by name
select partition, asset, unnest(row) from (
    select partition, asset,
        max_by({event: event, version: version, reason: reason, ts: ts}, ts) as row
    from ledger semi join places using (partition, asset)
    group by partition, asset
);

delete from held using places
where held.partition = places.partition and held.asset = places.asset;
insert into held by name
select partition, asset, unnest(row) from (
    select partition, asset, max_by({version: version, since: ts}, ts) as row
    from ledger semi join places using (partition, asset)
    where event <> 'failed'
    group by partition, asset
)
order by partition; -- what is asked of one is in few places of the file
insert into works
select distinct asset, version from held semi join places using (partition, asset)
where version is not null
except
from works;

delete from failures using places
where failures.partition = places.partition and failures.asset = places.asset;
insert into failures by name
select
    ledger.ts, ledger.day, ledger.event, ledger.asset, ledger.partition, ledger.recipe,
    ledger.origin, ledger.reason, ledger.run_id, ledger.wall_s, ledger.cpu_s,
    latest.event not in ('failed', 'quarantined') as resolved,
    regexp_replace(
        replace(ledger.reason, coalesce(nullif(parse_filename(origin), ''), ledger.reason), '*'),
        '[0-9]+([.,:][0-9]+)*', '#', 'g'
    ) as kind
from ledger semi join places using (partition, asset)
join latest on latest.partition = ledger.partition and latest.asset = ledger.asset
where ledger.event in ('failed', 'quarantined');

delete from lineage using works
where lineage.asset = works.asset and lineage.version = works.version;
insert into lineage
select distinct asset, partition, version, input.asset, input.partition, input.version
from (
    select asset, partition, version, unnest(inputs) as input
    from ledger semi join works using (asset, version)
    where event in ('made', 'reused')
)
order by version;

delete from uses using works where uses.asset = works.asset and uses.version = works.version;
insert into uses from lineage semi join works using (asset, version) order by input_version;

delete from artifacts using works
where artifacts.asset = works.asset and artifacts.version = works.version;
insert into artifacts by name
with
rows as (
    from ledger semi join works using (asset, version) where event in ('made', 'reused')
),
seen as (
    select
        asset, version,
        -- the work itself knows more than a reuse of it
        max_by(id, (event = 'made', ts)) as told_by,
        min(ts) as created,
        max(ts) as last_used,
        min_by(partition, ts) as partition,
        list_sort(list(distinct partition)) as partitions,
        count(*) filter (event = 'reused') as reused
    from rows
    group by asset, version
)
select
    seen.asset, seen.version, seen.partition, seen.partitions, seen.created, seen.last_used,
    exists (
        from held where held.asset = seen.asset and held.version = seen.version
    ) as current,
    seen.reused, told.engine, told.model, told.model_sha256, told.device, told.degraded,
    told.code_version, told.bytes, len(told.files) as files, told.duration_s,
    told.realtime_factor,
    try_cast(told.facts ->> 'sample_rate_hz' as integer) as sample_rate_hz,
    try_cast(told.facts ->> 'integrated_lufs' as double) as integrated_lufs,
    try_cast(told.facts ->> 'true_peak_dbtp' as double) as true_peak_dbtp,
    try_cast(told.facts ->> 'lra_lu' as double) as lra_lu,
    told.facts ->> 'language' as language,
    try_cast(told.facts ->> 'words' as bigint) as words,
    try_cast(told.facts ->> 'fps' as double) as fps,
    try_cast(told.facts ->> 'frames' as bigint) as frames,
    told.facts, told.settings
from seen join rows as told on told.id = seen.told_by;

create temp table touched as select distinct partition from places;

delete from media using touched where media.partition = touched.partition;
insert into media by name
with
known as (
    select
        partition,
        max_by(origin, ts) as origin,
        max_by(recipe, ts) as recipe,
        min(ts) as first_seen,
        max(ts) as last_seen,
        coalesce(
            max_by(duration_s, ts) filter (asset = 'source'), max_by(duration_s, ts)
        ) as duration_s,
        sum(cpu_s) as cpu_s,
        sum(gpu_s) as gpu_s,
        sum(usd) as usd
    from ledger semi join touched using (partition)
    group by partition
    having bool_or(asset = 'source')
),
states as (
    select
        partition,
        case
            when bool_or(event = 'quarantined') then 'quarantined'
            when bool_or(event = 'failed') then 'partial'
            else 'done'
        end as state,
        min_by(reason, ts) filter (event in ('failed', 'quarantined')) as reason
    from latest semi join touched using (partition)
    group by partition
),
holdings as (
    select held.partition, count(*) as artifacts, sum(artifacts.bytes) as bytes
    from held semi join touched using (partition)
    join artifacts on artifacts.asset = held.asset and artifacts.version = held.version
    group by held.partition
)
select
    known.partition, known.origin, known.recipe, states.state, states.reason, known.first_seen,
    known.last_seen, known.duration_s, coalesce(holdings.artifacts, 0) as artifacts,
    coalesce(holdings.bytes, 0) as bytes, known.cpu_s, known.gpu_s, known.usd
from known
join states using (partition)
left join holdings using (partition);

create temp table dates as select distinct day from changed;

delete from days using dates where days.day = dates.day;
insert into days by name
select
    day, event, asset, recipe, engine, device,
    count(*) as events,
    sum(wall_s) as wall_s,
    sum(cpu_s) as cpu_s,
    sum(gpu_s) as gpu_s,
    sum(usd) as usd,
    count(*) filter (usd is null and (cpu_s > 0 or gpu_s > 0)) as unpriced,
    sum(duration_s) filter (duration_s > 0) as media_s,
    sum(wall_s) filter (duration_s > 0) as timed_wall_s,
    sum(cpu_s) filter (duration_s > 0) as timed_cpu_s,
    sum(gpu_s) filter (duration_s > 0) as timed_gpu_s,
    sum(usd) filter (duration_s > 0) as timed_usd,
    median(realtime_factor) as realtime_factor,
    max(peak_rss_bytes) as peak_rss_bytes,
    max(gpu_peak_bytes) as gpu_peak_bytes
from ledger semi join dates using (day)
group by all;

drop table changed;
drop table places;
drop table works;
drop table touched;
drop table dates;
