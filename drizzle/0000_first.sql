CREATE TABLE "audit" (
	"id" uuid PRIMARY KEY NOT NULL,
	"workspace_id" text NOT NULL,
	"key_id" uuid,
	"action" text NOT NULL,
	"actor" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "idempotency" (
	"workspace_id" text NOT NULL,
	"request_digest" "bytea" NOT NULL,
	"body_digest" "bytea" NOT NULL,
	"key_id" uuid NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "idempotency_workspace_id_request_digest_pk" PRIMARY KEY("workspace_id","request_digest")
);
--> statement-breakpoint
CREATE TABLE "key_usage" (
	"key_id" uuid PRIMARY KEY NOT NULL,
	"last_used_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "keys" (
	"id" uuid PRIMARY KEY NOT NULL,
	"digest" "bytea" NOT NULL,
	"workspace_id" text NOT NULL,
	"owner_id" text,
	"name" text NOT NULL,
	"scope" text NOT NULL,
	"hint" text NOT NULL,
	"metadata" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"created_by" text NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	"revoked_by" text,
	"revoke_reason" text,
	CONSTRAINT "keys_digest_length" CHECK (octet_length("keys"."digest") = 32),
	CONSTRAINT "keys_scope" CHECK ("keys"."scope" in ('mcp:read', 'mcp:write')),
	CONSTRAINT "keys_name_length" CHECK (char_length("keys"."name") between 1 and 100),
	CONSTRAINT "keys_revoked_whole" CHECK (("keys"."revoked_at" is null) = ("keys"."revoked_by" is null))
);
--> statement-breakpoint
CREATE TABLE "revocation_clock" (
	"id" smallint PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"pruned_to" bigint NOT NULL,
	"window_ms" integer NOT NULL,
	"row_secret" "bytea" NOT NULL,
	CONSTRAINT "revocation_clock_single" CHECK ("revocation_clock"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "revocation_log" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"action" text NOT NULL,
	"digest" "bytea",
	"workspace_id" text,
	"at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "revocation_log_action" CHECK ("revocation_log"."action" in ('revoke', 'change')),
	CONSTRAINT "revocation_log_target" CHECK ("revocation_log"."digest" is null or "revocation_log"."workspace_id" is null)
);
--> statement-breakpoint
CREATE TABLE "window_members" (
	"id" uuid PRIMARY KEY NOT NULL,
	"acked" bigint DEFAULT 0 NOT NULL,
	"renewals" bigint DEFAULT 0 NOT NULL,
	"window_ms" integer NOT NULL,
	"joined_at" timestamp (3) with time zone DEFAULT clock_timestamp() NOT NULL,
	"dead_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE INDEX "audit_list" ON "audit" USING btree ("workspace_id","at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "idempotency_age" ON "idempotency" USING btree ("created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "keys_digest" ON "keys" USING btree ("digest");--> statement-breakpoint
CREATE INDEX "keys_list_all" ON "keys" USING btree ("workspace_id","created_at" DESC NULLS LAST,"id" DESC NULLS LAST);--> statement-breakpoint
CREATE INDEX "keys_list_unrevoked" ON "keys" USING btree ("workspace_id","created_at" DESC NULLS LAST,"id" DESC NULLS LAST) WHERE revoked_at is null;--> statement-breakpoint
CREATE INDEX "keys_list_revoked" ON "keys" USING btree ("workspace_id","created_at" DESC NULLS LAST,"id" DESC NULLS LAST) WHERE revoked_at is not null;--> statement-breakpoint
CREATE INDEX "keys_list_expiring" ON "keys" USING btree ("workspace_id","expires_at") WHERE revoked_at is null and expires_at is not null;