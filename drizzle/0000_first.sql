CREATE TABLE "navis_keys"."audit" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_id" text NOT NULL,
	"key_id" uuid,
	"action" text NOT NULL,
	"actor" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."calls" (
	"id" uuid PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"workspace_id" text NOT NULL,
	"key_id" uuid NOT NULL,
	"upstream" text NOT NULL,
	"method" text NOT NULL,
	"tool" text,
	"decision" text NOT NULL,
	"status" integer NOT NULL,
	"ms" integer NOT NULL,
	CONSTRAINT "calls_decision" CHECK ("navis_keys"."calls"."decision" in ('passed', 'denied', 'failed'))
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."deliveries" (
	"receiver" "bytea" NOT NULL,
	"key_id" uuid NOT NULL,
	"place" bigint NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "deliveries_receiver_key_id_pk" PRIMARY KEY("receiver","key_id")
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."event_clock" (
	"id" smallint PRIMARY KEY NOT NULL,
	"place" bigint NOT NULL,
	CONSTRAINT "event_clock_single" CHECK ("navis_keys"."event_clock"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "navis_keys"."events_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"place" bigint,
	"type" text NOT NULL,
	"workspace_id" text NOT NULL,
	"key_id" uuid NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"data" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."idempotency" (
	"workspace_id" text NOT NULL,
	"request_digest" "bytea" NOT NULL,
	"body_digest" "bytea" NOT NULL,
	"key_id" uuid NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "idempotency_workspace_id_request_digest_pk" PRIMARY KEY("workspace_id","request_digest")
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."key_usage" (
	"key_id" uuid PRIMARY KEY NOT NULL,
	"workspace_id" text NOT NULL,
	"last_used_at" timestamp (3) with time zone,
	"address" text,
	"client" text,
	"used_minute" timestamp (3) with time zone GENERATED ALWAYS AS (coalesce(date_bin('1 minute', last_used_at, 'epoch'), 'epoch')) STORED NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_id" text NOT NULL,
	"owner_id" text,
	"name" text NOT NULL,
	"scope" text NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"allowed_cidrs" text[],
	"rate_requests" integer,
	"rate_window_seconds" integer,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"created_by" text NOT NULL,
	"rotated_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	"revoke_reason" text,
	"erased" boolean DEFAULT false NOT NULL,
	"expiry_notice" smallint,
	"unused_notice_at" timestamp (3) with time zone,
	"ended" smallint GENERATED ALWAYS AS (case when revoked_at is not null then 2 when expiry_notice = 0 then 1 else 0 end) STORED NOT NULL,
	CONSTRAINT "keys_scope" CHECK ("navis_keys"."keys"."scope" in ('mcp:read', 'mcp:write')),
	CONSTRAINT "keys_name_length" CHECK (char_length("navis_keys"."keys"."name") between 1 and 100),
	CONSTRAINT "keys_rate_whole" CHECK (("navis_keys"."keys"."rate_requests" is null) = ("navis_keys"."keys"."rate_window_seconds" is null)),
	CONSTRAINT "keys_revoked_whole" CHECK (("navis_keys"."keys"."revoked_at" is null) = ("navis_keys"."keys"."revoked_by" is null))
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."policies" (
	"workspace_id" text PRIMARY KEY NOT NULL,
	"max_lifetime_days" integer,
	"default_lifetime_days" integer,
	"unused_days" integer,
	"updated_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"updated_by" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."receivers" (
	"receiver" "bytea" PRIMARY KEY NOT NULL,
	"place" bigint NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."revocation_clock" (
	"id" smallint PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"pruned_to" bigint NOT NULL,
	"window_ms" integer NOT NULL,
	"lineage" uuid NOT NULL,
	"former" uuid,
	"row_secret" "bytea" NOT NULL,
	CONSTRAINT "revocation_clock_single" CHECK ("navis_keys"."revocation_clock"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."revocation_log" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"action" text NOT NULL,
	"digests" "bytea"[],
	"workspace_id" text,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "revocation_log_action" CHECK ("navis_keys"."revocation_log"."action" in ('revoke', 'change')),
	CONSTRAINT "revocation_log_target" CHECK ("navis_keys"."revocation_log"."digests" is null or "navis_keys"."revocation_log"."workspace_id" is null)
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."sessions" (
	"digest" "bytea" PRIMARY KEY NOT NULL,
	"workspace_id" text NOT NULL,
	"owner_id" text,
	"person_name" text NOT NULL,
	"actor" text NOT NULL,
	"admin" boolean NOT NULL,
	"credential" "bytea",
	"started_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"ends_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "sessions_digest_length" CHECK (octet_length("navis_keys"."sessions"."digest") = 32)
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."tokens" (
	"digest" "bytea" PRIMARY KEY NOT NULL,
	"key_id" uuid NOT NULL,
	"hint" text NOT NULL,
	"made_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"is_current" boolean DEFAULT true NOT NULL,
	"ends_at" timestamp (3) with time zone,
	"grace_seconds" integer,
	"ended_use_at" timestamp (3) with time zone,
	CONSTRAINT "tokens_digest_length" CHECK (octet_length("navis_keys"."tokens"."digest") = 32)
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."usage_batches" (
	"id" uuid PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."usage_days" (
	"key_id" uuid NOT NULL,
	"day" date NOT NULL,
	"accepted" bigint DEFAULT 0 NOT NULL,
	"revoked" bigint DEFAULT 0 NOT NULL,
	"expired" bigint DEFAULT 0 NOT NULL,
	"insufficient_scope" bigint DEFAULT 0 NOT NULL,
	"address_not_allowed" bigint DEFAULT 0 NOT NULL,
	"rate_limited" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "usage_days_key_id_day_pk" PRIMARY KEY("key_id","day")
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."usage_gaps" (
	"replica" uuid PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"is_open" boolean NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."usage_tools" (
	"key_id" uuid NOT NULL,
	"day" date NOT NULL,
	"tool" text NOT NULL,
	"calls" bigint DEFAULT 0 NOT NULL,
	"denied" bigint DEFAULT 0 NOT NULL,
	"failed" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "usage_tools_key_id_day_tool_pk" PRIMARY KEY("key_id","day","tool")
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."walks" (
	"name" text PRIMARY KEY NOT NULL,
	"place" uuid,
	"next_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "navis_keys"."window_members" (
	"id" uuid PRIMARY KEY NOT NULL,
	"acked" bigint DEFAULT 0 NOT NULL,
	"beat" uuid,
	"lineage" uuid,
	"window_ms" integer NOT NULL,
	"joined_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"dead_at" timestamp (3) with time zone
);
--> statement-breakpoint
ALTER TABLE "navis_keys"."tokens" ADD CONSTRAINT "tokens_key_id_keys_id_fk" FOREIGN KEY ("key_id") REFERENCES "navis_keys"."keys"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_list" ON "navis_keys"."audit" USING btree ("workspace_id","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "audit_key" ON "navis_keys"."audit" USING btree ("workspace_id","key_id","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "audit_age" ON "navis_keys"."audit" USING btree ("at");--> statement-breakpoint
CREATE INDEX "audit_actor" ON "navis_keys"."audit" USING btree ("workspace_id","actor","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "calls_list" ON "navis_keys"."calls" USING btree ("workspace_id","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "calls_key" ON "navis_keys"."calls" USING btree ("key_id","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "calls_age" ON "navis_keys"."calls" USING btree ("at");--> statement-breakpoint
CREATE INDEX "deliveries_due" ON "navis_keys"."deliveries" USING btree ("receiver","next_at");--> statement-breakpoint
CREATE INDEX "deliveries_oldest" ON "navis_keys"."deliveries" USING btree ("receiver","place");--> statement-breakpoint
CREATE INDEX "deliveries_key" ON "navis_keys"."deliveries" USING btree ("key_id");--> statement-breakpoint
CREATE UNIQUE INDEX "events_place" ON "navis_keys"."events" USING btree ("place");--> statement-breakpoint
CREATE INDEX "events_new" ON "navis_keys"."events" USING btree ("seq") WHERE place is null;--> statement-breakpoint
CREATE INDEX "events_key" ON "navis_keys"."events" USING btree ("key_id","place");--> statement-breakpoint
CREATE INDEX "events_age" ON "navis_keys"."events" USING btree ("at");--> statement-breakpoint
CREATE INDEX "idempotency_age" ON "navis_keys"."idempotency" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "key_usage_list" ON "navis_keys"."key_usage" USING btree ("workspace_id","used_minute" DESC NULLS LAST,"key_id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_status" ON "navis_keys"."keys" USING btree ("workspace_id","ended","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_owner" ON "navis_keys"."keys" USING btree ("workspace_id","owner_id","ended","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_scope" ON "navis_keys"."keys" USING btree ("workspace_id","scope","ended","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_expiring" ON "navis_keys"."keys" USING btree ("workspace_id","expires_at") WHERE ended = 0 and expires_at is not null;--> statement-breakpoint
CREATE INDEX "keys_due" ON "navis_keys"."keys" USING btree ("expiry_notice","expires_at") WHERE ended = 0 and expires_at is not null;--> statement-breakpoint
CREATE INDEX "sessions_ends" ON "navis_keys"."sessions" USING btree ("ends_at");--> statement-breakpoint
CREATE UNIQUE INDEX "tokens_current" ON "navis_keys"."tokens" USING btree ("key_id") WHERE is_current;--> statement-breakpoint
CREATE INDEX "tokens_key" ON "navis_keys"."tokens" USING btree ("key_id");--> statement-breakpoint
CREATE INDEX "usage_batches_age" ON "navis_keys"."usage_batches" USING btree ("at");--> statement-breakpoint
CREATE INDEX "usage_days_age" ON "navis_keys"."usage_days" USING btree ("day");--> statement-breakpoint
CREATE INDEX "usage_tools_age" ON "navis_keys"."usage_tools" USING btree ("day");--> statement-breakpoint
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
