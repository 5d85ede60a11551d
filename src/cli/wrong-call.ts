import { CommanderError } from 'commander'

/** An invalid command line that the parser cannot detect. Exit status 2, like the parser's errors. */
export function wrongCall (detail: string): CommanderError {
  return new CommanderError(2, 'navis-keys.wrongCall', detail)
}
