-- The tables that are made of the ledger, so that a question needs not read all of it. `update.sql`
-- keeps them up to date. When one of the .sql files changes, every catalog is built anew at its next
-- refresh.

-- What happened last to each asset of each partition.
create table latest (
    partition varchar, asset varchar, event varchar, version varchar, reason varchar,
    ts timestamptz
);

-- What it holds: a failure leaves there what was there before. No version: it holds nothing.
create table held (partition varchar, asset varchar, version varchar, since timestamptz);

-- One row per asset and version. What several files share is one artifact of several partitions.
create table artifacts (
    asset varchar, version varchar, partition varchar, partitions varchar[],
    created timestamptz, last_used timestamptz, current boolean, reused bigint,
    engine varchar, model varchar, model_sha256 varchar, device varchar, degraded varchar,
    code_version varchar, bytes bigint, files bigint, duration_s double, realtime_factor double,
    sample_rate_hz integer, integrated_lufs double, true_peak_dbtp double, lra_lu double,
    language varchar, words bigint, fps double, frames bigint, facts varchar, settings varchar
);

-- One row per failure or refusal; `resolved` when that asset of that partition came out well since.
-- Reasons that differ only in the file's name and in figures are of one `kind`.
create table failures (
    ts timestamptz, day date, event varchar, asset varchar, partition varchar, recipe varchar,
    origin varchar, reason varchar, run_id varchar, wall_s double, cpu_s double, resolved boolean,
    kind varchar
);

-- One row per artifact, partition that it serves, and artifact that it was made from, in the order
-- of versions: what is asked for is in few places of the file.
create table lineage (
    asset varchar, partition varchar, version varchar,
    input_asset varchar, input_partition varchar, input_version varchar
);

-- The same, in the order of the inputs' versions, for those who go the other way.
create table uses (
    asset varchar, partition varchar, version varchar,
    input_asset varchar, input_partition varchar, input_version varchar
);

-- One row per media: where it came from and where it stands.
create table media (
    partition varchar, origin varchar, recipe varchar, state varchar, reason varchar,
    first_seen timestamptz, last_seen timestamptz, duration_s double, artifacts bigint,
    bytes bigint, cpu_s double, gpu_s double, usd double
);

-- The sums of a day: what `cost_per_day` and the like add up. `media_s` is the length of what was
-- made, where it is known; `priced_s` the seconds of work whose price is known.
create table days (
    day date, event varchar, asset varchar, recipe varchar, engine varchar, device varchar,
    events bigint, wall_s double, cpu_s double, gpu_s double, usd double, unpriced bigint,
    media_s double, timed_wall_s double, timed_cpu_s double, timed_gpu_s double, timed_usd double,
    realtime_factor double, peak_rss_bytes bigint, gpu_peak_bytes bigint
);
