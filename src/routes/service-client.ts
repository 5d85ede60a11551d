import type { Client } from '../core/miss-budget.ts'
import type { Sender } from '../core/verdict.ts'

/** An internal service verifies for many clients: one of them that sends unknown tokens must not use up the budget of the others. */
const clientsPerService = 10

export function serviceClient ({ ip }: { readonly ip: string }): Client {
  return { ip, speaksFor: clientsPerService }
}

/** The client on whose behalf an internal service asks. */
export function senderAt (address: string | undefined): Sender | undefined {
  return address === undefined ? undefined : { ip: address }
}
