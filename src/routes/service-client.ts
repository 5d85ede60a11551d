import type { Client } from '../core/miss-budget.ts'
import type { Sender } from '../core/verdict.ts'

/** An internal service asks on behalf of many clients: one of them that invents tokens must not use up what all need. */
const clientsPerService = 10

export function serviceClient ({ ip }: { readonly ip: string }): Client {
  return { ip, speaksFor: clientsPerService }
}

/** The client that an internal service speaks of. */
export function senderAt (address: string | undefined): Sender | undefined {
  return address === undefined ? undefined : { ip: address }
}
