import { sql, type SQL } from 'drizzle-orm'
import type { EventType } from '../../core/events.ts'
import type { Database } from '../connect.ts'

/**
 * Writes an event for each row of `source`, a part of the same statement that has the columns of `managedKeyColumns`: what happened and the
 * fact of it are one transaction.
 */
export function emit ({ tables }: Database, type: EventType, source: SQL, details: SQL = sql`'{}'::jsonb`): SQL {
  return sql`insert into ${tables.events} (id, type, workspace_id, key_id, data)
      select gen_random_uuid(), ${type}, source.workspace_id, source.id, jsonb_build_object('key', to_jsonb(source)) || ${details} from ${source} as source`
}
