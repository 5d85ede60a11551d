import type { Client } from '../core/miss-budget.ts'

/** An internal service asks on behalf of many clients: one of them that invents tokens must not use up what all need. */
const clientsPerService = 10

export function serviceClient ({ ip }: { readonly ip: string }): Client {
  return { ip, speaksFor: clientsPerService }
}
