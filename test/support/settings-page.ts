import { notesOf, settingNames } from '../../src/config/settings.ts'

/** docs/settings.md, from the schemas of the settings. `npm run docs:settings` prints it; a test compares it. */
export function settingsPage (): string {
  const rows = settingNames.map((name) => {
    const { default: preset, description, secret } = notesOf(name)
    return `| \`${name}\` | ${preset === undefined ? '' : `\`${preset}\``} | ${secret === true ? 'yes' : ''} | ${description} |`
  })
  return `# Settings

All settings are environment variables. An empty variable counts as unset. With an invalid setting the service does not
start; the message names the setting and says what to do, and never shows the value.

Settings marked *file* can be read from a file: set \`NAME_FILE\` to its path (a newline at the end of the file is ignored). Setting both
\`NAME\` and \`NAME_FILE\` is an error.

| name | default | file | |
| --- | --- | --- | --- |
${rows.join('\n')}

This page is printed from \`src/config/settings.ts\` by \`npm run docs:settings\`.
`
}
