-- The one row of the clock, with the secret that the HMACs over what Redis holds come from: 244 bits from the server's strong random source.
INSERT INTO "navis_keys"."revocation_clock" ("id", "seq", "pruned_to", "window_ms", "lineage", "row_secret")
VALUES (1, 0, 0, 0, gen_random_uuid(), decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'))
ON CONFLICT ("id") DO NOTHING;--> statement-breakpoint
INSERT INTO "navis_keys"."event_clock" ("id", "place") VALUES (1, 0) ON CONFLICT ("id") DO NOTHING;--> statement-breakpoint
-- Few rows, rewritten all the time: room on the page keeps every rewrite HOT, and an early vacuum keeps the page count at one.
ALTER TABLE "navis_keys"."revocation_clock" SET (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);--> statement-breakpoint
ALTER TABLE "navis_keys"."window_members" SET (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);--> statement-breakpoint
ALTER TABLE "navis_keys"."event_clock" SET (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);--> statement-breakpoint
ALTER TABLE "navis_keys"."key_usage" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);--> statement-breakpoint
ALTER TABLE "navis_keys"."usage_days" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
--> statement-breakpoint
-- The parts of a name by which the list is searched: every three characters in a row and, at its end, two and one, each marked with the workspace, so that one index
-- serves both. The mark is a hash, because the index has it once for each part. As a tsvector: its index finds how a part begins, so it answers for one and two characters
-- too, and it compares bytes, whatever the libraries of the system say of an order.
CREATE FUNCTION "navis_keys"."name_parts" (workspace text, name text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT array_to_tsvector(array_agg(to_hex(hashtext(workspace)) || ' ' || substr(lower(name), place, 3))) FROM generate_series(1, char_length(lower(name))) AS place);--> statement-breakpoint
CREATE FUNCTION "navis_keys"."name_query" (workspace text, part text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg('''' || to_hex(hashtext(workspace)) || ' ' || replace(replace(substr(lower(part), place, 3), '\', '\\'), '''', '''''') || '''' || CASE WHEN char_length(lower(part)) < 3 THEN ':*' ELSE '' END, ' & ')::tsquery
  FROM generate_series(1, greatest(char_length(lower(part)) - 2, 1)) AS place);--> statement-breakpoint
CREATE INDEX "keys_list_name" ON "navis_keys"."keys" USING gin ("navis_keys"."name_parts"("workspace_id", "name"));--> statement-breakpoint
-- The other orders of the list. "C": the order must not change with the libraries of the system, or the index would be wrong.
CREATE INDEX "keys_list_by_name" ON "navis_keys"."keys" ("workspace_id", "ended", (lower("name") COLLATE "C") DESC NULLS LAST, "id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_by_expiry" ON "navis_keys"."keys" ("workspace_id", "ended", (coalesce("expires_at", 'infinity'::timestamptz)) DESC NULLS LAST, "id" DESC NULLS LAST);--> statement-breakpoint
-- One element for each digest, in their order: null where there is no such key. A function of PL/pgSQL keeps its plan for as long as the session, where a statement that
-- the server has not prepared is planned each time, which takes longer than all the rest (docs/decisions/0347). VOLATILE: a snapshot is taken once the tables are locked. With
-- the one of the calling statement a table that is being rewritten (ALTER TABLE) would seem empty, and each key unknown. The settings are for the plan, which must not depend
-- on how many keys there are when a session makes it.
CREATE FUNCTION "navis_keys"."find_keys" (wanted bytea[]) RETURNS json LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
  RETURN (
    SELECT coalesce(json_agg(CASE WHEN keys.id IS NULL THEN NULL ELSE json_build_array(
      encode(tokens.digest, 'hex'), keys.id, keys.workspace_id, keys.owner_id, keys.name, keys.scope, keys.metadata,
      (extract(epoch FROM keys.created_at) * 1000)::float8, (extract(epoch FROM keys.expires_at) * 1000)::float8, (extract(epoch FROM keys.revoked_at) * 1000)::float8,
      (extract(epoch FROM tokens.ends_at) * 1000)::float8, to_json(keys.allowed_cidrs), keys.rate_requests, keys.rate_window_seconds, tokens.grace_seconds IS NOT NULL
    ) END ORDER BY asked.place), '[]')
    FROM unnest(wanted) WITH ORDINALITY asked (digest, place)
    LEFT JOIN "navis_keys".tokens ON tokens.digest = asked.digest
    LEFT JOIN "navis_keys".keys ON keys.id = tokens.key_id
  );
END
$$;
