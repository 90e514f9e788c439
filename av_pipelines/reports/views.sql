-- The views of the catalog (DESIGN §9): what people ask of the ledger. `ledger` has one row per
-- event, as it was written. Times are UTC; NULL means not known (an unknown price is never 0).
-- When this file changes, every catalog is built anew at its next refresh.

-- What happened last to each asset of each partition.
create view latest as
select ledger.partition, ledger.asset, ledger.event, ledger.version, ledger.reason, ledger.ts
from (select max_by(rowid, ts) as last_row from ledger group by partition, asset)
join ledger on ledger.rowid = last_row;

-- What library/<key>/<asset> points at. A failure leaves there what was there before.
create view library as
select ledger.partition, ledger.asset, ledger.version, ledger.ts as since
from (
    select max_by(rowid, ts) as last_row from ledger
    where event <> 'failed'
    group by partition, asset
)
join ledger on ledger.rowid = last_row
where ledger.version is not null;

-- One row per asset and version. What several files share is one artifact of several partitions.
create view artifacts as
with
seen as (
    select
        max_by(rowid, ts) as last_row,
        min(ts) as created,
        max(ts) as last_used,
        min_by(partition, ts) as partition,
        list_sort(list(distinct partition)) as partitions,
        count(*) filter (event = 'reused') as reused
    from ledger
    where event in ('made', 'reused') and version is not null
    group by asset, version
),
in_use as (select distinct asset, version from library)
select
    ledger.asset, ledger.version, seen.partition, seen.partitions, seen.created, seen.last_used,
    in_use.version is not null as current,
    seen.reused, ledger.engine, ledger.model, ledger.model_sha256, ledger.device,
    ledger.degraded, ledger.code_version, ledger.bytes, len(ledger.files) as files,
    ledger.duration_s, ledger.realtime_factor,
    try_cast(ledger.facts ->> 'sample_rate_hz' as integer) as sample_rate_hz,
    try_cast(ledger.facts ->> 'integrated_lufs' as double) as integrated_lufs,
    try_cast(ledger.facts ->> 'true_peak_dbtp' as double) as true_peak_dbtp,
    try_cast(ledger.facts ->> 'lra_lu' as double) as lra_lu,
    ledger.facts ->> 'language' as language,
    try_cast(ledger.facts ->> 'words' as bigint) as words,
    try_cast(ledger.facts ->> 'fps' as double) as fps,
    try_cast(ledger.facts ->> 'frames' as bigint) as frames,
    ledger.facts, ledger.settings
from seen
join ledger on ledger.rowid = seen.last_row
left join in_use on in_use.asset = ledger.asset and in_use.version = ledger.version;

-- One row per event: what it took. `usd` is NULL where nobody said what a second costs.
create view costs as
select
    ts, cast(ts at time zone 'UTC' as date) as day, event, asset, partition, recipe, engine, model,
    device, run_id, version, wall_s, cpu_s, gpu_s, peak_rss_bytes, gpu_peak_bytes, usd, duration_s,
    case when event = 'made' then realtime_factor end as realtime_factor
from ledger;

-- One row per artifact, partition that it serves, and artifact that it was made from.
create view lineage as
select distinct
    asset,
    partition,
    version,
    input.asset as input_asset,
    input.partition as input_partition,
    input.version as input_version
from (
    select asset, partition, version, unnest(inputs) as input
    from ledger
    where event in ('made', 'reused')
);

-- One row per failure or refusal; `resolved` when that asset of that partition came out well since.
create view failures as
select
    ledger.ts, cast(ledger.ts at time zone 'UTC' as date) as day, ledger.event, ledger.asset,
    ledger.partition, ledger.recipe, ledger.origin, ledger.reason, ledger.run_id, ledger.wall_s,
    ledger.cpu_s, latest.event not in ('failed', 'quarantined') as resolved
from ledger
join latest using (partition, asset)
where ledger.event in ('failed', 'quarantined');

-- Bytes and files by asset and version.
create view storage as
select asset, version, partition, files, bytes, created, current from artifacts;

-- One row per media: where it came from and where it stands.
create view media as
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
    from ledger
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
    from latest
    group by partition
),
holdings as (
    select library.partition, count(*) as artifacts, sum(artifacts.bytes) as bytes
    from library
    join artifacts using (asset, version)
    group by library.partition
)
select
    known.partition, known.origin, known.recipe, states.state, states.reason, known.first_seen,
    known.last_seen, known.duration_s, coalesce(holdings.artifacts, 0) as artifacts,
    coalesce(holdings.bytes, 0) as bytes, known.cpu_s, known.gpu_s, known.usd
from known
join states using (partition)
left join holdings using (partition);
