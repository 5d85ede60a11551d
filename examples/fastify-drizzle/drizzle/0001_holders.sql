ALTER TABLE "keys" ADD COLUMN "holder" text;
