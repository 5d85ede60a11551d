import { notesOf, settingNames } from '../../src/config/settings.ts'

/** docs/settings.md, from the schemas of the settings. `npm run docs:settings` prints it; a test compares it. */
export function settingsPage (): string {
  const rows = settingNames.map((name) => {
    const { default: preset, description, secret } = notesOf(name)
    return `| \`${name}\` | ${preset === undefined ? '' : `\`${preset}\``} | ${secret === true ? 'yes' : ''} | ${description} |`
  })
  return `# Settings

All settings are environment variables. An empty one counts as unset. A setting that is wrong keeps the service from
starting, and the message says which and what to do; it never shows the value.

Settings marked *file* can come from a file: \`NAME_FILE\` holds its path (a newline at its end is dropped). Setting both
\`NAME\` and \`NAME_FILE\` is an error.

| name | default | file | |
| --- | --- | --- | --- |
${rows.join('\n')}

This page is printed from \`src/config/settings.ts\` by \`npm run docs:settings\`.
`
}
