/**
 * How a database tells which history it is of (R0), as SQL expressions of type text: both are read again in every statement that
 * decides something. Empty where a Postgres has none: lineage, beats and capped positions then carry the promise alone.
 */
export interface HistoryStrategy {
  /** Of the write-ahead log: another one after a standby was promoted, or a backup restored to a point in time. */
  readonly timeline: string
  /** Of the server process: another one wherever another server answers. */
  readonly serverStart: string
}

/** PostgreSQL itself. A standby has no position of its own to name, and is refused for being one. */
export const standardHistory: HistoryStrategy = {
  timeline: 'case when pg_is_in_recovery() then \'\' else (select system_identifier from pg_control_system())::text || \'/\' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end',
  serverStart: '(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text'
}
