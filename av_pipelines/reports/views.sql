-- The views of the catalog (DESIGN §9) beside its tables `artifacts`, `failures`, `lineage` and
-- `media`: what people ask of the ledger. `ledger` has one row per event, as it was written. Times
-- are UTC; NULL means not known (an unknown price is never 0).

-- What library/<key>/<asset> points at.
create view library as from held where version is not null;

-- One row per event: what it took. `usd` is NULL where nobody said what a second costs.
create view costs as
select
    ts, day, event, asset, partition, recipe, engine, model,
    device, run_id, version, wall_s, cpu_s, gpu_s, peak_rss_bytes, gpu_peak_bytes, usd, duration_s,
    realtime_factor
from ledger;

-- How fast each asset was made, day by day: media seconds for each second of work.
create view speeds as
select
    day, asset, engine, device, sum(events) as made, sum(media_s) as media_s,
    sum(media_s) / nullif(sum(timed_wall_s), 0) as realtime_factor
from days
where event = 'made'
group by day, asset, engine, device;

-- What a minute of media costs. `usd` is NULL while the price of some of the work is not known.
create view cost_per_media_minute as
select
    asset, engine, device, sum(events) as made, sum(media_s) / 60 as media_min,
    sum(timed_wall_s) / nullif(sum(media_s) / 60, 0) as wall_s,
    sum(timed_cpu_s) / nullif(sum(media_s) / 60, 0) as cpu_s,
    sum(timed_gpu_s) / nullif(sum(media_s) / 60, 0) as gpu_s,
    case when sum(unpriced) = 0 then sum(timed_usd) / nullif(sum(media_s) / 60, 0) end as usd
from days
where event = 'made'
group by asset, engine, device;

-- What each asset of a recipe cost: for a minute of media, or each time where no length is known.
create view recipe_costs as
select
    recipe, asset, sum(events) as made,
    coalesce(sum(media_s), 0) > 0 as per_minute,
    case when per_minute then sum(timed_wall_s) / sum(media_s) * 60
        else sum(wall_s) / sum(events) end as wall_s,
    case when per_minute then sum(timed_cpu_s) / sum(media_s) * 60
        else sum(cpu_s) / sum(events) end as cpu_s,
    case when per_minute then sum(timed_gpu_s) / sum(media_s) * 60
        else sum(gpu_s) / sum(events) end as gpu_s,
    case when sum(unpriced) > 0 then null
        when per_minute then sum(timed_usd) / sum(media_s) * 60
        else sum(usd) / sum(events) end as usd
from days
where event = 'made' and recipe is not null
group by recipe, asset;

-- What a recipe would cost for so many minutes of media, judged by what it cost so far:
-- from would_cost('podcast', 60).
create macro would_cost(name, minutes) as table
select
    asset, made,
    wall_s * if(per_minute, minutes, 1) as wall_s,
    cpu_s * if(per_minute, minutes, 1) as cpu_s,
    gpu_s * if(per_minute, minutes, 1) as gpu_s,
    usd * if(per_minute, minutes, 1) as usd
from recipe_costs
where recipe = name
order by asset;

-- Failures by what went wrong.
create view failures_by_reason as
select
    event, asset, kind, count(*) as times, count(distinct partition) as partitions,
    count(*) filter (not resolved) as unresolved, min(ts) as first, max(ts) as last,
    max_by(reason, ts) as last_reason
from failures
group by event, asset, kind;

-- Bytes and files by asset and version, and by asset.
create view storage as
select asset, version, partition, files, bytes, created, current from artifacts;

create view storage_per_asset as
select
    asset, count(*) as versions, sum(bytes) as bytes,
    sum(bytes) filter (current) as current_bytes,
    sum(bytes) filter (not current) as superseded_bytes
from artifacts
group by asset;
