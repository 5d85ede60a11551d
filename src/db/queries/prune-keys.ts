import { sql } from 'drizzle-orm'
import type { UpkeepStep } from '../../core/upkeep.ts'
import type { Database } from '../connect.ts'

const walkEveryMinutes = 60

/**
 * The next step of a walk through all keys that deletes those which ended more than `days` ago, with their tokens and what they were used for; resolves to how many keys it looked at. A token
 * of such a key is unknown from then on. What is still to be told of a key is told first. One process at a time takes a step.
 */
export async function pruneKeys (db: Database, { days, rowsMax }: UpkeepStep): Promise<number> {
  const { keys, keyUsage, events, walks } = db.tables
  const [row] = await db.execute<{ looked: number, [column: string]: unknown }>(sql`
    with known as (
      insert into ${walks} (name) values ('ended') on conflict (name) do nothing
    ), turn as materialized (
      select place from ${walks} where name = 'ended' and next_at <= statement_timestamp() for update skip locked
    ), page as materialized (
      select keys.id from ${keys}, turn where turn.place is null or keys.id > turn.place order by keys.id limit ${rowsMax}
    ), held as materialized (
      select keys.id from ${keys} where keys.id in (select id from page) and keys.ended > 0
        and least(keys.revoked_at, keys.expires_at) < statement_timestamp() - ${days}::int * interval '1 day'
        and not exists (select from ${events} where events.key_id = keys.id and events.place is null)
      order by keys.id for update skip locked
    ), gone as (
      delete from ${keys} using held where keys.id = held.id returning keys.id
    ), unused as (
      delete from ${keyUsage} using gone where key_usage.key_id = gone.id
    ), walked as (
      update ${walks} set
        place = case when (select count(*) from page) = ${rowsMax} then (select id from page order by id desc limit 1) end,
        next_at = case when (select count(*) from page) = ${rowsMax} then walks.next_at else clock_timestamp() + ${walkEveryMinutes}::int * interval '1 minute' end
      from turn where walks.name = 'ended'
    )
    select count(*)::int as looked from page`)
  return row?.looked ?? 0
}
