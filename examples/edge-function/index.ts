import { createClient } from 'navis-keys/client'

const keys = createClient({ url: Deno.env.get('NAVIS_KEYS_URL') ?? '', token: Deno.env.get('NAVIS_KEYS_TOKEN') ?? '' })

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.env.get('PORT') ?? 8000) }, async (request) => {
  const key = await keys.requireKey(request, request.method === 'GET' ? 'mcp:read' : 'mcp:write')
  if (key instanceof Response) return key
  return Response.json({ workspace: key.workspace_id, scopes: key.scopes })
})
