import { CommanderError } from 'commander'

/** A call that is wrong in a way that the parser of the command line cannot see. Exit status 2, as for its own. */
export function wrongCall (detail: string): CommanderError {
  return new CommanderError(2, 'navis-keys.wrongCall', detail)
}
