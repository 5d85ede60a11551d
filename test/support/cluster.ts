import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

// XLogLongPageHeaderData: the identifier stands behind a common header of 20 bytes, aligned to 8.
const placeInLog = 24

/**
 * Gives the copied files of a server that has accepted no connection another system identifier, as initdb would have: the service tells servers apart
 * by it. It stands at the beginning of pg_control, which ends with a CRC-32C of what is before, and on the first page of the log.
 */
export function makeAnother (data: string): void {
  const identifier = randomBytes(8)
  // Postgres shows it as a signed number.
  identifier[7]! &= 0x7f
  const controlPath = join(data, 'global/pg_control')
  const control = readFileSync(controlPath)
  const end = endOf(control)
  identifier.copy(control)
  control.writeUInt32LE(crc32c(control.subarray(0, end)), end)
  writeFileSync(controlPath, control)
  for (const name of readdirSync(join(data, 'pg_wal')).filter((name) => /^[0-9A-F]{24}$/.test(name))) {
    const segment = openSync(join(data, 'pg_wal', name), 'r+')
    writeSync(segment, identifier, 0, identifier.length, placeInLog)
    closeSync(segment)
  }
}

/** Where the checksum stands: that depends on the version. */
function endOf (control: Buffer): number {
  for (let end = 200; end < 512; end += 4) if (crc32c(control.subarray(0, end)) === control.readUInt32LE(end)) return end
  throw new Error('pg_control has no checksum that fits.')
}

function crc32c (bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}
