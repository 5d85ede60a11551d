import { readFileSync } from 'node:fs'
import { notesOf, settingNames, settings, type SettingName } from '../../src/config/settings.ts'

export const chartSchemaPath = 'deploy/helm/navis-keys/values.schema.json'

type Schema = Readonly<Record<string, unknown>>

/** Settings that the chart itself decides: ports that probes and Services name, and how the database is brought up. */
const decidedByTheChart = new Set<string>(['PORT', 'METRICS_PORT', 'DATA_DIR', 'MIGRATE'])

const isSecret = (name: SettingName) => notesOf(name).secret === true
const isFile = (name: SettingName) => !isSecret(name) && name.endsWith('_FILE')

/**
 * values.schema.json with the settings of src/config/settings.ts in it, so that the chart refuses a wrong value before a
 * pod does. `npm run docs:settings` writes it; a test compares it.
 */
export function chartSchema (): string {
  const schema = JSON.parse(readFileSync(chartSchemaPath, 'utf8')) as Schema & { $defs: Schema }
  const names = settingNames.filter((name) => !decidedByTheChart.has(name))
  const each = (wanted: readonly SettingName[], value: (name: SettingName) => unknown) => ({
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(wanted.map((name) => [name, value(name)]))
  })
  const secrets = names.filter(isSecret)
  const $defs = {
    ...schema.$defs,
    settings: each(names.filter((name) => !isSecret(name) && !isFile(name)), plainSchema),
    secrets: each(secrets, () => ({ $ref: '#/$defs/secretKey' })),
    files: each(names.filter(isFile), () => ({ $ref: '#/$defs/fileKey' })),
    remote: each(secrets, () => ({ $ref: '#/$defs/remoteKey' }))
  }
  return `${JSON.stringify({ ...schema, $defs }, undefined, 2)}\n`
}

function plainSchema (name: SettingName): Schema {
  const schema = settings.properties[name] as unknown as Schema
  // Helm reads patterns as RE2, which has no lookaround: such a setting is checked by the service alone.
  const kept = ['type', 'enum', 'minimum', 'maximum', 'pattern'].filter((keyword) => keyword in schema && !/\(\?<?[=!]/.test(String(schema[keyword])))
  return { ...Object.fromEntries(kept.map((keyword) => [keyword, schema[keyword]])), description: notesOf(name).description }
}
