/** What a command uses of the process that it runs in. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  writeOut (text: string): void
  writeError (text: string): void
}
